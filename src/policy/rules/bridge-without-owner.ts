// A bridge lifts the tier floor on its edges; somebody has to answer for that.
import type { LintRule } from '../lint.ts';

export const bridgeWithoutOwner: LintRule = {
  id: 'bridge-without-owner',
  summary: 'A `bridge` lifts the tier floor on every edge into and out of it. It should name an `owner` who answers for that.',
  run: ({ document }) =>
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
