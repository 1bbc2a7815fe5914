// A trust domain that nobody has heard of.
import { domainsOf } from '../foreign/istio/principals.ts';
import type { LintRule } from '../rule.ts';

export const tdUnknown: LintRule = {
  id: 'td-unknown',
  severity: 'warning',
  summary:
    "A principal is of a trust domain that is neither the mesh's own nor one of its aliases. It matches only when that domain is federated, and then its authority decides who fits.",
  see: ['KIA0108'],
  wrong: `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  rules:
    - from: [{source: {principals: [partner.example.com/ns/shop/sa/web]}}]
`,
  mend: [['partner.example.com', 'cluster.local']],
  foreign: (mesh, find) => {
    for (const { resource, path, value, domain, state } of domainsOf(mesh))
      if (state === 'domain-unknown')
        find(resource, path, `\`${value}\`: nothing is known of the trust domain \`${domain}\``, {
          fix: 'name it as an alias, or federate it',
        });
  },
};
