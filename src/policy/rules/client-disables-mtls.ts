// Callers in plain text before servers that demand certificates.
import { clientRules } from '../foreign/istio/client-tls.ts';
import { peerMode } from '../foreign/model.ts';
import type { LintRule } from '../rule.ts';

export const clientDisablesMtls: LintRule = {
  id: 'client-disables-mtls',
  severity: 'error',
  summary: 'A DestinationRule makes callers send plain text to workloads whose PeerAuthentication says STRICT: every call fails.',
  see: ['KIA0207', 'KIA0208'],
  wrong: `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop, namespace: shop}
spec: {host: "*.shop.svc.cluster.local", trafficPolicy: {tls: {mode: DISABLE}}}
`,
  mend: [['mode: DISABLE', 'mode: ISTIO_MUTUAL']],
  foreign: (mesh, find) => {
    for (const { resource, scope, mode } of clientRules(mesh)) {
      if (mode !== 'DISABLE') continue;
      const namespace = scope.kind === 'mesh' ? mesh.settings.rootNamespace : scope.namespace;
      const service =
        scope.kind === 'service' ? mesh.services.find((each) => each.name === scope.service && each.namespace === namespace) : undefined;
      if (peerMode(mesh, { namespace, labels: service?.selector }) !== 'STRICT') continue;
      find(resource, ['spec', 'trafficPolicy', 'tls', 'mode'], 'the workloads there take mutual TLS alone (STRICT), so every call fails', {
        fix: 'remove `tls`, or set `mode: ISTIO_MUTUAL`',
      });
    }
  },
};
