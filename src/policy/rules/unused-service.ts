// A service of the policy that no rule speaks of: nothing may call it and it may call nothing.
import type { LintRule } from '../rule.ts';

export const unusedService: LintRule = {
  id: 'unused-service',
  severity: 'warning',
  summary:
    'No rule names the service, directly or through a group, namespace or tier: nothing may call it and it may call nothing. Often a rule was forgotten, or the entry is left over.',
  wrong: `apiVersion: meshctl.dev/v1
kind: Policy
services: {web: {}, orders: {}, reviews: {}}
allow:
  - web -> orders: any
`,
  mend: [[', reviews: {}', '']],
  native: ({ document, resolver }) => {
    const named = new Set([...document.allow, ...document.deny].flatMap(({ from, to }) => [resolver.meant(from), resolver.meant(to)]));
    const used = new Set([...named].flatMap((services) => services.map(({ name }) => name)));
    return document.services
      .filter((service) => !used.has(service.name) && service.id?.includes('*') !== true)
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
