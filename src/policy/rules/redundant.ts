// An allow that another one makes needless.
import { ruleCovers, scopeCovers } from '../foreign/istio/covers.ts';
import { covering } from '../native-covers.ts';
import type { LintRule } from '../rule.ts';

export const redundant: LintRule = {
  id: 'redundant',
  severity: 'warning',
  summary: 'Another rule allows every request that this one allows. Whoever removes this one to close something closes nothing.',
  wrong: `apiVersion: meshctl.dev/v1
kind: Policy
services: {web: {}, orders: {}}
allow:
  - web -> orders: GET /orders/**
  - web -> orders: GET /orders/*/items
`,
  mend: [['  - web -> orders: GET /orders/*/items\n', '']],
  native: (input) =>
    covering(input, input.document.allow, input.document.allow).map(({ inner, outer }) => ({
      rule: 'redundant',
      severity: 'warning' as const,
      what: `the rule at ${outer.place.file}:${outer.place.line} allows all of it`,
      fix: 'remove one of the two',
      place: inner.place,
    })),
  foreign: ({ authorizations, settings }, find) => {
    const allows = authorizations
      .filter(({ action, isDryRun }) => action === 'ALLOW' && !isDryRun)
      .flatMap((policy) => policy.rules.map((rule) => ({ policy, rule })));
    const covers = (a: (typeof allows)[number], b: (typeof allows)[number]): boolean =>
      scopeCovers(a.policy, b.policy, settings.rootNamespace) && ruleCovers(a.rule, b.rule);
    allows.forEach((each, i) => {
      // Of two that say the same the later one is needless.
      const by = allows.find((other, k) => k !== i && covers(other, each) && (k < i || !covers(each, other)));
      if (by !== undefined)
        find(each.policy.resource, each.rule.path, `\`${by.policy.resource.name}\` allows all of it`, { fix: 'remove one of the two' });
    });
  },
};
