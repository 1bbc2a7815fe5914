// Exported to a namespace that is not there.
import { specOf, textList } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

const KINDS = ['DestinationRule', 'VirtualService', 'ServiceEntry'];

export const exportToUnknown: LintRule = {
  id: 'export-to-unknown',
  severity: 'error',
  summary:
    '`exportTo` names a namespace that none of the files has: nobody sees the resource there. Judged when the files hold namespaces.',
  see: ['KIA0005'],
  wrong: `apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders, namespace: shop}
spec: {host: orders, exportTo: [shpo], trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}
`,
  mend: [['exportTo: [shpo]', 'exportTo: [shop]']],
  foreign: (mesh, find) => {
    if (mesh.namespaces.size === 0) return;
    for (const resource of KINDS.flatMap((kind) => mesh.istio(kind)))
      (textList(specOf(resource)['exportTo']) ?? []).forEach((each, i) => {
        if (['.', '*', '~'].includes(each) || mesh.namespaces.has(each)) return;
        find(resource, ['spec', 'exportTo', i], `no namespace is called \`${each}\``, { fix: 'name one that is there' });
      });
  },
};
