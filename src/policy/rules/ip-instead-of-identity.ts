// Addresses change hands; identities do not.
import { fieldsIn, selectedBy } from '../foreign/model.ts';
import type { LintRule } from '../rule.ts';

export const ipInsteadOfIdentity: LintRule = {
  id: 'ip-instead-of-identity',
  severity: 'info',
  summary:
    'A rule inside the mesh tells callers apart by address. Pods get addresses anew, and whoever holds one is whom the rule means; the identity of the certificate stays.',
  wrong: `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  rules:
    - from: [{source: {ipBlocks: [10.0.3.7]}}]
`,
  mend: [['ipBlocks: [10.0.3.7]', 'principals: [cluster.local/ns/shop/sa/web]']],
  foreign: (mesh, find) => {
    for (const { resource, rules, selector, targets } of mesh.authorizations) {
      const isGateway = targets.length > 0 || selectedBy(mesh, resource.namespace, selector).some(({ gateway }) => gateway !== undefined);
      if (isGateway) continue;
      for (const field of rules.flatMap(fieldsIn).filter(({ name }) => name === 'ipBlocks' || name === 'source.ip'))
        find(resource, field.path, 'an address, where the caller has an identity', { fix: 'name it under `principals`' });
    }
  },
};
