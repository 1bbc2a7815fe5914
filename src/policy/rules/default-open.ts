// A workload that nobody closed.
import { DEFAULT_POLICY } from '../foreign/linkerd/decide.ts';
import { fitsSelector, hasLabels, isMap, specOf } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

export const defaultOpen: LintRule = {
  id: 'default-open',
  severity: 'warning',
  summary:
    'No ALLOW policy covers the workload, so Istio lets everybody in; or, in a Linkerd mesh, no Server covers a port and the default lets unauthenticated callers in. One empty policy in the root namespace (`spec: {}`) closes a whole mesh. Judged where the files hold policies of that mesh.',
  see: ['KIA1301'],
  wrong: `apiVersion: v1
kind: Pod
metadata: {name: orders-1, namespace: shop, labels: {app: orders}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec: {selector: {matchLabels: {app: web}}}
`,
  mend: [['spec: {selector: {matchLabels: {app: web}}}', 'spec: {}']],
  foreign: (mesh, find) => {
    const allows = mesh.authorizations.filter(({ action, isDryRun }) => action === 'ALLOW' && !isDryRun);
    const servers = mesh.kind('Server', 'policy.linkerd.io');
    for (const pod of mesh.workloads) {
      if (pod.namespace === mesh.settings.rootNamespace) continue;
      if (mesh.authorizations.length > 0) {
        const isCovered = allows.some(
          ({ resource, selector, targets }) =>
            (targets.length === 0
              ? hasLabels(pod.labels, selector)
              : targets.some(
                  ({ kind, name }) =>
                    kind === 'Gateway' ||
                    mesh.services.some(
                      (service) => service.name === name && service.namespace === pod.namespace && hasLabels(pod.labels, service.selector),
                    ),
                )) && [pod.namespace, mesh.settings.rootNamespace].includes(resource.namespace ?? 'default'),
        );
        if (!isCovered)
          find(pod.resource, ['metadata', 'name'], `no ALLOW policy covers \`${pod.name}\`: anybody may call it`, {
            fix: 'add an AuthorizationPolicy with `spec: {}` to its namespace, and one for each caller',
          });
      }
      if (servers.length === 0 || isClosedByDefault(pod, mesh)) continue;
      const open = pod.ports.filter(
        (port) =>
          !servers.some((server) => {
            const { podSelector, port: wanted } = specOf(server);
            return (
              server.namespace === pod.namespace &&
              isMap(podSelector) &&
              fitsSelector(pod.labels, podSelector) &&
              (wanted === port.number || wanted === port.name)
            );
          }),
      );
      if (open.length > 0)
        find(
          pod.resource,
          ['metadata', 'name'],
          `no Server covers ${open.map(({ number, name }) => number ?? name).join(', ')} of \`${pod.name}\``,
          {
            fix: `add a Server, or annotate it \`${DEFAULT_POLICY}: deny\``,
          },
        );
    }
  },
};

function isClosedByDefault(
  pod: { readonly namespace: string; readonly resource: { readonly annotations: Readonly<Record<string, string>> } },
  mesh: { kind(kind: string): readonly { readonly name: string; readonly annotations: Readonly<Record<string, string>> }[] },
): boolean {
  const above = mesh.kind('Namespace').find(({ name }) => name === pod.namespace);
  const said = pod.resource.annotations[DEFAULT_POLICY] ?? above?.annotations[DEFAULT_POLICY] ?? 'all-unauthenticated';
  return !said.endsWith('-unauthenticated');
}
