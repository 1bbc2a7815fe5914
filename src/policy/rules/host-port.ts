// `h` and `h:8080` are two strings.
import type { LintRule } from '../rule.ts';

export const hostPort: LintRule = {
  id: 'host-port',
  severity: 'warning',
  summary:
    'A DENY lists a host, or an ALLOW excludes one, without its form with a port: the Host header carries the port when the client sends it, and `shop.example.com:8080` is another string.',
  see: ['ISTIO-SECURITY-2021-008', 'CVE-2021-39155'],
  wrong: `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: internal, namespace: shop}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  action: DENY
  rules:
    - to: [{operation: {hosts: [internal.example.com]}}]
`,
  mend: [['[internal.example.com]', '[internal.example.com, "internal.example.com:*"]']],
  foreign: ({ authorizations }, find) => {
    for (const { resource, action, rules } of authorizations) {
      if (action !== 'DENY' && action !== 'ALLOW') continue;
      for (const field of rules.flatMap(({ to }) => (to ?? []).flat()))
        if (field.name === 'hosts' && field.isNot === (action === 'ALLOW'))
          field.values.forEach((host, i) => {
            if (host.endsWith('*') || /:\d+$/.test(host) || field.values.some((each) => each === `${host}:*`)) return;
            find(resource, [...field.path, i], `\`${host}:80\` is another string, and passes`, { fix: `add \`${host}:*\`` });
          });
    }
  },
};
