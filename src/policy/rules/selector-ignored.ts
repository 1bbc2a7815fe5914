// Gateways and waypoints look at what is attached to them, not at labels.
import { hasLabels, matchLabelsOf, specOf } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

export const selectorIgnored: LintRule = {
  id: 'selector-ignored',
  severity: 'error',
  summary:
    'An Istio policy selects the pods of a `Gateway` of Kubernetes or of a waypoint by their labels: there a selector does nothing, and nothing is protected. `targetRefs` attaches it.',
  see: ['IST0166', 'KIA0110', 'KIA1115'],
  wrong: `apiVersion: v1
kind: Pod
metadata: {name: gw-1, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: gw}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: gw, namespace: shop}
spec:
  selector: {matchLabels: {gateway.networking.k8s.io/gateway-name: gw}}
  rules: [{from: [{source: {namespaces: [shop]}}]}]
`,
  mend: [
    [
      'selector: {matchLabels: {gateway.networking.k8s.io/gateway-name: gw}}\n  rules',
      'targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: gw}]\n  rules',
    ],
  ],
  foreign: (mesh, find) => {
    const gateways = mesh.workloads.filter(({ gateway }) => gateway !== undefined);
    for (const kind of ['RequestAuthentication', 'AuthorizationPolicy', 'WasmPlugin', 'Telemetry'])
      for (const resource of mesh.istio(kind)) {
        const { selector, targetRef, targetRefs } = specOf(resource);
        const labels = matchLabelsOf(selector);
        if (Object.keys(labels).length === 0 || targetRef !== undefined || targetRefs !== undefined) continue;
        const found = gateways.find((pod) => pod.namespace === resource.namespace && hasLabels(pod.labels, labels));
        if (found === undefined) continue;
        find(
          resource,
          ['spec', 'selector'],
          `a selector does nothing for ${found.gateway === 'waypoint' ? 'a waypoint' : 'a Gateway of Kubernetes'}`,
          {
            fix: 'use `targetRefs`',
          },
        );
      }
  },
};
