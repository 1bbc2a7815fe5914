// A route that believes a token which nobody verified.
import { hasLabels, isMap, mapList, matchLabelsOf, specOf, textList, texts } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

const CLAIM = /^@request\.auth\.claims[.[]/i;

export const jwtClaimWithoutAuthentication: LintRule = {
  id: 'jwt-claim-without-authentication',
  severity: 'error',
  summary: 'A VirtualService routes by a claim of a token that no RequestAuthentication verifies: anybody can claim it.',
  see: ['IST0149'],
  wrong: `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door, namespace: shop}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: shop}
spec:
  hosts: ["*"]
  gateways: [door]
  http:
    - match: [{headers: {"@request.auth.claims.role": {exact: admin}}}]
      route: [{destination: {host: admin}}]
`,
  mend: [
    [
      'apiVersion: networking.istio.io/v1\nkind: Gateway',
      `apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: door, namespace: shop}
spec: {selector: {matchLabels: {istio: ingressgateway}}, jwtRules: [{issuer: "https://id.example.com"}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway`,
    ],
  ],
  foreign: (mesh, find) => {
    const authentications = mesh.istio('RequestAuthentication').map((resource) => ({
      labels: matchLabelsOf(specOf(resource)['selector']),
      isMeshWide: resource.namespace === mesh.settings.rootNamespace,
    }));
    for (const service of mesh.istio('VirtualService')) {
      const spec = specOf(service);
      const claim = (mapList(spec['http']) ?? []).findIndex((route) =>
        (mapList(route['match']) ?? []).some((match) =>
          [match['headers'], match['withoutHeaders']].some(
            (headers) => isMap(headers) && Object.keys(headers).some((name) => CLAIM.test(name)),
          ),
        ),
      );
      if (claim < 0) continue;
      const names = textList(spec['gateways']) ?? [];
      const gateways = mesh
        .istio('Gateway')
        .filter((each) => names.some((name) => name === each.name || name === `${each.namespace}/${each.name}`));
      const covered = gateways.every((gateway) => {
        const pods = texts(specOf(gateway)['selector']);
        return authentications.some(
          ({ labels, isMeshWide }) => (isMeshWide && Object.keys(labels).length === 0) || hasLabels(pods, labels),
        );
      });
      if (gateways.length > 0 && covered) continue;
      find(service, ['spec', 'http', claim], 'routes by a claim of a token that nothing verifies', {
        fix: 'add a RequestAuthentication for the gateway',
      });
    }
  },
};
