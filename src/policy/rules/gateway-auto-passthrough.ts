// A gateway that hands connections on by their SNI.
import { isMap, mapList, specOf } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

export const gatewayAutoPassthrough: LintRule = {
  id: 'gateway-auto-passthrough',
  severity: 'error',
  summary:
    '`AUTO_PASSTHROUGH` takes the service from the SNI that the client sends and asks no policy of the gateway about it: every service of the mesh is reachable from outside, as far as its own proxy lets it.',
  see: ['CVE-2021-31921'],
  wrong: `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: cross-network, namespace: istio-system}
spec:
  selector: {istio: eastwestgateway}
  servers:
    - port: {number: 15443, name: tls, protocol: TLS}
      tls: {mode: AUTO_PASSTHROUGH}
      hosts: ["*.local"]
`,
  mend: [['AUTO_PASSTHROUGH', 'ISTIO_MUTUAL']],
  foreign: (mesh, find) => {
    for (const resource of mesh.istio('Gateway'))
      (mapList(specOf(resource)['servers']) ?? []).forEach((server, i) => {
        if (isMap(server['tls']) && server['tls']['mode'] === 'AUTO_PASSTHROUGH')
          find(resource, ['spec', 'servers', i, 'tls', 'mode'], 'the client chooses the service, and no policy of the gateway is asked', {
            fix: 'end TLS at the gateway, or keep the port inside the networks of the mesh',
          });
      });
  },
};
