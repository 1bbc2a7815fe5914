// Egress is closed, and with it the names.
import { isMap, mapList, specOf, textList } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

export const noDns: LintRule = {
  id: 'no-dns',
  severity: 'warning',
  summary: 'A NetworkPolicy closes egress for pods and no rule lets them ask a name server (port 53): they find nobody by name.',
  wrong: `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: orders, namespace: shop}
spec:
  podSelector: {matchLabels: {app: orders}}
  policyTypes: [Egress]
  egress:
    - to: [{podSelector: {matchLabels: {app: db}}}]
      ports: [{port: 5432}]
`,
  mend: [['    - to:', '    - ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]\n    - to:']],
  foreign: (mesh, find) => {
    const policies = mesh.kind('NetworkPolicy', 'networking.k8s.io');
    const opensDns = (spec: Readonly<Record<string, unknown>>): boolean =>
      (mapList(spec['egress']) ?? []).some((rule) => {
        const ports = mapList(rule['ports']);
        return (
          ports === undefined ||
          ports.some(
            ({ port, endPort }) => port === undefined || port === 53 || port === 'dns' || (Number(port) < 53 && Number(endPort) >= 53),
          )
        );
      });
    for (const resource of policies) {
      const spec = specOf(resource);
      const closes = textList(spec['policyTypes'])?.includes('Egress') ?? spec['egress'] !== undefined;
      // Nothing at all is let out on purpose.
      if (!closes || (mapList(spec['egress']) ?? []).length === 0 || opensDns(spec)) continue;
      const elsewhere = policies.some((other) => {
        const selector = specOf(other)['podSelector'];
        const isWide = isMap(selector) && Object.keys(selector).length === 0;
        return other !== resource && other.namespace === resource.namespace && isWide && opensDns(specOf(other));
      });
      if (!elsewhere)
        find(resource, ['spec', 'egress'], 'no rule lets these pods ask a name server', {
          fix: 'add `ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]`',
        });
    }
  },
};
