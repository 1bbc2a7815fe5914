// A bridge lifts the tier floor on its edges; somebody has to answer for that.
import type { LintRule } from '../rule.ts';

export const bridgeWithoutOwner: LintRule = {
  id: 'bridge-without-owner',
  severity: 'warning',
  summary: 'A `bridge` lifts the tier floor on every edge into and out of it. It should name an `owner` who answers for that.',
  wrong: `apiVersion: meshctl.dev/v1
kind: Policy
services:
  orders: {bridge: true}
allow:
  - web -> orders: any
`,
  mend: [['bridge: true', 'bridge: true, owner: team-shop']],
  native: ({ document }) =>
    document.services
      .filter((service) => service.bridge && service.owner === undefined)
      .map((service) => ({
        rule: 'bridge-without-owner',
        severity: 'warning' as const,
        what: `bridge \`${service.name}\` names no owner`,
        fix: `write \`owner:\` beside \`bridge: true\``,
        place: service.place,
      })),
};
