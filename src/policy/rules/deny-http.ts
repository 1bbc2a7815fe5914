// A deny that speaks of methods or paths is the shape that attackers walk around with another spelling.
import type { LintRule } from '../rule.ts';

export const denyHttp: LintRule = {
  id: 'deny-http',
  severity: 'error',
  summary:
    'A `deny` with a method or path. Other spellings of the path may reach the same handler; denying whole edges or ports and allowing exact paths cannot be bypassed that way.',
  wrong: `apiVersion: meshctl.dev/v1
kind: Policy
allow:
  - web -> orders: any
deny:
  - web -> orders: GET /admin
`,
  mend: [
    ['web -> orders: any', 'web -> orders: GET /orders/*'],
    ['deny:\n  - web -> orders: GET /admin\n', ''],
  ],
  native: ({ document }) =>
    document.deny
      .filter((rule) => rule.operations.some((operation) => operation.kind === 'http'))
      .map((rule) => ({
        rule: 'deny-http',
        severity: 'error' as const,
        what: 'a `deny` takes `any`, `tcp` or a port, not methods or paths',
        why: 'another spelling of the path could pass',
        fix: 'allow what is wanted by exact path instead; everything else is denied',
        place: rule.place,
      })),
};
