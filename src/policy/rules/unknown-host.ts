// The short name of a service that is not there.
import { specOf, textList } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

export const unknownHost: LintRule = {
  id: 'unknown-host',
  severity: 'error',
  summary:
    '`hosts` holds a short name, `service` or `service.namespace`, that no Service, ServiceEntry or VirtualService of the files has. A warning where proxies let traffic out to unknown hosts. Judged when the files hold services; names with more dots are Host headers of any kind.',
  see: ['KIA0104'],
  wrong: `apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {selector: {app: orders}, ports: [{name: http, port: 80}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  rules:
    - from: [{source: {namespaces: [web]}}]
      to: [{operation: {hosts: [odrers]}}]
`,
  mend: [['odrers', 'orders']],
  foreign: (mesh, find) => {
    if (mesh.services.length === 0) return;
    const entries = [...mesh.istio('ServiceEntry'), ...mesh.istio('VirtualService')].flatMap(
      (each) => textList(specOf(each)['hosts']) ?? [],
    );
    const namespaces = new Set([...mesh.namespaces.keys(), ...mesh.services.map(({ namespace }) => namespace)]);
    for (const { resource, rules } of mesh.authorizations)
      for (const field of rules.flatMap(({ to }) => (to ?? []).flat()).filter(({ name }) => name === 'hosts'))
        field.values.forEach((host, i) => {
          const [name = '', namespace = resource.namespace ?? 'default', ...more] = host.replace(/:\d+$/, '').split('.');
          // A Host header of any kind, not the name of a Service.
          if (host.includes('*') || more.length > 0 || (host.includes('.') && !namespaces.has(namespace)) || entries.includes(host)) return;
          if (mesh.services.some((service) => service.name === name && service.namespace === namespace)) return;
          find(resource, [...field.path, i], `no service is called \`${name}\` in namespace \`${namespace}\``, {
            severity: mesh.settings.isOutboundOpen ? 'warning' : 'error',
            fix: 'name one that is there, or the whole host',
          });
        });
  },
};
