// A list of bad paths is a list of spellings, and there are more spellings than anybody lists.
import { spellingsPast } from '../foreign/istio/spellings.ts';
import type { LintRule } from '../rule.ts';

const SHOWN = 4;

export const denyPathBypass: LintRule = {
  id: 'deny-path-bypass',
  severity: 'warning',
  summary:
    'A DENY with `paths`, or an ALLOW with `notPaths`, closes the paths as they are written. The finding lists spellings that many servers take for the same path and that still pass under the normalization in force. Allowing what is wanted has no such gap.',
  see: ['CVE-2019-9901', 'CVE-2021-31920', 'CVE-2021-29492', 'CVE-2024-10005'],
  wrong: `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-admin, namespace: shop}
spec:
  action: DENY
  rules:
    - to: [{operation: {paths: [/admin]}}]
`,
  mend: [
    ['action: DENY', 'action: ALLOW'],
    ['paths: [/admin]', 'paths: [/orders, "/orders/{**}"]'],
  ],
  foreign: ({ authorizations, settings }, find) => {
    for (const { resource, action, rules } of authorizations)
      for (const { to } of rules)
        for (const operation of to ?? [])
          for (const field of operation) {
            if (field.name !== 'paths' || field.isNot !== (action === 'ALLOW') || !['ALLOW', 'DENY'].includes(action)) continue;
            // A list of what is wanted beside it decides.
            if (field.isNot && operation.some(({ name, isNot }) => name === 'paths' && !isNot)) continue;
            field.values.forEach((pattern, i) => {
              const past = spellingsPast(pattern, field.values, settings.pathNormalization);
              if (past.length === 0) return;
              find(
                resource,
                [...field.path, i],
                `\`${pattern}\` is closed as it is written; ${past
                  .slice(0, SHOWN)
                  .map((path) => `\`${path}\``)
                  .join(', ')} still pass`,
                {
                  why: `path normalization here is ${settings.pathNormalization}, and servers differ in what they take for the same path`,
                  fix: `allow the paths that are wanted${settings.pathNormalization === 'DECODE_AND_MERGE_SLASHES' ? '' : ', or set DECODE_AND_MERGE_SLASHES, which closes some of them'}`,
                },
              );
            });
          }
  },
};
