// The address that a header says, and the address of the last hop.
import { fieldsIn, selectedBy } from '../foreign/model.ts';
import type { LintRule } from '../rule.ts';

export const ipTrust: LintRule = {
  id: 'ip-trust',
  severity: 'warning',
  summary:
    'A rule asks for the address of the client. `remoteIpBlocks` comes from X-Forwarded-For, which anybody writes, unless `numTrustedProxies` says how many of its entries are ours; `ipBlocks` behind a gateway is the gateway. Where an identity is known, it is the better question.',
  see: ['ISTIO-SECURITY-2020-011', 'ISTIO-SECURITY-2024-006'],
  wrong: `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: office, namespace: shop}
spec:
  rules:
    - from: [{source: {remoteIpBlocks: [203.0.113.0/24]}}]
`,
  mend: [
    [
      'apiVersion',
      `apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "defaultConfig: {gatewayTopology: {numTrustedProxies: 1}}"}
---
apiVersion`,
    ],
  ],
  foreign: (mesh, find) => {
    for (const { resource, rules, selector, targets } of mesh.authorizations)
      for (const rule of rules)
        for (const field of fieldsIn(rule)) {
          if ((field.name === 'remoteIpBlocks' || field.name === 'remote.ip') && mesh.settings.trustedProxies === undefined)
            find(resource, field.path, 'the address comes from X-Forwarded-For, which callers write', {
              fix: 'set `numTrustedProxies` in the mesh configuration',
            });
          if (field.name !== 'ipBlocks' && field.name !== 'source.ip') continue;
          const isGateway =
            targets.length > 0 || selectedBy(mesh, resource.namespace, selector).some(({ gateway }) => gateway !== undefined);
          if (isGateway)
            find(resource, field.path, 'at a gateway that is the address of the hop before, a load balancer most often', {
              fix: 'use `remoteIpBlocks` with `numTrustedProxies`',
            });
        }
  },
};
