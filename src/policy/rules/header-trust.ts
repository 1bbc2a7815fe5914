// Headers are what the caller says they are.
import type { LintRule } from '../rule.ts';

export const headerTrust: LintRule = {
  id: 'header-trust',
  severity: 'warning',
  summary:
    'A header is the only thing that an ALLOW asks for, or what a DENY looks at. Callers write their headers as they like, leave them out or send them twice; they tell requests apart and keep nobody out.',
  see: ['CVE-2020-25017', 'CVE-2021-32777', 'CVE-2026-26308', 'CVE-2023-27487', 'CVE-2019-18802', 'CVE-2024-10006'],
  wrong: `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: admin, namespace: shop}
spec:
  rules:
    - when: [{key: "request.headers[x-role]", values: [admin]}]
`,
  mend: [['- when:', '- from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]\n      when:']],
  foreign: ({ authorizations }, find) => {
    for (const { resource, action, rules } of authorizations)
      for (const { from, when } of rules) {
        const header = when.find(({ name }) => name.startsWith('request.headers['));
        if (header === undefined) continue;
        const only =
          when.every(({ name }) => name.startsWith('request.headers[')) &&
          (from === undefined || from.some((source) => source.length === 0));
        if (action === 'ALLOW' && only)
          find(resource, header.path, 'a header is all that is asked for, and callers write it', { fix: 'name who may call under `from`' });
        else if (action === 'DENY')
          find(resource, header.path, 'who is to be denied leaves the header out, or sends it twice', {
            fix: 'allow what is wanted by identity instead',
          });
      }
  },
};
