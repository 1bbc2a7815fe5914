// Istio's principals are written without their scheme.
import { fieldsIn } from '../foreign/model.ts';
import type { LintRule } from '../rule.ts';

export const principalScheme: LintRule = {
  id: 'principal-scheme',
  severity: 'error',
  summary: 'A principal begins with `spiffe://`. Istio compares without the scheme, so such a principal never matches.',
  wrong: `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  rules:
    - from: [{source: {principals: ["spiffe://cluster.local/ns/shop/sa/web"]}}]
`,
  mend: [['spiffe://', '']],
  foreign: ({ authorizations }, find) => {
    for (const { resource, rules } of authorizations)
      for (const field of rules.flatMap(fieldsIn).filter(({ name }) => name === 'principals' || name === 'source.principal'))
        field.values.forEach((value, i) => {
          if (value.startsWith('spiffe://'))
            find(resource, [...field.path, i], `\`${value}\` never matches`, {
              fix: `write \`${value.slice('spiffe://'.length)}\``,
              edit: ['spiffe://', ''],
            });
        });
  },
};
