// A policy that selects nothing.
import { selectedBy } from '../foreign/model.ts';
import type { LintRule } from '../rule.ts';

export const noWorkload: LintRule = {
  id: 'no-workload',
  severity: 'warning',
  summary:
    'No pod of the files has the labels that an Istio policy selects, or its namespace has none: it protects nothing. Judged when the files hold workloads.',
  see: ['IST0127', 'KIA0004'],
  wrong: `apiVersion: v1
kind: Pod
metadata: {name: orders-1, namespace: shop, labels: {app: orders}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  selector: {matchLabels: {app: order}}
`,
  mend: [['app: order}}\n', 'app: orders}}\n']],
  foreign: (mesh, find) => {
    if (mesh.workloads.length === 0) return;
    for (const { resource, selector, targets } of mesh.authorizations) {
      const labels = Object.entries(selector).map(([key, value]) => `${key}=${value}`);
      const isMeshWide = resource.namespace === mesh.settings.rootNamespace;
      if ((isMeshWide && labels.length === 0) || targets.length > 0) continue;
      if (selectedBy(mesh, resource.namespace, selector).length > 0) continue;
      const what =
        labels.length === 0 ? `no workload is in namespace \`${resource.namespace}\`` : `no workload has the labels ${labels.join(', ')}`;
      find(resource, ['spec', 'selector'], `${what}, so the policy protects nothing`, { fix: 'select labels that pods have' });
    }
  },
};
