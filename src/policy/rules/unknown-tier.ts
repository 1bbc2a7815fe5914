// A service, a rule or a floor names a tier that `tiers:` does not have.
import type { Finding } from '../../base/finding.ts';
import type { Place } from '../../base/place.ts';
import { didYouMean } from '../../base/suggest.ts';
import type { LintRule } from '../rule.ts';

export const unknownTier: LintRule = {
  id: 'unknown-tier',
  severity: 'error',
  summary: 'A service, rule or `acceptsFrom` names a tier that `tiers:` does not list, or a tier is listed twice.',
  wrong: `apiVersion: meshctl.dev/v1
kind: Policy
tiers: [low, high]
services:
  web: {tier: lwo}
allow:
  - web -> web: any
`,
  mend: [['lwo', 'low']],
  native: ({ document, names, mesh }) => {
    const findings: Finding[] = [];
    const check = (tier: string | undefined, place: Place | undefined): void => {
      if (tier === undefined || names.tiers.has(tier)) return;
      findings.push({
        rule: 'unknown-tier',
        severity: 'error',
        what: `no tier is called \`${tier}\`${didYouMean(tier, names.tiers.keys())}`,
        fix: 'list it under `tiers:`, least trusted first',
        ...(place === undefined ? {} : { place }),
      });
    };
    for (const service of document.services) check(service.tier, service.tierPlace);
    if (document.tiers.length > 0) for (const service of Object.values(mesh?.services ?? {})) check(service.tier, undefined);
    for (const tier of document.tiers) {
      check(tier.acceptsFrom, tier.place);
      if (document.tiers.find((each) => each.name === tier.name) !== tier)
        findings.push({ rule: 'unknown-tier', severity: 'error', what: `tier \`${tier.name}\` is listed twice`, place: tier.place });
    }
    for (const rule of [...document.allow, ...document.deny]) {
      if (rule.from.kind === 'tier') check(rule.from.name, rule.fromPlace);
      if (rule.to.kind === 'tier') check(rule.to.name, rule.toPlace);
    }
    return findings;
  },
};
