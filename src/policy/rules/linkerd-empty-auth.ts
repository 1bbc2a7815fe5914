// An empty list of conditions is one that everybody meets.
import { isMap, specOf } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

export const linkerdEmptyAuth: LintRule = {
  id: 'linkerd-empty-auth',
  severity: 'error',
  summary:
    'A Linkerd AuthorizationPolicy with an empty `requiredAuthenticationRefs` asks for nothing: it lets everybody in, also callers outside the mesh. A warning when what it opens is not among the files.',
  wrong: `apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: orders, namespace: shop}
spec: {podSelector: {matchLabels: {app: orders}}, port: 8080}
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  targetRef: {group: policy.linkerd.io, kind: Server, name: orders}
  requiredAuthenticationRefs: []
`,
  mend: [['requiredAuthenticationRefs: []', 'requiredAuthenticationRefs: [{kind: ServiceAccount, name: web}]']],
  foreign: (mesh, find) => {
    for (const resource of mesh.kind('AuthorizationPolicy', 'policy.linkerd.io')) {
      const { requiredAuthenticationRefs: refs, targetRef } = specOf(resource);
      const isKnown = isMap(targetRef) && mesh.resources.some(({ kind, name }) => kind === targetRef['kind'] && name === targetRef['name']);
      if (Array.isArray(refs) && refs.length === 0)
        find(resource, ['spec', 'requiredAuthenticationRefs'], 'asks for nothing, so it lets everybody in', {
          severity: isKnown ? 'error' : 'warning',
          fix: 'name a MeshTLSAuthentication or a ServiceAccount',
        });
    }
  },
};
