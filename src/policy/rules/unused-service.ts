// A service of the policy that no rule speaks of: nothing may call it and it may call nothing.
import type { LintRule } from '../lint.ts';
import type { WhoText } from '../reader/rule-text.ts';

export const unusedService: LintRule = {
  id: 'unused-service',
  summary:
    'No rule names the service, directly or through a group, namespace or tier: nothing may call it and it may call nothing. Often a rule was forgotten, or the entry is left over.',
  run: ({ document, names }) => {
    const named = new Set<string>();
    const mention = (who: WhoText): void => {
      for (const service of names.services.values()) {
        const all = who.kind === 'mesh' || who.kind === 'any' || who.kind === 'tier';
        const same =
          (who.kind === 'name' && who.name === service.name) ||
          (who.kind === 'ns' && who.name === service.namespace) ||
          (who.kind === 'sa' && who.name === service.service && who.namespace === service.namespace);
        if (all || same || (who.kind === 'id' && who.id.endsWith(`/ns/${service.namespace}/sa/${service.service}`)))
          named.add(service.name);
      }
      if (who.kind === 'name')
        for (const member of names.groups.get(who.name)?.members ?? [])
          if (member.who.kind !== 'name' || !names.groups.has(member.who.name)) mention(member.who);
    };
    for (const rule of [...document.allow, ...document.deny]) {
      mention(rule.from);
      mention(rule.to);
    }
    return document.services
      .filter((service) => !named.has(service.name) && service.id?.includes('*') !== true)
      .map((service) => ({
        rule: 'unused-service',
        severity: 'warning' as const,
        what: `service \`${service.name}\` is named by no rule`,
        why: 'under default deny nothing may call it, and it may call nothing',
        fix: 'add a rule, or remove the entry',
        place: service.place,
      }));
  },
};
