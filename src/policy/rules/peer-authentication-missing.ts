// Callers use mutual TLS, and the servers would do without.
import { clientRules, isMutual } from '../foreign/istio/client-tls.ts';
import { isMap, matchLabelsOf, specOf } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

export const peerAuthenticationMissing: LintRule = {
  id: 'peer-authentication-missing',
  severity: 'error',
  summary:
    'A DestinationRule turns mutual TLS on for a namespace or the whole mesh, and no PeerAuthentication of that reach asks for it: who comes in plain text is still let in.',
  see: ['KIA0205', 'KIA0206'],
  wrong: `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop, namespace: shop}
spec: {host: "*.shop.svc.cluster.local", trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}
`,
  mend: [
    [
      'apiVersion',
      `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
---
apiVersion`,
    ],
  ],
  foreign: (mesh, find) => {
    const peers = mesh.istio('PeerAuthentication').filter((each) => {
      const { selector, mtls } = specOf(each);
      return Object.keys(matchLabelsOf(selector)).length === 0 && isMap(mtls) && typeof mtls['mode'] === 'string';
    });
    for (const { resource, scope, mode } of clientRules(mesh)) {
      if (!isMutual(mode) || scope.kind === 'service') continue;
      const reach = scope.kind === 'mesh' ? [mesh.settings.rootNamespace] : [scope.namespace, mesh.settings.rootNamespace];
      if (peers.some(({ namespace }) => reach.includes(namespace ?? 'default'))) continue;
      find(
        resource,
        ['spec', 'trafficPolicy', 'tls', 'mode'],
        'callers use mutual TLS, and no PeerAuthentication of that reach asks for it',
        {
          fix: 'add one with `mtls: {mode: STRICT}`',
        },
      );
    }
  },
};
