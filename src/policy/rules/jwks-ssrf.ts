// Where the control plane fetches keys from is written by whoever may write a RequestAuthentication.
import { mapList, specOf } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

export const jwksSsrf: LintRule = {
  id: 'jwks-ssrf',
  severity: 'warning',
  summary:
    'A RequestAuthentication makes the control plane fetch keys from an address of its choosing, and the control plane has no list of addresses that it keeps away from: whoever may write one can make it ask internal services. Judged when the files hold the Deployment `istiod`.',
  see: ['IST0175'],
  wrong: `apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod, namespace: istio-system, labels: {app: istiod}}
spec:
  template:
    spec:
      containers: [{name: discovery, image: example/pilot, env: []}]
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: shop}
spec:
  jwtRules: [{issuer: "https://id.example.com", jwksUri: "https://id.example.com/keys"}]
`,
  mend: [['env: []', 'env: [{name: BLOCKED_CIDRS_IN_JWKS_URIS, value: "169.254.0.0/16,10.0.0.0/8"}]']],
  foreign: (mesh, find) => {
    if (mesh.settings.blockedCidrs !== undefined) return;
    if (!mesh.kind('Deployment').some(({ name, labels }) => name === 'istiod' || labels['app'] === 'istiod')) return;
    for (const resource of mesh.istio('RequestAuthentication')) {
      const i = (mapList(specOf(resource)['jwtRules']) ?? []).findIndex(({ jwks }) => typeof jwks !== 'string');
      if (i < 0) continue;
      find(resource, ['spec', 'jwtRules', i], 'the control plane fetches these keys from any address, internal ones too', {
        fix: 'set `BLOCKED_CIDRS_IN_JWKS_URIS` of istiod',
      });
    }
  },
};
