// Identity is what a certificate says; without mutual TLS there is none.
import { isMtlsOn } from '../foreign/istio/client-tls.ts';
import { fieldsIn } from '../foreign/model.ts';
import type { LintRule } from '../rule.ts';

const FIELDS = ['principals', 'namespaces', 'source.principal', 'source.namespace', 'connection.sni'];

export const identityWithoutMtls: LintRule = {
  id: 'identity-without-mtls',
  severity: 'error',
  summary:
    'A rule asks who the caller is where mutual TLS is off: a PeerAuthentication or a DestinationRule says DISABLE, or auto mTLS is off and nobody turned it on. No caller has an identity there.',
  see: ['KIA0105'],
  wrong: `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: DISABLE}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  rules:
    - from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]
`,
  mend: [['DISABLE', 'STRICT']],
  foreign: (mesh, find) => {
    for (const { resource, rules, selector, targets } of mesh.authorizations) {
      if (targets.length > 0) continue;
      const labels = Object.keys(selector).length > 0 ? selector : undefined;
      if (isMtlsOn(mesh, resource.namespace ?? 'default', labels)) continue;
      for (const field of rules.flatMap(fieldsIn).filter(({ name }) => FIELDS.includes(name)))
        find(resource, field.path, 'mutual TLS is off here, so no caller has an identity', {
          fix: 'turn it on in PeerAuthentication and DestinationRule',
        });
    }
  },
};
