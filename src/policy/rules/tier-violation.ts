// An allow rule below the callee's trust tier: it grants nothing, because the floor is enforced before every allow.
import type { Finding } from '../../base/finding.ts';
import type { LintInput, LintRule } from '../lint.ts';
import type { NamedService } from '../names.ts';
import type { WhoText } from '../reader/rule-text.ts';

export const tierViolation: LintRule = {
  id: 'tier-violation',
  summary:
    'An allow rule lets a less trusted tier call a more trusted one below its `acceptsFrom`, with no bridge at either end. The proxy refuses such calls whatever the rule says; the rule shows that somebody expects otherwise.',
  run: (input) => {
    const { document, names } = input;
    if (document.tiers.length === 0) return [];
    const findings: Finding[] = [];
    for (const rule of document.allow) {
      for (const callee of servicesOf(rule.to, input)) {
        if (callee.bridge) continue;
        const calleeRank = rankOf(callee, input);
        const tier = document.tiers[calleeRank];
        if (tier === undefined) continue;
        const floor = tier.acceptsFrom === undefined ? calleeRank : (names.tiers.get(tier.acceptsFrom) ?? calleeRank);
        const below = servicesOf(rule.from, input).filter(
          (caller) => !caller.bridge && caller.name !== callee.name && rankOf(caller, input) < floor,
        );
        if (below.length === 0) continue;
        const wide = rule.from.kind !== 'name' || rule.to.kind !== 'name';
        findings.push({
          rule: 'tier-violation',
          severity: wide ? 'warning' : 'error',
          what: `${below.map((caller) => `\`${caller.name}\` (tier ${document.tiers[rankOf(caller, input)]?.name})`).join(', ')} may not call \`${callee.name}\` (tier ${tier.name}, accepts from ${document.tiers[floor]?.name})`,
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

function rankOf(service: NamedService, { names }: LintInput): number {
  return service.tier === undefined ? 0 : (names.tiers.get(service.tier) ?? 0);
}

function servicesOf(who: WhoText, input: LintInput): NamedService[] {
  const all = [...input.names.services.values()];
  switch (who.kind) {
    case 'any':
    case 'mesh':
      return all;
    case 'ns':
      return all.filter((service) => service.namespace === who.name);
    case 'sa':
      return all.filter((service) => service.namespace === who.namespace && service.service === who.name);
    case 'tier': {
      const rank = input.names.tiers.get(who.name) ?? -1;
      return all.filter((service) =>
        who.compare === '='
          ? rankOf(service, input) === rank
          : who.compare === '<'
            ? rankOf(service, input) < rank
            : rankOf(service, input) >= rank,
      );
    }
    case 'name': {
      const service = input.names.services.get(who.name);
      if (service !== undefined) return [service];
      return (input.names.groups.get(who.name)?.members ?? []).flatMap((member) =>
        member.who.kind === 'name' && input.names.groups.has(member.who.name) ? [] : servicesOf(member.who, input),
      );
    }
    case 'id':
      return all.filter((service) => who.id.endsWith(`/ns/${service.namespace}/sa/${service.service}`));
    case 'td':
      return [];
  }
}
