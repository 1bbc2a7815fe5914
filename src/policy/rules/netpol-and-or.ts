// One dash more or less in a NetworkPolicy.
import { mapList, specOf } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

export const netpolAndOr: LintRule = {
  id: 'netpol-and-or',
  severity: 'warning',
  summary:
    'A NetworkPolicy lists a `podSelector` and a `namespaceSelector` as two peers: pods of its own namespace with those labels, or any pod of those namespaces. As one peer (without the second dash) they mean pods with those labels in those namespaces.',
  wrong: `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: orders, namespace: shop}
spec:
  podSelector: {matchLabels: {app: orders}}
  policyTypes: [Ingress]
  ingress:
    - from:
        - podSelector: {matchLabels: {app: web}}
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: front}}
`,
  mend: [['        - namespaceSelector', '          namespaceSelector']],
  foreign: (mesh, find) => {
    for (const resource of mesh.kind('NetworkPolicy', 'networking.k8s.io'))
      for (const [direction, side] of [
        ['ingress', 'from'],
        ['egress', 'to'],
      ] as const)
        (mapList(specOf(resource)[direction]) ?? []).forEach((rule, i) => {
          const peers = mapList(rule[side]) ?? [];
          const pods = peers.findIndex((peer) => peer['podSelector'] !== undefined && peer['namespaceSelector'] === undefined);
          const spaces = peers.findIndex((peer) => peer['namespaceSelector'] !== undefined && peer['podSelector'] === undefined);
          if (pods < 0 || spaces < 0 || Math.abs(pods - spaces) !== 1) return;
          find(resource, ['spec', direction, i, side, spaces], 'every pod of those namespaces, whatever its labels', {
            fix: 'write both selectors in one peer when pods with those labels in those namespaces are meant',
          });
        });
  },
};
