// The Host header is the client's free choice.
import { selectedBy } from '../foreign/model.ts';
import type { LintRule } from '../rule.ts';

export const hostAsBoundary: LintRule = {
  id: 'host-as-boundary',
  severity: 'warning',
  summary:
    'At a sidecar a rule lets in whoever sends the right Host header, and the caller writes that header. Hosts tell virtual hosts of a gateway apart; they keep nobody out.',
  wrong: `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  rules:
    - to: [{operation: {hosts: [orders.shop.svc.cluster.local]}}]
`,
  mend: [['- to:', '- from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]\n      to:']],
  foreign: (mesh, find) => {
    for (const { resource, action, rules, selector, targets } of mesh.authorizations) {
      const isGateway =
        targets.length > 0 ||
        /gateway/.test(JSON.stringify(selector)) ||
        selectedBy(mesh, resource.namespace, selector).some(
          ({ gateway, labels }) => gateway !== undefined || labels['istio'] !== undefined,
        );
      if (action !== 'ALLOW' || isGateway) continue;
      for (const { from, to, when } of rules) {
        if (from !== undefined || when.length > 0) continue;
        const field = (to ?? []).find((operation) => operation.every(({ name }) => name === 'hosts'))?.[0];
        if (field !== undefined)
          find(resource, field.path, 'the Host header is all that is asked for, and callers choose it', {
            fix: 'name who may call under `from`',
          });
      }
    }
  },
};
