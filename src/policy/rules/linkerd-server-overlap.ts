// Two Servers for one port of one pod.
import { fitsSelector, isMap, type Resource, specOf } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

export const linkerdServerOverlap: LintRule = {
  id: 'linkerd-server-overlap',
  severity: 'warning',
  summary:
    'Two Linkerd Servers select the same port of the same pods. The older one is in force and the authorizations of the other do nothing.',
  wrong: `apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: orders, namespace: shop}
spec: {podSelector: {matchLabels: {app: orders}}, port: 8080}
---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: all, namespace: shop}
spec: {podSelector: {matchLabels: {}}, port: 8080}
`,
  mend: [['matchLabels: {}', 'matchLabels: {app: web}']],
  foreign: (mesh, find) => {
    const servers = mesh.kind('Server', 'policy.linkerd.io');
    servers.forEach((server, i) => {
      const before = servers.slice(0, i).find((other) => overlaps(other, server));
      if (before !== undefined)
        find(
          server,
          ['spec', 'podSelector'],
          `Server \`${before.name}\` selects the same port of the same pods; the older of the two is in force`,
          {
            fix: 'narrow one of the selectors',
          },
        );
    });

    function overlaps(a: Resource, b: Resource): boolean {
      const [one, two] = [specOf(a), specOf(b)];
      if (a.namespace !== b.namespace || String(one['port']) !== String(two['port'])) return false;
      const [left, right] = [one['podSelector'], two['podSelector']];
      if (!isMap(left) || !isMap(right)) return false;
      const pods = mesh.workloads.filter(({ namespace }) => namespace === (a.namespace ?? 'default'));
      if (pods.length > 0) return pods.some(({ labels }) => fitsSelector(labels, left) && fitsSelector(labels, right));
      // Without pods: labels that fit one and so, as far as they say, the other.
      const labelsOf = (selector: typeof left): Record<string, string> =>
        ({ ...(isMap(selector['matchLabels']) ? selector['matchLabels'] : {}) }) as Record<string, string>;
      return fitsSelector(labelsOf(left), right) || fitsSelector(labelsOf(right), left);
    }
  },
};
