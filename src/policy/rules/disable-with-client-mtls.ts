// Callers that send certificates to servers that take none.
import { clientRules, isMutual } from '../foreign/istio/client-tls.ts';
import { isMap, matchLabelsOf, specOf } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

export const disableWithClientMtls: LintRule = {
  id: 'disable-with-client-mtls',
  severity: 'error',
  summary: 'A PeerAuthentication says DISABLE while a DestinationRule still makes callers use mutual TLS: every call fails.',
  see: ['KIA0505', 'KIA0506'],
  wrong: `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: DISABLE}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop, namespace: shop}
spec: {host: "*.shop.svc.cluster.local", trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}
`,
  mend: [['mode: DISABLE', 'mode: STRICT']],
  foreign: (mesh, find) => {
    const mutual = clientRules(mesh).filter(({ mode }) => isMutual(mode));
    for (const resource of mesh.istio('PeerAuthentication')) {
      const { selector, mtls } = specOf(resource);
      if (Object.keys(matchLabelsOf(selector)).length > 0 || !isMap(mtls) || mtls['mode'] !== 'DISABLE') continue;
      const isRoot = resource.namespace === mesh.settings.rootNamespace;
      const against = mutual.find(
        ({ scope }) => scope.kind === 'mesh' || (!isRoot && scope.kind === 'namespace' && scope.namespace === resource.namespace),
      );
      if (against !== undefined)
        find(resource, ['spec', 'mtls'], `DestinationRule \`${against.resource.name}\` still makes callers use mutual TLS`, {
          fix: 'remove it, or set STRICT here',
        });
    }
  },
};
