// Of two PeerAuthentications at one level the older wins.
import type { Resource } from '../foreign/resources.ts';
import { matchLabelsOf, specOf } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

export const duplicatePolicy: LintRule = {
  id: 'duplicate-policy',
  severity: 'error',
  summary:
    'Two PeerAuthentications stand at one level: both without selector in one namespace, or both for the same workload. The older one wins, and the other does nothing.',
  see: ['KIA0002', 'KIA0003'],
  wrong: `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: PERMISSIVE}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: shop}
spec: {mtls: {mode: STRICT}}
`,
  mend: [['name: strict, namespace: shop}\nspec: {', 'name: strict, namespace: shop}\nspec: {selector: {matchLabels: {app: orders}}, ']],
  foreign: (mesh, find) => {
    const first = new Map<string, Resource>();
    for (const resource of mesh.istio('PeerAuthentication')) {
      const labels = Object.entries(matchLabelsOf(specOf(resource)['selector'])).sort(([a], [b]) => a.localeCompare(b));
      const key = JSON.stringify([resource.namespace, labels]);
      const before = first.get(key);
      if (before === undefined) first.set(key, resource);
      else if (before.name !== resource.name)
        find(resource, ['metadata', 'name'], `PeerAuthentication \`${before.name}\` stands at the same level; the older of the two wins`, {
          fix: 'keep one',
        });
    }
  },
};
