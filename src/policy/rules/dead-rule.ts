// A rule that no request can fit.
import { contradiction } from '../foreign/istio/covers.ts';
import type { LintRule } from '../rule.ts';

export const deadRule: LintRule = {
  id: 'dead-rule',
  severity: 'warning',
  summary:
    'No request fits the rule: what it names it also excludes (`principals: [a]` beside `notPrincipals: ["*"]`), or its `until` has passed.',
  wrong: `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  rules:
    - from: [{source: {namespaces: [web], notNamespaces: [web]}}]
`,
  mend: [['notNamespaces: [web]', 'notNamespaces: [dev]']],
  native: ({ document, nowMs }) =>
    [...document.allow, ...document.deny]
      .filter(({ untilMs }) => untilMs !== undefined && untilMs <= nowMs)
      .map((rule) => ({
        rule: 'dead-rule',
        severity: 'warning' as const,
        what: 'its `until` has passed: the rule is not in force any more',
        fix: 'remove it, or give it a later end',
        place: rule.place,
      })),
  foreign: ({ authorizations }, find) => {
    for (const { resource, rules } of authorizations)
      for (const rule of rules) {
        const field = contradiction(rule);
        if (field !== undefined)
          find(resource, field.path, 'fits nothing: all of it is excluded beside', { fix: 'remove the rule, or the exclusion' });
      }
  },
};
