// A policy that watches, where nothing acts.
import { hasLabels } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

export const dryRunOnly: LintRule = {
  id: 'dry-run-only',
  severity: 'warning',
  summary:
    'Only policies with `istio.io/dry-run` cover the workload: they neither allow nor deny, and without another ALLOW everybody is let in.',
  wrong: `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop, annotations: {istio.io/dry-run: "true"}}
spec:
  selector: {matchLabels: {app: orders}}
  rules: [{from: [{source: {namespaces: [web]}}]}]
`,
  mend: [['istio.io/dry-run: "true"', 'istio.io/dry-run: "false"']],
  foreign: ({ authorizations, settings }, find) => {
    for (const policy of authorizations.filter(({ isDryRun, action }) => isDryRun && action === 'ALLOW')) {
      const acts = authorizations.some(
        (each) =>
          !each.isDryRun &&
          each.action === 'ALLOW' &&
          [policy.resource.namespace, settings.rootNamespace].includes(each.resource.namespace) &&
          hasLabels(policy.selector, each.selector),
      );
      if (!acts)
        find(
          policy.resource,
          ['metadata', 'annotations', 'istio.io/dry-run'],
          'only watches, and no other ALLOW acts on the same workload',
          {
            fix: 'remove the annotation once its log is what you expect',
          },
        );
    }
  },
};
