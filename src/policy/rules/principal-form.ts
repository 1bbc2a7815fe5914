// A principal that no certificate of the mesh can hold.
import { fieldsIn } from '../foreign/model.ts';
import type { LintRule } from '../rule.ts';

export const principalForm: LintRule = {
  id: 'principal-form',
  severity: 'error',
  summary:
    'A principal is not `<trust domain>/ns/<namespace>/sa/<account>`, or has a `*` in the middle, where it is a letter like any other: it never matches. A single word is a warning.',
  wrong: `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  rules:
    - from: [{source: {principals: [cluster.local/ns/*/sa/web]}}]
`,
  mend: [['ns/*/sa', 'ns/shop/sa']],
  foreign: ({ authorizations }, find) => {
    for (const { resource, rules } of authorizations)
      for (const field of rules.flatMap(fieldsIn).filter(({ name }) => name === 'principals' || name === 'source.principal'))
        field.values.forEach((value, i) => {
          const why = reason(value);
          if (why !== undefined && !value.startsWith('spiffe://'))
            find(resource, [...field.path, i], `\`${value}\` never matches: ${why}`, {
              severity: value.includes('/') ? 'error' : 'warning',
              fix: 'write `<trust domain>/ns/<namespace>/sa/<account>`; `*` stands at the beginning or the end only',
            });
        });
  },
};

function reason(value: string): string | undefined {
  if (value === '*') return undefined;
  const isPrefix = value.endsWith('*');
  const isSuffix = !isPrefix && value.startsWith('*');
  const core = isPrefix ? value.slice(0, -1) : isSuffix ? value.slice(1) : value;
  if (core.includes('*')) return 'a `*` in the middle, or a second one, is a letter';
  if (isPrefix)
    return /^[^/]*(?:\/(?:n(?:s(?:\/[^/]*(?:\/(?:s(?:a(?:\/[^/]*)?)?)?)?)?)?)?)?$/.test(core)
      ? undefined
      : 'that is no beginning of an identity';
  if (isSuffix) return undefined;
  return /^[^/]+\/ns\/[^/]+\/sa\/[^/]+$/.test(core) ? undefined : 'that is no identity of a workload';
}
