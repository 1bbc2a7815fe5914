// A dot that was a regular expression's.
import { fieldsIn } from '../foreign/model.ts';
import { isBefore } from '../foreign/version.ts';
import type { LintRule } from '../rule.ts';

export const saRegex: LintRule = {
  id: 'sa-regex',
  severity: 'warning',
  summary:
    'Before Istio 1.28.6 and 1.29.2 a dot in `serviceAccounts` stood for any letter: `a.b` also let `axb` in. Said when `--mesh-version` names such a version.',
  see: ['CVE-2026-39350'],
  wrong: `# meshctl policy lint --mesh-version 1.28.5
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  rules:
    - from: [{source: {serviceAccounts: [shop/web.v1]}}]
`,
  mend: [['--mesh-version 1.28.5', '--mesh-version 1.28.6']],
  foreign: ({ authorizations, settings }, find) => {
    if (!isBefore(settings.version, { '1.28': '1.28.6', '1.29': '1.29.2' })) return;
    for (const { resource, rules } of authorizations)
      for (const field of rules.flatMap(fieldsIn).filter(({ name }) => name === 'serviceAccounts' || name === 'source.serviceAccount'))
        field.values.forEach((value, i) => {
          if (value.includes('.'))
            find(resource, [...field.path, i], `in ${settings.version} the dot of \`${value}\` stands for any letter`, {
              fix: 'upgrade to 1.28.6 or 1.29.2, or write whole `principals`',
            });
        });
  },
};
