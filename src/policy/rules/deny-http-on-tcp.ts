// On a raw TCP port a DENY loses its HTTP fields and so denies more than it says.
import { fieldsIn, isHttpField, protocolAt, selectedBy } from '../foreign/model.ts';
import type { LintRule } from '../rule.ts';

export const denyHttpOnTcp: LintRule = {
  id: 'deny-http-on-tcp',
  severity: 'warning',
  summary:
    'A DENY with HTTP fields and no port selects a workload that also has a TCP port. There the HTTP fields fall away, and what is left denies that port as well. The finding names the ports; `l7-deny-no-port` says the same of policies whose workloads are not known.',
  see: ['IST0133'],
  wrong: `apiVersion: v1
kind: Pod
metadata: {name: db-1, namespace: shop, labels: {app: db}}
spec: {containers: [{name: db, image: example/db, ports: [{containerPort: 5432}, {containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {selector: {app: db}, ports: [{name: tcp, port: 5432}, {name: http, port: 8080}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-delete, namespace: shop}
spec:
  selector: {matchLabels: {app: db}}
  action: DENY
  rules:
    - to: [{operation: {methods: [DELETE]}}]
`,
  mend: [['methods: [DELETE]', 'methods: [DELETE], ports: ["8080"]']],
  foreign: (mesh, find) => {
    for (const { resource, action, rules, selector, targets } of mesh.authorizations) {
      if (action !== 'DENY' || targets.length > 0) continue;
      const tcp = selectedBy(mesh, resource.namespace, selector)
        .filter(({ enforcement, gateway }) => enforcement === 'sidecar' && gateway === undefined)
        .flatMap((workload) =>
          workload.ports
            .filter((port) => protocolAt(mesh, workload, port) === 'tcp')
            .map((port) => `${workload.name}:${port.number ?? port.name}`),
        );
      if (tcp.length === 0) continue;
      for (const rule of rules) {
        const fields = fieldsIn(rule);
        if (!fields.some(isHttpField) || fields.some(({ name }) => name === 'ports' || name === 'destination.port')) continue;
        find(resource, rule.path, `denies TCP on ${[...new Set(tcp)].join(', ')} too, whatever the HTTP fields say`, {
          why: 'on a TCP port a sidecar drops the HTTP fields of a DENY and keeps the rest',
          fix: 'add `ports` with the HTTP ports that are meant',
        });
      }
    }
  },
};
