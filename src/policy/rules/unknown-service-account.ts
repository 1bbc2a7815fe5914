// A principal whose account does not exist.
import { domainsOf } from '../foreign/istio/principals.ts';
import type { LintRule } from '../rule.ts';

export const unknownServiceAccount: LintRule = {
  id: 'unknown-service-account',
  severity: 'error',
  summary:
    'A principal names a service account that none of the files has: the rule matches nobody until somebody makes an account of that name. Judged when the files hold service accounts.',
  see: ['KIA0106'],
  wrong: `apiVersion: v1
kind: ServiceAccount
metadata: {name: web, namespace: shop}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  rules:
    - from: [{source: {principals: [cluster.local/ns/shop/sa/wbe]}}]
`,
  mend: [['sa/wbe', 'sa/web']],
  foreign: (mesh, find) => {
    for (const { resource, path, value, state } of domainsOf(mesh))
      if (state === 'account-unknown') find(resource, path, `no service account fits \`${value}\``, { fix: 'name one that is there' });
  },
};
