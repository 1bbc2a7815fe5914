// Case is never normalized.
import type { LintRule } from '../rule.ts';

export const pathCase: LintRule = {
  id: 'path-case',
  severity: 'info',
  summary:
    'A DENY lists one spelling of a path. Case is never normalized, so `/Admin` passes where a server that ignores case takes it for `/admin`. Allowing what is wanted has no such gap.',
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
    ['/admin', '/orders'],
  ],
  foreign: ({ authorizations }, find) => {
    for (const { resource, action, rules } of authorizations) {
      if (action !== 'DENY') continue;
      for (const field of rules.flatMap(({ to }) => (to ?? []).flat()).filter(({ name, isNot }) => name === 'paths' && !isNot)) {
        const lower = field.values.map((value) => value.toLowerCase());
        field.values.forEach((pattern, i) => {
          if (!/[a-z]/i.test(pattern) || lower.indexOf(pattern.toLowerCase()) !== lower.lastIndexOf(pattern.toLowerCase())) return;
          find(resource, [...field.path, i], `other cases of \`${pattern}\` are not denied`, { fix: 'allow the paths that are wanted' });
        });
      }
    }
  },
};
