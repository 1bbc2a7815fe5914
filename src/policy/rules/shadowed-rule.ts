// An allow that a deny takes back whole.
import { ruleCovers, scopeCovers } from '../foreign/istio/covers.ts';
import { covering } from '../native-covers.ts';
import type { LintRule } from '../rule.ts';

export const shadowedRule: LintRule = {
  id: 'shadowed-rule',
  severity: 'warning',
  summary: 'A `deny` covers every request that the rule allows. Deny is judged first, so the rule grants nothing.',
  wrong: `apiVersion: meshctl.dev/v1
kind: Policy
services: {web: {}, orders: {}}
allow:
  - web -> orders: GET /orders/*
deny:
  - web -> orders: any
`,
  mend: [['deny:\n  - web -> orders: any\n', '']],
  native: (input) =>
    covering(input, input.document.allow, input.document.deny).map(({ inner, outer }) => ({
      rule: 'shadowed-rule',
      severity: 'warning' as const,
      what: `the deny at ${outer.place.file}:${outer.place.line} covers all of it`,
      fix: 'remove one of the two',
      place: inner.place,
    })),
  foreign: ({ authorizations, settings }, find) => {
    const denies = authorizations.filter(({ action, isDryRun }) => action === 'DENY' && !isDryRun);
    for (const policy of authorizations.filter(({ action }) => action === 'ALLOW'))
      for (const rule of policy.rules) {
        const by = denies.find(
          (deny) => scopeCovers(deny, policy, settings.rootNamespace) && deny.rules.some((each) => ruleCovers(each, rule)),
        );
        if (by !== undefined)
          find(policy.resource, rule.path, `DENY \`${by.resource.name}\` covers all of it, so it allows nothing`, {
            fix: 'remove one of the two',
          });
      }
  },
};
