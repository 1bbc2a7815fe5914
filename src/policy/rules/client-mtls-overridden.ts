// DestinationRules are not merged: the nearer one is the only one.
import { clientRules, isMutual } from '../foreign/istio/client-tls.ts';
import type { LintRule } from '../rule.ts';

export const clientMtlsOverridden: LintRule = {
  id: 'client-mtls-overridden',
  severity: 'warning',
  summary:
    'A DestinationRule for a service or a namespace says nothing of TLS, and so takes away what a wider one turned on: they are not merged. Said where auto mTLS is off.',
  see: ['KIA0204'],
  wrong: `apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "enableAutoMtls: false"}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: all, namespace: istio-system}
spec: {host: "*.local", trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders, namespace: shop}
spec: {host: orders.shop.svc.cluster.local, trafficPolicy: {loadBalancer: {simple: RANDOM}}}
`,
  mend: [['{loadBalancer: {simple: RANDOM}}', '{loadBalancer: {simple: RANDOM}, tls: {mode: ISTIO_MUTUAL}}']],
  foreign: (mesh, find) => {
    if (mesh.settings.autoMtls) return;
    const rules = clientRules(mesh);
    for (const { resource, scope, mode } of rules) {
      if (scope.kind === 'mesh' || mode !== undefined) continue;
      const wider = rules.find(
        (each) =>
          isMutual(each.mode) &&
          (each.scope.kind === 'mesh' ||
            (each.scope.kind === 'namespace' && scope.kind === 'service' && each.scope.namespace === scope.namespace)),
      );
      if (wider !== undefined)
        find(resource, ['spec', 'trafficPolicy'], `takes away the mutual TLS that DestinationRule \`${wider.resource.name}\` turned on`, {
          fix: 'add `tls: {mode: ISTIO_MUTUAL}` here too',
        });
    }
  },
};
