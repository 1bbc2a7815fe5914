// A service without a tier in a mesh that has tiers counts as the lowest, as caller and as callee.
import type { LintRule } from '../rule.ts';

export const unlabelledService: LintRule = {
  id: 'unlabelled-service',
  severity: 'warning',
  summary:
    'The policy has tiers and the service has none: it counts as the least trusted, as caller and as callee, so anything in the mesh that a rule names may call it.',
  wrong: `apiVersion: meshctl.dev/v1
kind: Policy
tiers: [low, high]
services:
  ingress: {tier: low}
  web: {tier: low}
  payments: {}
allow:
  - web -> payments: any
`,
  mend: [['payments: {}', 'payments: {tier: high}']],
  native: ({ document, names }) => {
    if (document.tiers.length === 0) return [];
    return [...names.services.values()]
      .filter((service) => service.tier === undefined && (service.inMesh || service.place !== undefined))
      .map((service) => ({
        rule: 'unlabelled-service',
        severity: 'warning' as const,
        what: `service \`${service.name}\` has no tier and counts as \`${document.tiers[0]?.name}\``,
        fix: `write \`${service.name}: {tier: …}\` under \`services:\``,
        // One that the policy does not list is missing where the tiers are.
        place: service.place ?? (document.tiers[0] as (typeof document.tiers)[number]).place,
      }));
  },
};
