// TLS to whoever answers.
import type { Path } from '../foreign/model.ts';
import { isMap, mapList, matchLabelsOf, specOf } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

export const serverNotVerified: LintRule = {
  id: 'server-not-verified',
  severity: 'warning',
  summary: 'An Istio DestinationRule asks for TLS and names no authority: whoever answers is believed.',
  see: ['IST0128', 'IST0129'],
  wrong: `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: bank, namespace: shop}
spec:
  host: bank.example.com
  trafficPolicy:
    tls: {mode: SIMPLE}
`,
  mend: [['{mode: SIMPLE}', '{mode: SIMPLE, caCertificates: /etc/ssl/certs/ca-certificates.crt}']],
  foreign: (mesh, find) => {
    for (const rule of mesh.istio('DestinationRule')) {
      const policy = specOf(rule)['trafficPolicy'];
      if (!isMap(policy)) continue;
      const check = (tls: unknown, path: Path): void => {
        if (!isMap(tls) || !['SIMPLE', 'MUTUAL'].includes(String(tls['mode'])) || typeof tls['caCertificates'] === 'string') return;
        // Credentials from a secret bring their authority only to proxies that a selector names.
        if (tls['credentialName'] !== undefined && Object.keys(matchLabelsOf(specOf(rule)['workloadSelector'])).length > 0) return;
        find(rule, path, `${tls['mode']} without \`caCertificates\`: the server's certificate is not verified`, {
          fix: 'name the authority under `caCertificates`',
        });
      };
      check(policy['tls'], ['spec', 'trafficPolicy', 'tls']);
      for (const [i, port] of (mapList(policy['portLevelSettings']) ?? []).entries())
        check(port['tls'], ['spec', 'trafficPolicy', 'portLevelSettings', i, 'tls']);
    }
  },
};
