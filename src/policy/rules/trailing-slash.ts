// `/admin` and `/admin/`, `/admin*` and `/administrator`.
import type { LintRule } from '../rule.ts';

export const trailingSlash: LintRule = {
  id: 'trailing-slash',
  severity: 'warning',
  summary:
    'A DENY lists `/admin` and not `/admin/`, which most servers take for the same; or a prefix without a slash, `/admin*`, also covers `/administrator`. `/admin` together with `/admin/{**}` is what was meant.',
  wrong: `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: admin, namespace: shop}
spec:
  rules:
    - from: [{source: {namespaces: [ops]}}]
      to: [{operation: {paths: [/admin*]}}]
`,
  mend: [['[/admin*]', '[/admin, "/admin/{**}"]']],
  foreign: ({ authorizations }, find) => {
    for (const { resource, action, rules } of authorizations)
      for (const field of rules.flatMap(({ to }) => (to ?? []).flat()).filter(({ name }) => name === 'paths'))
        field.values.forEach((pattern, i) => {
          const at = [...field.path, i];
          if (/^\/.*[^/*]\*$/.test(pattern))
            find(resource, at, `\`${pattern}\` also covers \`${pattern.slice(0, -1)}x\``, {
              fix: `write \`${pattern.slice(0, -1)}\` and \`${pattern.slice(0, -1)}/{**}\``,
            });
          else if (action === 'DENY' && !field.isNot && /^\/[^*{}]*[^/*{}]$/.test(pattern)) {
            if (field.values.some((each) => each === `${pattern}/` || each.startsWith(`${pattern}/{**}`) || each === `${pattern}/*`))
              return;
            find(resource, at, `\`${pattern}/\` is not denied`, { fix: `add \`${pattern}/{**}\`` });
          }
        });
  },
};
