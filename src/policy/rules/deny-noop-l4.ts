// What ztunnel cannot judge it does not deny.
import { fieldsIn, isHttpField, selectedBy } from '../foreign/model.ts';
import type { LintRule } from '../rule.ts';

export const denyNoopL4: LintRule = {
  id: 'deny-noop-l4',
  severity: 'error',
  summary:
    'A DENY with only HTTP fields in one of `from`, `to`, `when` selects workloads of an ambient mesh. ztunnel drops the fields that it cannot judge and an emptied clause never matches: the policy does nothing, and everything passes. A waypoint can judge it, attached by `targetRefs`.',
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
metadata: {name: no-delete, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  action: DENY
  rules:
    - to: [{operation: {methods: [DELETE]}}]
`,
  mend: [['selector: {matchLabels: {app: orders}}\n', 'targetRefs: [{group: "", kind: Service, name: orders}]\n']],
  foreign: (mesh, find) => {
    for (const { resource, action, rules, selector, targets } of mesh.authorizations) {
      if (action !== 'DENY' || targets.length > 0) continue;
      const here = selectedBy(mesh, resource.namespace, selector).filter(({ enforcement }) => enforcement === 'ztunnel');
      if (here.length === 0) continue;
      for (const rule of rules) {
        const emptied = [...(rule.from ?? []), ...(rule.to ?? []), ...(rule.when.length > 0 ? [rule.when] : [])].some(
          (clause) => clause.length > 0 && clause.every(isHttpField),
        );
        if (!emptied || !fieldsIn(rule).some(isHttpField)) continue;
        find(
          resource,
          rule.path,
          `does nothing for ${[...new Set(here.map(({ name }) => `\`${name}\``))].join(', ')}: ztunnel judges no HTTP field`,
          {
            why: 'a clause that loses all its fields never matches, so a DENY of it denies nothing',
            fix: 'attach it to a waypoint with `targetRefs`',
          },
        );
      }
    }
  },
};
