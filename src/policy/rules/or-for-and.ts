// Two rules where one was meant.
import type { LintRule } from '../rule.ts';

export const orForAnd: LintRule = {
  id: 'or-for-and',
  severity: 'warning',
  summary:
    'One rule of an ALLOW has `from` and no `to`, the next has `to` and no `from`: most often one rule, cut in two by a dash too many. As it stands the second lets any caller in.',
  see: ['istio/istio#24665'],
  wrong: `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  rules:
    - from: [{source: {namespaces: [web]}}]
    - to: [{operation: {methods: [GET]}}]
`,
  mend: [['    - to:', '      to:']],
  foreign: ({ authorizations }, find) => {
    for (const { resource, action, rules } of authorizations) {
      if (action !== 'ALLOW') continue;
      rules.forEach((rule, i) => {
        const before = rules[i - 1];
        if (before === undefined || before.from === undefined || before.to !== undefined) return;
        if (rule.from !== undefined || rule.to === undefined || rule.when.length > 0) return;
        find(resource, rule.path, 'lets any caller in: `from` stands in the rule before', {
          why: 'rules are alternatives: one that fits is enough',
          fix: 'remove the dash, so that `from` and `to` are one rule',
        });
      });
    }
  },
};
