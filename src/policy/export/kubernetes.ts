// A native policy as NetworkPolicies: who may reach which port. A second layer: paths, methods and identities stay with the mesh.
import type { Callee, ExportInput } from '../export.ts';
import { type Callers, callersOf } from './callers.ts';

export function toKubernetes(input: ExportInput): object[] {
  input.note(`pods are selected by their label \`${input.label}\`, namespaces by \`kubernetes.io/metadata.name\``);
  input.note('a NetworkPolicy knows labels and ports only: it is a second layer, and lets pass whatever is said on a port');
  return input.callees.map((callee) => ofCallee(callee, input));
}

function ofCallee(callee: Callee, input: ExportInput): object {
  const { service, ports, allow } = callee;
  const ingress = new Map<string, object>();
  for (const rule of allow)
    for (const operation of rule.operations) {
      const callers = callersOf(rule, operation, callee, input);
      if (callers === undefined || (callers.kind === 'services' && callers.services.length === 0)) continue;
      const number =
        operation.port === undefined ? undefined : /^\d+$/.test(operation.port) ? Number(operation.port) : ports.get(operation.port);
      if (operation.port !== undefined && number === undefined) {
        input.leave(
          rule,
          `nobody says which number port \`${operation.port}\` of \`${service.name}\` has: write \`ports:\` under \`services:\``,
        );
        continue;
      }
      const entry = { from: peersOf(callers, input.label), ...(number === undefined ? {} : { ports: [{ port: number }] }) };
      ingress.set(JSON.stringify(entry), entry);
    }
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: service.name, namespace: service.namespace },
    spec: { podSelector: { matchLabels: { [input.label]: service.name } }, policyTypes: ['Ingress'], ingress: [...ingress.values()] },
  };
}

function peersOf(callers: Callers, label: string): object[] {
  if (callers.kind === 'mesh') return [{ namespaceSelector: {} }];
  const inside = (namespace: string): object => ({ matchLabels: { 'kubernetes.io/metadata.name': namespace } });
  if (callers.kind === 'namespace') return [{ namespaceSelector: inside(callers.namespace) }];
  return callers.services.map(({ name, namespace }) => ({
    namespaceSelector: inside(namespace),
    podSelector: { matchLabels: { [label]: name } },
  }));
}
