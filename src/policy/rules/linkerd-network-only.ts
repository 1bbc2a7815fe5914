// A network is no identity.
import { mapList, specOf } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

export const linkerdNetworkOnly: LintRule = {
  id: 'linkerd-network-only',
  severity: 'warning',
  summary:
    'A Linkerd AuthorizationPolicy asks for a NetworkAuthentication alone: everything with an address of that network is let in, in plain text too. Right for probes and gateways outside the mesh, wrong for services.',
  wrong: `apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  targetRef: {group: policy.linkerd.io, kind: Server, name: orders}
  requiredAuthenticationRefs:
    - {group: policy.linkerd.io, kind: NetworkAuthentication, name: cluster}
`,
  mend: [['name: cluster}\n', 'name: cluster}\n    - {group: policy.linkerd.io, kind: MeshTLSAuthentication, name: web}\n']],
  foreign: (mesh, find) => {
    for (const resource of mesh.kind('AuthorizationPolicy', 'policy.linkerd.io')) {
      const refs = mapList(specOf(resource)['requiredAuthenticationRefs']) ?? [];
      if (refs.length > 0 && refs.every(({ kind }) => kind === 'NetworkAuthentication'))
        find(resource, ['spec', 'requiredAuthenticationRefs', 0], 'a network is all that is asked for, and it implies no identity', {
          fix: 'add a MeshTLSAuthentication',
        });
    }
  },
};
