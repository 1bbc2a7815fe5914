// A server that demands certificates of callers that send none.
import { clientRules, isMutual } from '../foreign/istio/client-tls.ts';
import { isMap, matchLabelsOf, specOf } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

export const strictWithoutClient: LintRule = {
  id: 'strict-without-client',
  severity: 'error',
  summary:
    'A PeerAuthentication says STRICT, auto mTLS is off, and no DestinationRule of the same reach makes callers use it: every call fails.',
  see: ['KIA0401', 'KIA0501'],
  wrong: `apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "enableAutoMtls: false"}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
`,
  mend: [['enableAutoMtls: false', 'enableAutoMtls: true']],
  foreign: (mesh, find) => {
    if (mesh.settings.autoMtls) return;
    const mutual = clientRules(mesh).filter(({ mode }) => isMutual(mode));
    for (const resource of mesh.istio('PeerAuthentication')) {
      const { selector, mtls } = specOf(resource);
      if (Object.keys(matchLabelsOf(selector)).length > 0 || !isMap(mtls) || mtls['mode'] !== 'STRICT') continue;
      const isRoot = resource.namespace === mesh.settings.rootNamespace;
      if (
        mutual.some(
          ({ scope }) => scope.kind === 'mesh' || (!isRoot && scope.kind === 'namespace' && scope.namespace === resource.namespace),
        )
      )
        continue;
      find(resource, ['spec', 'mtls'], 'callers are not told to use mutual TLS, so every call fails', {
        fix: 'add a DestinationRule with `mode: ISTIO_MUTUAL`, or turn auto mTLS on',
      });
    }
  },
};
