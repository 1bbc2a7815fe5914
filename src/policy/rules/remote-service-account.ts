// A principal that another cluster answers for.
import { domainsOf } from '../foreign/istio/principals.ts';
import type { LintRule } from '../rule.ts';

export const remoteServiceAccount: LintRule = {
  id: 'remote-service-account',
  severity: 'info',
  summary:
    'A principal names a service account of another cluster or trust domain, which the files do not hold: that cluster decides who runs under it. Said of principals under an alias of the trust domain whose account this cluster does not have.',
  see: ['KIA0107'],
  wrong: `apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "trustDomainAliases: [west.example.com]"}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web, namespace: shop}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  rules:
    - from: [{source: {principals: [west.example.com/ns/shop/sa/reviews]}}]
`,
  mend: [['sa/reviews', 'sa/web']],
  foreign: (mesh, find) => {
    for (const { resource, path, value, state } of domainsOf(mesh))
      if (state === 'remote') find(resource, path, `\`${value}\` is an account of another cluster`, { fix: 'make sure that it is meant' });
  },
};
