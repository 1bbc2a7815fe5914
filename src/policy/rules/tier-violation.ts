// An allow rule below the callee's trust tier: it grants nothing, because the floor is enforced before every allow.
import type { Finding } from '../../base/finding.ts';
import type { LintRule } from '../rule.ts';

export const tierViolation: LintRule = {
  id: 'tier-violation',
  severity: 'error',
  summary:
    'An allow rule lets a less trusted tier call a more trusted one below its `acceptsFrom`, with no bridge at either end. The proxy refuses such calls whatever the rule says; the rule shows that somebody expects otherwise.',
  wrong: `apiVersion: meshctl.dev/v1
kind: Policy
tiers: [low, high]
services:
  web: {tier: low}
  payments: {tier: high}
allow:
  - web -> payments: POST /charge
`,
  mend: [['payments: {tier: high}', 'payments: {tier: low}']],
  native: ({ document, names, resolver }) => {
    if (document.tiers.length === 0) return [];
    const findings: Finding[] = [];
    for (const rule of document.allow) {
      for (const callee of resolver.meant(rule.to)) {
        if (callee.bridge) continue;
        const calleeRank = resolver.rankOf(callee);
        const tier = document.tiers[calleeRank];
        if (tier === undefined) continue;
        const floor = tier.acceptsFrom === undefined ? calleeRank : (names.tiers.get(tier.acceptsFrom) ?? calleeRank);
        const below = resolver
          .meant(rule.from)
          .filter((caller) => !caller.bridge && caller.name !== callee.name && resolver.rankOf(caller) < floor);
        if (below.length === 0) continue;
        const wide = rule.from.kind !== 'name' || rule.to.kind !== 'name';
        findings.push({
          rule: 'tier-violation',
          severity: wide ? 'warning' : 'error',
          what: `${below.map((caller) => `\`${caller.name}\` (tier ${document.tiers[resolver.rankOf(caller)]?.name})`).join(', ')} may not call \`${callee.name}\` (tier ${tier.name}, accepts from ${document.tiers[floor]?.name})`,
          why: 'the tier floor is enforced before every allow rule, so this grant never takes effect',
          fix: `remove the rule, lower \`acceptsFrom\` of tier \`${tier.name}\`, or go through a \`bridge\``,
          place: rule.place,
        });
        break;
      }
    }
    return findings;
  },
};
