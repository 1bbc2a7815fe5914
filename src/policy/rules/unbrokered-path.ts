// Each hop is allowed by its tier, and the whole way is not what the tiers promise.
import type { Finding } from '../../base/finding.ts';
import { compilePolicy, meshOfPolicy } from '../compile.ts';
import { printRequest } from '../reachability.ts';
import type { Invariant } from '../reader/invariant-node.ts';
import type { LintRule } from '../rule.ts';
import { verify } from '../verify.ts';

export const unbrokeredPath: LintRule = {
  id: 'unbrokered-path',
  severity: 'error',
  summary:
    'A service below the floor of a tier reaches that tier through others, each hop allowed by `acceptsFrom`, and none of them is a `bridge`. The floor looks at one hop; the promise is about the whole way.',
  wrong: `apiVersion: meshctl.dev/v1
kind: Policy
tiers: [edge, {name: low, acceptsFrom: edge}, {name: high, acceptsFrom: low}]
services:
  gateway: {tier: edge}
  web: {tier: low}
  payments: {tier: high}
allow:
  - gateway -> web: any
  - web -> payments: POST /charge
`,
  mend: [['web: {tier: low}', 'web: {tier: low, bridge: true, owner: team-web}']],
  native: ({ document, names, mesh, nowMs }) => {
    // A tier that takes calls from its own alone cannot be reached past its floor.
    const invariants = document.tiers.flatMap((tier, rank): Invariant[] => {
      const floor = tier.acceptsFrom === undefined ? rank : (names.tiers.get(tier.acceptsFrom) ?? rank);
      if (floor === 0 || floor === rank) return [];
      const from = { kind: 'tier', compare: '<', name: document.tiers[floor]?.name ?? '' } as const;
      const to = { kind: 'tier', compare: '=', name: tier.name } as const;
      return [
        { id: tier.name, place: tier.place, why: undefined, kind: 'never', from, to, atMostHops: Number.POSITIVE_INFINITY, direct: false },
      ];
    });
    if (invariants.length === 0) return [];
    const policy = compilePolicy(document, [], mesh ?? meshOfPolicy(document), 0);
    if (policy.unreadable !== undefined) return [];
    return verify({ policy, names, invariants, ports: [], atMs: nowMs }).flatMap(({ verdict, hops, invariant }): Finding[] => {
      if (verdict !== 'violated') return [];
      const path = hops.map(({ from, to, request }) => `${from.label} -> ${to.label} (${printRequest(request)})`).join(', then ');
      return [
        {
          rule: 'unbrokered-path',
          severity: 'error',
          what: `tier \`${invariant.id}\` is reached from below its floor: ${path}`,
          fix: 'name the service that is meant to stand between as a `bridge`, or close one of the hops',
          place: invariant.place,
        },
      ];
    });
  },
};
