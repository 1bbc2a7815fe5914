// A deny that speaks of methods or paths is the shape that attackers walk around with another spelling.
import type { LintRule } from '../lint.ts';

export const denyHttp: LintRule = {
  id: 'deny-http',
  summary:
    'A `deny` with a method or path. Other spellings of the path may reach the same handler; denying whole edges or ports and allowing exact paths cannot be bypassed that way.',
  run: ({ document }) =>
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
