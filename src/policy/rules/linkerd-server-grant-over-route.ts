// Who may call the Server may call its routes.
import { mapList, specOf } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

export const linkerdServerGrantOverRoute: LintRule = {
  id: 'linkerd-server-grant-over-route',
  severity: 'warning',
  summary:
    "A Linkerd policy lets callers into a Server, and another is meant to guard one of the Server's routes. What is granted for the Server, or its namespace, holds for every route of it: the narrower policy keeps nobody of them out.",
  wrong: `apiVersion: policy.linkerd.io/v1beta3
kind: HTTPRoute
metadata: {name: admin, namespace: shop}
spec:
  parentRefs: [{group: policy.linkerd.io, kind: Server, name: orders}]
  rules: [{matches: [{path: {value: /admin}}]}]
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: {name: admin, namespace: shop}
spec:
  targetRef: {group: policy.linkerd.io, kind: HTTPRoute, name: admin}
  requiredAuthenticationRefs: [{kind: ServiceAccount, name: ops}]
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  targetRef: {group: policy.linkerd.io, kind: Server, name: orders}
  requiredAuthenticationRefs: [{kind: ServiceAccount, name: web}]
`,
  mend: [
    [
      'kind: Server, name: orders}\n  requiredAuthenticationRefs: [{kind: ServiceAccount, name: web',
      'kind: HTTPRoute, name: orders}\n  requiredAuthenticationRefs: [{kind: ServiceAccount, name: web',
    ],
  ],
  foreign: (mesh, find) => {
    const policies = mesh.kind('AuthorizationPolicy', 'policy.linkerd.io');
    const targetOf = (policy: (typeof policies)[number]): Readonly<Record<string, unknown>> =>
      (specOf(policy)['targetRef'] ?? {}) as Readonly<Record<string, unknown>>;
    const isRoute = (kind: unknown): boolean => kind === 'HTTPRoute' || kind === 'GRPCRoute';
    for (const wide of policies) {
      const target = targetOf(wide);
      if (target['kind'] !== 'Server' && target['kind'] !== 'Namespace') continue;
      const guarded = policies.find((policy) => {
        const own = targetOf(policy);
        if (policy.namespace !== wide.namespace || !isRoute(own['kind'])) return false;
        const route = mesh.resources.find((each) => isRoute(each.kind) && each.name === own['name'] && each.namespace === policy.namespace);
        if (route === undefined) return false;
        const parents = mapList(specOf(route)['parentRefs']) ?? [];
        return parents.some(({ kind, name }) => kind === 'Server' && (target['kind'] === 'Namespace' || name === target['name']));
      });
      if (guarded !== undefined)
        find(wide, ['spec', 'targetRef'], `also opens the route that \`${guarded.name}\` guards`, { fix: 'grant the routes one by one' });
    }
  },
};
