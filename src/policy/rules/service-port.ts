// Policies speak of the workload's port.
import { selectedBy } from '../foreign/model.ts';
import { hasLabels } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

export const servicePort: LintRule = {
  id: 'service-port',
  severity: 'error',
  summary:
    "`ports` holds the port of a Service, which the workload does not listen on. Istio compares with the workload's own port, so the rule never matches.",
  wrong: `apiVersion: v1
kind: Pod
metadata: {name: orders-1, namespace: shop, labels: {app: orders}}
spec: {containers: [{name: orders, image: example/orders, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {selector: {app: orders}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  rules:
    - to: [{operation: {ports: ["80"]}}]
`,
  mend: [['ports: ["80"]', 'ports: ["8080"]']],
  foreign: (mesh, find) => {
    for (const { resource, rules, selector, targets } of mesh.authorizations) {
      if (targets.length > 0) continue;
      const pods = selectedBy(mesh, resource.namespace, selector);
      const own = new Set(pods.flatMap(({ ports }) => ports.map(({ number }) => String(number))));
      if (own.size === 0) continue;
      const targetOf = new Map(
        mesh.services
          .filter((service) =>
            pods.some(
              (pod) =>
                pod.namespace === service.namespace && Object.keys(service.selector).length > 0 && hasLabels(pod.labels, service.selector),
            ),
          )
          .flatMap(({ ports }) => ports.map(({ port, target }) => [String(port), String(target)] as const)),
      );
      for (const field of rules.flatMap(({ to }) => (to ?? []).flat()).filter(({ name }) => name === 'ports'))
        field.values.forEach((port, i) => {
          if (own.has(port) || !targetOf.has(port)) return;
          find(resource, [...field.path, i], `${port} is the Service's port; the workload listens on ${targetOf.get(port)}`, {
            fix: `write \`${targetOf.get(port)}\``,
            ...(/^\d+$/.test(targetOf.get(port) ?? '') ? { edit: [port, targetOf.get(port) ?? ''] as const } : {}),
          });
        });
    }
  },
};
