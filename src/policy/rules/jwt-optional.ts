// A RequestAuthentication refuses bad tokens, and lets a missing one pass.
import { type Authorization, fieldsIn, selectedBy } from '../foreign/model.ts';
import { hasLabels, mapList, matchLabelsOf, specOf } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

export const jwtOptional: LintRule = {
  id: 'jwt-optional',
  severity: 'error',
  summary:
    'A RequestAuthentication refuses a token that is bad and lets a request without any pass. Only an AuthorizationPolicy that asks for `requestPrincipals` on the same workload makes the token necessary. A warning when the workload is not among the files: the policy may be elsewhere too.',
  see: ['ISTIO-SECURITY-2021-001', 'CVE-2026-31837'],
  wrong: `apiVersion: v1
kind: Pod
metadata: {name: orders-1, namespace: shop, labels: {app: orders}}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: orders, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  jwtRules: [{issuer: "https://id.example.com"}]
`,
  mend: [
    [
      'jwtRules: [{issuer: "https://id.example.com"}]\n',
      `jwtRules: [{issuer: "https://id.example.com"}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  rules:
    - from: [{source: {requestPrincipals: ["https://id.example.com/*"]}}]
`,
    ],
  ],
  foreign: (mesh, find) => {
    const demanding = mesh.authorizations.filter(demandsToken);
    for (const resource of mesh.istio('RequestAuthentication')) {
      const spec = specOf(resource);
      if ((mapList(spec['jwtRules']) ?? []).length === 0) continue;
      const labels = matchLabelsOf(spec['selector']);
      const targets = JSON.stringify(spec['targetRefs'] ?? spec['targetRef'] ?? []);
      const covered = demanding.some(
        (each) =>
          (each.targets.length > 0 && targets.includes(String(each.targets[0]?.['name']))) ||
          (each.targets.length === 0 &&
            [resource.namespace, mesh.settings.rootNamespace].includes(each.resource.namespace) &&
            (hasLabels(labels, each.selector) || hasLabels(each.selector, labels))),
      );
      if (!covered)
        find(resource, ['spec', 'jwtRules'], 'a request without a token passes: no AuthorizationPolicy on the same workload asks for one', {
          severity: selectedBy(mesh, resource.namespace, labels).length > 0 ? 'error' : 'warning',
          fix: 'add an AuthorizationPolicy with `requestPrincipals`',
        });
    }
  },
};

function demandsToken({ action, rules, isDryRun }: Authorization): boolean {
  if (isDryRun) return false;
  return rules
    .map(fieldsIn)
    .some((fields) =>
      fields.some(({ name, isNot }) => (name === 'requestPrincipals' || name.startsWith('request.auth.')) && isNot === (action === 'DENY')),
    );
}
