// Who shows no certificate has no identity to be kept out by.
import { type Authorization, type Field, type ForeignMesh, fieldsIn, isIdentityField, peerMode, selectedBy } from '../foreign/model.ts';
import type { LintRule } from '../rule.ts';

export const identityUnderPermissive: LintRule = {
  id: 'identity-under-permissive',
  severity: 'error',
  summary:
    'The workload accepts plain text, and a rule keeps callers out by their identity: `notPrincipals` or `notNamespaces` under ALLOW, or `principals` or `namespaces` under DENY. Who comes without a certificate has no identity, fits every `not`, and passes.',
  see: ['ISTIO-SECURITY-2021-004'],
  wrong: `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: not-dev, namespace: shop}
spec:
  action: DENY
  rules:
    - from: [{source: {namespaces: [dev]}}]
`,
  mend: [
    [
      'apiVersion',
      `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
---
apiVersion`,
    ],
  ],
  foreign: (mesh, find) => {
    for (const policy of mesh.authorizations) {
      const { resource, action, rules } = policy;
      if ((action !== 'ALLOW' && action !== 'DENY') || !takesPlaintext(mesh, policy)) continue;
      for (const rule of rules) {
        const field = fieldsIn(rule).find((each) => isIdentityField(each) && each.isNot === (action === 'ALLOW'));
        // Beside it a field that only an identity fits keeps plain text out after all.
        if (field === undefined || (action === 'ALLOW' && demandsIdentity(rule.from, rule.when))) continue;
        find(resource, field.path, 'a caller in plain text has no identity, and passes', {
          why: 'the workload accepts plain text: no PeerAuthentication says STRICT',
          fix: 'set `mtls: {mode: STRICT}`, or add a DENY with `notPrincipals: ["*"]`',
        });
      }
    }
  },
};

function demandsIdentity(from: readonly (readonly Field[])[] | undefined, when: readonly Field[]): boolean {
  const positive = (field: Field): boolean => isIdentityField(field) && !field.isNot;
  return when.some(positive) || from?.every((source) => source.some(positive)) === true;
}

function takesPlaintext(mesh: ForeignMesh, { resource, selector, targets }: Authorization): boolean {
  // Waypoints and gateways of Kubernetes have their own doors.
  if (targets.length > 0) return false;
  const namespace = resource.namespace ?? 'default';
  const closes = mesh.authorizations.some(
    (each) =>
      each.action === 'DENY' &&
      !each.isDryRun &&
      [namespace, mesh.settings.rootNamespace].includes(each.resource.namespace ?? '') &&
      Object.keys(each.selector).length === 0 &&
      each.rules.some(
        ({ from, to, when }) =>
          to === undefined &&
          when.length === 0 &&
          from?.some(
            (source) =>
              source.length === 1 && source[0]?.isNot === true && source[0].name === 'principals' && source[0].values.includes('*'),
          ),
      ),
  );
  if (closes) return false;
  const pods = selectedBy(mesh, resource.namespace, selector);
  if (pods.length === 0) return peerMode(mesh, { namespace, labels: Object.keys(selector).length > 0 ? selector : undefined }) !== 'STRICT';
  return pods.some((pod) => peerMode(mesh, pod) !== 'STRICT');
}
