// Each hop is allowed by its tier, and the whole way is not what the tiers promise.
import type { Finding } from '../../base/finding.ts';
import type { IdentityClass } from '../identities.ts';
import { type Hop, printRequest, Reachability } from '../reachability.ts';
import type { LintRule } from '../rule.ts';
import { reachable } from '../verify.ts';

export const unbrokeredPath: LintRule = {
  id: 'unbrokered-path',
  severity: 'error',
  summary:
    'A service below the floor of a tier reaches that tier through others, each hop allowed by `acceptsFrom`, and none of them is a `bridge`. The floor looks at one hop; the promise is about the whole way. An error for the most trusted tier, a warning for those below.',
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
  native: ({ document, names, nowMs, compiled }) => {
    const floors = document.tiers.flatMap((tier, rank) => {
      const floor = tier.acceptsFrom === undefined ? rank : (names.tiers.get(tier.acceptsFrom) ?? rank);
      // A tier that takes calls from its own alone cannot be reached past its floor.
      return floor === 0 || floor === rank ? [] : [{ tier, floor, isTop: rank === document.tiers.length - 1 }];
    });
    if (floors.length === 0) return [];
    const policy = compiled();
    if (policy === undefined) return [];
    const reach = new Reachability(policy, nowMs);
    const rankOf = (each: IdentityClass): number => names.tiers.get(reach.tierOf(each) ?? '') ?? 0;
    return floors.flatMap(({ tier, floor, isTop }): Finding[] => {
      const below = reach.classes.filter((each) => each.id !== undefined && rankOf(each) < floor && !reach.isBridge(each));
      const came = new Map(reachable(reach, below, true).map(({ hop }) => [hop.to, hop]));
      return [...came.values()].flatMap(({ to }): Finding[] => {
        // A bridge is what may stand between.
        if (reach.tierOf(to) !== tier.name || reach.isBridge(to)) return [];
        const hops: Hop[] = [];
        for (let hop = came.get(to); hop !== undefined; hop = came.get(hop.from)) hops.unshift(hop);
        const path = hops.map((hop) => `${hop.from.label} -> ${hop.to.label} (${printRequest(hop.request)})`).join(', then ');
        return [
          {
            rule: 'unbrokered-path',
            severity: isTop ? 'error' : 'warning',
            what: `\`${to.label}\` is reached from below the floor of its tier: ${path}`,
            fix: 'name the service that is meant to stand between as a `bridge`, or close one of the hops',
            place: names.services.get(to.service ?? '')?.place ?? tier.place,
          },
        ];
      });
    });
  },
};
