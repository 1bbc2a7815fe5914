// A pod that no NetworkPolicy selects.
import { fitsSelector, isMap, specOf, textList } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

export const nonIsolatedPod: LintRule = {
  id: 'non-isolated-pod',
  severity: 'warning',
  summary:
    'No NetworkPolicy isolates the pod, so anything in the cluster reaches its ports, past the mesh too. Judged when the files hold NetworkPolicies.',
  see: ['non-isolated-pod', 'C-0260', 'C-0206', 'C-0054'],
  wrong: `apiVersion: v1
kind: Pod
metadata: {name: orders-1, namespace: shop, labels: {app: orders}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}
`,
  mend: [['podSelector: {matchLabels: {app: web}}', 'podSelector: {}']],
  foreign: (mesh, find) => {
    const policies = mesh.kind('NetworkPolicy', 'networking.k8s.io');
    if (policies.length === 0) return;
    for (const pod of mesh.workloads) {
      const isolated = policies.some((policy) => {
        const { podSelector, policyTypes } = specOf(policy);
        const closes = textList(policyTypes)?.includes('Ingress') ?? true;
        return closes && (policy.namespace ?? 'default') === pod.namespace && isMap(podSelector) && fitsSelector(pod.labels, podSelector);
      });
      if (!isolated)
        find(pod.resource, ['metadata', 'name'], `no NetworkPolicy isolates \`${pod.name}\``, {
          fix: 'add one for its namespace with `podSelector: {}` and `policyTypes: [Ingress]`',
        });
    }
  },
};
