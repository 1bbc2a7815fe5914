// A NetworkPolicy for pods, or of peers, that are not there.
import { fitsSelector, isMap, mapList, specOf } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

export const netpolDangling: LintRule = {
  id: 'netpol-dangling',
  severity: 'warning',
  summary:
    'A NetworkPolicy selects pods, or names a peer by labels, that none of the files has: it isolates nobody, or lets nobody in. Judged when the files hold workloads.',
  see: ['dangling-networkpolicy', 'dangling-networkpolicypeer-podselector', 'C-0299'],
  wrong: `apiVersion: v1
kind: Pod
metadata: {name: orders-1, namespace: shop, labels: {app: orders}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: orders, namespace: shop}
spec: {podSelector: {matchLabels: {app: order}}, policyTypes: [Ingress]}
`,
  mend: [['{app: order}}, policyTypes', '{app: orders}}, policyTypes']],
  foreign: (mesh, find) => {
    if (mesh.workloads.length === 0) return;
    for (const resource of mesh.kind('NetworkPolicy', 'networking.k8s.io')) {
      const spec = specOf(resource);
      const here = mesh.workloads.filter(({ namespace }) => namespace === (resource.namespace ?? 'default'));
      const { podSelector } = spec;
      if (isMap(podSelector) && !here.some(({ labels }) => fitsSelector(labels, podSelector)))
        find(resource, ['spec', 'podSelector'], 'no pod of its namespace has these labels: it isolates nobody', {
          fix: 'select labels that pods have',
        });
      for (const [direction, side] of [
        ['ingress', 'from'],
        ['egress', 'to'],
      ] as const)
        (mapList(spec[direction]) ?? []).forEach((rule, i) => {
          (mapList(rule[side]) ?? []).forEach((peer, k) => {
            const selector = peer['podSelector'];
            const pods = peer['namespaceSelector'] === undefined ? here : mesh.workloads;
            if (!isMap(selector) || pods.some(({ labels }) => fitsSelector(labels, selector))) return;
            find(resource, ['spec', direction, i, side, k, 'podSelector'], 'no pod has these labels', {
              fix: 'name labels that pods have',
            });
          });
        });
    }
  },
};
