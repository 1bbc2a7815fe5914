// On a raw TCP port an ALLOW with HTTP fields allows nothing.
import { fieldsIn, isHttpField, protocolAt, selectedBy } from '../foreign/model.ts';
import type { LintRule } from '../rule.ts';

export const allowHttpOnTcp: LintRule = {
  id: 'allow-http-on-tcp',
  severity: 'warning',
  summary:
    'An ALLOW rule with HTTP fields for a port that is TCP, or is named as if it were: the rule is left out there and the port stays closed. A port is HTTP when `appProtocol` or its name in the Service says so.',
  see: ['IST0118'],
  wrong: `apiVersion: v1
kind: Pod
metadata: {name: orders-1, namespace: shop, labels: {app: orders}}
spec: {containers: [{name: orders, image: example/orders, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {selector: {app: orders}, ports: [{name: tcp-web, port: 80, targetPort: 8080}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  rules:
    - to: [{operation: {methods: [GET]}}]
`,
  mend: [['name: tcp-web', 'name: http-web']],
  foreign: (mesh, find) => {
    for (const { resource, action, rules, selector, targets } of mesh.authorizations) {
      if (action !== 'ALLOW' || targets.length > 0) continue;
      const workloads = selectedBy(mesh, resource.namespace, selector).filter(({ gateway }) => gateway === undefined);
      for (const rule of rules) {
        if (!fieldsIn(rule).some(isHttpField)) continue;
        const named = (rule.to ?? []).flat().find(({ name, isNot }) => name === 'ports' && !isNot)?.values;
        const closed = workloads.flatMap((workload) =>
          workload.ports
            .filter((port) => protocolAt(mesh, workload, port) === 'tcp')
            // Without ports in the rule, a workload with an HTTP port beside it may be what is meant.
            .filter((port) => (named === undefined ? workload.ports.length === 1 : named.includes(String(port.number))))
            .map((port) => `${workload.name}:${port.number ?? port.name}`),
        );
        if (closed.length === 0) continue;
        find(resource, rule.path, `is left out on ${[...new Set(closed)].join(', ')}, which is TCP: the port stays closed`, {
          fix: 'name the port `http-…` in the Service, or allow by identity and port alone',
        });
      }
    }
  },
};
