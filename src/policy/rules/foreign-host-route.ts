// A route for somebody else's host.
import { specOf, textList } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

export const foreignHostRoute: LintRule = {
  id: 'foreign-host-route',
  severity: 'warning',
  summary:
    'A VirtualService of one namespace routes the calls of the whole mesh to a service of another: whoever may write it sees and turns that traffic. Authorization at the service still holds.',
  see: ['ISTIO-SECURITY-2026-002'],
  wrong: `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: payments, namespace: dev}
spec:
  hosts: [payments.pay.svc.cluster.local]
  http: [{route: [{destination: {host: shadow.dev.svc.cluster.local}}]}]
`,
  mend: [['namespace: dev', 'namespace: pay']],
  foreign: (mesh, find) => {
    for (const resource of mesh.istio('VirtualService')) {
      const spec = specOf(resource);
      const gateways = textList(spec['gateways']);
      if (gateways !== undefined && !gateways.includes('mesh')) continue;
      // Visible to its own namespace alone.
      if (textList(spec['exportTo'])?.every((each) => each === '.') === true) continue;
      (textList(spec['hosts']) ?? []).forEach((host, i) => {
        const namespace = /^[^.]+\.([a-z0-9-]+)\.svc(?:\.|$)/.exec(host)?.[1];
        if (namespace === undefined || namespace === (resource.namespace ?? 'default')) return;
        find(resource, ['spec', 'hosts', i], `routes calls to a service of namespace \`${namespace}\``, {
          fix: `keep it in \`${namespace}\`, or set \`exportTo: ["."]\``,
        });
      });
    }
  },
};
