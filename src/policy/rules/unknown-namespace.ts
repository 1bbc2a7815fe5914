// A policy speaks of a namespace that is not there.
import { matchString } from '../foreign/istio/path.ts';
import type { LintRule } from '../rule.ts';

export const unknownNamespace: LintRule = {
  id: 'unknown-namespace',
  severity: 'error',
  summary:
    'An Istio policy names a namespace that none of the files has: the rule matches nobody, or, under `notNamespaces`, everybody. Judged when the files hold namespaces.',
  see: ['IST0101', 'KIA0101'],
  wrong: `apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  rules:
    - from: [{source: {namespaces: [shpo]}}]
`,
  mend: [['shpo', 'shop']],
  foreign: ({ namespaces, authorizations }, find) => {
    if (namespaces.size === 0) return;
    for (const { resource, rules } of authorizations)
      for (const field of rules.flatMap(({ from }) => (from ?? []).flat()).filter(({ name }) => name === 'namespaces'))
        field.values.forEach((pattern, i) => {
          if ([...namespaces.keys()].some((name) => matchString(pattern, name))) return;
          find(resource, [...field.path, i], `no namespace fits \`${pattern}\``, { fix: 'name one that is there' });
        });
  },
};
