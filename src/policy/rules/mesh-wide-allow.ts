// One ALLOW for everybody in the root namespace opens the mesh.
import type { LintRule } from '../rule.ts';

export const meshWideAllow: LintRule = {
  id: 'mesh-wide-allow',
  severity: 'error',
  summary:
    'An ALLOW in the root namespace without a selector has a rule for any source. ALLOW policies are alternatives: this one cancels the default deny of every namespace.',
  wrong: `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: all, namespace: istio-system}
spec:
  rules: [{}]
`,
  mend: [['  rules: [{}]', '  {}']],
  foreign: ({ authorizations, settings }, find) => {
    for (const { resource, action, rules, selector, targets, isDryRun } of authorizations) {
      if (action !== 'ALLOW' || isDryRun || resource.namespace !== settings.rootNamespace) continue;
      if (Object.keys(selector).length > 0 || targets.length > 0) continue;
      for (const { from, when, path } of rules)
        if ((from === undefined || from.some((source) => source.length === 0)) && when.length === 0)
          find(resource, path, 'lets any caller into every workload of the mesh', {
            why: 'ALLOW policies are alternatives: this one fits even where a namespace denies by default',
            fix: 'name the callers, or move the rule to the namespace that it is for',
          });
    }
  },
};
