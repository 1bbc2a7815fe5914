// A promise under `invariants:` that the rules break: proved with a path of requests, each of which the policy allows.
import type { Finding } from '../../base/finding.ts';
import { printRequest } from '../reachability.ts';
import type { LintRule } from '../rule.ts';
import { verify } from '../verify.ts';

export const invariantViolated: LintRule = {
  id: 'invariant-violated',
  severity: 'error',
  summary:
    'The rules break a promise that the policy makes under `invariants:`. The finding shows one path of requests, each of which is allowed; `policy verify` shows more.',
  wrong: `apiVersion: meshctl.dev/v1
kind: Policy
services: {web: {}, orders: {}, payments: {}}
allow:
  - web -> orders: any
  - orders -> payments: POST /charge
invariants:
  - never: web => payments
    why: cards are seen by payments alone
`,
  mend: [['  - orders -> payments: POST /charge\n', '']],
  native: ({ document, names, compiled }) => {
    if (document.invariants.length === 0) return [];
    const policy = compiled();
    if (policy === undefined) return [];
    return verify({ policy, names, invariants: document.invariants, ports: [], atMs: Date.now() }).flatMap((each): Finding[] => {
      if (each.verdict === 'holds') return [];
      const { invariant, what, hops, cut } = each;
      const path = hops.map(({ from, to, request }) => `${from.label} -> ${to.label} (${printRequest(request)})`).join(', then ');
      const rules = [...new Set(cut.flatMap((edge) => edge.rules.map(({ rule, place }) => `\`${rule}\` (${place})`)))];
      return [
        {
          rule: 'invariant-violated',
          severity: 'error',
          what: `\`${invariant.id}\`: ${what}${path === '' ? '' : `: ${path}`}`,
          ...(invariant.why === undefined ? {} : { why: invariant.why }),
          ...(rules.length === 0 ? {} : { fix: `without ${rules.join(' and ')} it would hold` }),
          place: invariant.place,
        },
      ];
    });
  },
};
