// Actions and fields that ztunnel passes over.
import { fieldsIn, selectedBy } from '../foreign/model.ts';
import type { LintRule } from '../rule.ts';

export const unsupportedL4: LintRule = {
  id: 'unsupported-l4',
  severity: 'warning',
  summary:
    'A policy with CUSTOM or AUDIT, or with `trustDomains`, selects workloads of an ambient mesh. ztunnel knows neither action, and passes over `trustDomains`, which makes the rule wider than it reads.',
  see: ['UnsupportedValue'],
  wrong: `apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Pod
metadata: {name: orders-1, namespace: shop, labels: {app: orders}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ours, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  rules:
    - from: [{source: {namespaces: [web], trustDomains: [cluster.local]}}]
`,
  mend: [['namespaces: [web], trustDomains: [cluster.local]', 'principals: [cluster.local/ns/web/sa/web]']],
  foreign: (mesh, find) => {
    for (const { resource, action, rules, selector, targets } of mesh.authorizations) {
      if (targets.length > 0 || !selectedBy(mesh, resource.namespace, selector).some(({ enforcement }) => enforcement === 'ztunnel'))
        continue;
      if (action === 'CUSTOM' || action === 'AUDIT')
        find(resource, ['spec', 'action'], `ztunnel does not know ${action}: the policy does nothing there`, {
          fix: 'attach it to a waypoint with `targetRefs`',
        });
      for (const field of rules.flatMap(fieldsIn).filter(({ name }) => name === 'trustDomains'))
        find(resource, field.path, 'ztunnel passes over `trustDomains`: the rest of the clause decides alone', {
          fix: 'write whole `principals`',
        });
    }
  },
};
