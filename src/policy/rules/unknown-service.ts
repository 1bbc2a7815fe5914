// A rule or a group names a service that neither the mesh file nor the policy has.
import type { Finding } from '../../base/finding.ts';
import type { Place } from '../../base/place.ts';
import { didYouMean } from '../../base/suggest.ts';
import type { WhoText } from '../reader/rule-text.ts';
import type { LintRule } from '../rule.ts';

export const unknownService: LintRule = {
  id: 'unknown-service',
  severity: 'error',
  summary: 'A rule or group names a service or group that does not exist, so it protects or grants nothing; the policy is not applied.',
  wrong: `apiVersion: meshctl.dev/v1
kind: Policy
services: {web: {}, orders: {}}
allow:
  - web -> odrers: any
`,
  mend: [['odrers', 'orders']],
  native: ({ document, names }) => {
    const known = [...names.services.keys(), ...names.groups.keys()];
    const findings: Finding[] = [];
    const check = (who: WhoText, place: Place, inGroup: boolean): void => {
      if (who.kind !== 'name' || names.services.has(who.name)) return;
      if (names.groups.has(who.name)) {
        if (inGroup)
          findings.push({
            rule: 'unknown-service',
            severity: 'error',
            what: `group \`${who.name}\` stands inside a group: groups hold services and identities`,
            place,
          });
        return;
      }
      findings.push({
        rule: 'unknown-service',
        severity: 'error',
        what: `no service or group is called \`${who.name}\`${didYouMean(who.name, known)}`,
        fix: names.hasMesh
          ? 'declare it in the mesh file or under `services:`'
          : 'declare it under `services:`, or name the mesh file with `--mesh`',
        place,
      });
    };
    for (const rule of [...document.allow, ...document.deny]) {
      check(rule.from, rule.fromPlace, false);
      check(rule.to, rule.toPlace, false);
    }
    for (const group of document.groups) {
      for (const member of group.members) check(member.who, member.place, true);
    }
    return findings;
  },
};
