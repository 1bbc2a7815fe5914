// What NetworkPolicies decide, layer 3 and 4: once a pod is selected in a direction, only what a rule of that direction allows passes, and both
// ends must allow. Source: kubernetes.io, Network Policies, and the API's own description of each field.
import { isInBlock } from './ip.ts';
import { all, any, type ForeignDecision, type ForeignRequest, type Match, not, toMatch } from './request.ts';
import { fitsSelector, isMap, mapList, printResource, type Resource, specOf, textList } from './resources.ts';

type Map = Readonly<Record<string, unknown>>;
type Labels = Readonly<Record<string, string>>;

interface End {
  readonly namespace: string | undefined;
  readonly labels: Labels | undefined;
  readonly ip: string | undefined;
}

export function isNetworkPolicy(resource: Resource): boolean {
  return resource.kind === 'NetworkPolicy' && resource.apiVersion.startsWith('networking.k8s.io/');
}

/** A connection by TCP, whatever is spoken on it. */
export function decideNetwork(resources: readonly Resource[], request: ForeignRequest): ForeignDecision {
  const { source, destination } = request;
  const policies = resources.filter(isNetworkPolicy);
  const namespaces = new Map(resources.filter(({ kind }) => kind === 'Namespace').map(({ name, labels }) => [name, labels]));
  const labelsOf = (namespace: string): Labels => ({ 'kubernetes.io/metadata.name': namespace, ...namespaces.get(namespace) });
  const from: End = { namespace: source.namespace, labels: source.labels, ip: source.ip };
  const to: End = { namespace: destination.namespace, labels: destination.labels, ip: destination.ip };
  const inbound = side(policies, 'Ingress', to, from, destination, labelsOf);
  const outbound = side(policies, 'Egress', from, to, destination, labelsOf);
  const decided = (decision: ForeignDecision['decision'], by: string): ForeignDecision => ({ decision, by, dryRun: {} });
  for (const { match, by } of [outbound, inbound]) if (match === 'no') return decided('deny', by);
  for (const { match, by } of [outbound, inbound]) if (match === 'maybe') return decided('unknown', `it depends on ${by}`);
  return decided('allow', inbound.by === '' ? outbound.by || 'no NetworkPolicy selects either end' : inbound.by);
}

function side(
  policies: readonly Resource[],
  direction: 'Ingress' | 'Egress',
  own: End,
  peer: End,
  port: ForeignRequest['destination'],
  labelsOf: (namespace: string) => Labels,
): { match: Match; by: string } {
  const here = policies.filter(
    (policy) => own.namespace !== undefined && (policy.namespace ?? 'default') === own.namespace && isAbout(policy, direction),
  );
  const selected = here.map((policy) => ({
    policy,
    selects: own.labels === undefined ? ('maybe' as const) : toMatch(selects(policy, own.labels)),
  }));
  const certain = selected.filter(({ selects: match }) => match !== 'no');
  if (certain.length === 0) return { match: 'yes', by: '' };
  const name = ({ policy }: { policy: Resource }): string => printResource(policy);
  const allowed = certain.map((each) => ({ ...each, match: allows(each.policy, direction, peer, port, labelsOf) }));
  const yes = allowed.find(({ match }) => match === 'yes');
  // A policy that may or may not be in force closes nothing when it allows, and perhaps all when it does not.
  const isIsolated = any(certain.map(({ selects: match }) => match));
  if (yes !== undefined && yes.selects === 'yes') return { match: 'yes', by: name(yes) };
  const open = any(allowed.map(({ match, selects: is }) => all([match, is])));
  const match = any([not(isIsolated), open]);
  return {
    match,
    by: match === 'no' ? `${direction.toLowerCase()}: ${certain.map(name).join(', ')}` : name(certain[0] as (typeof certain)[number]),
  };
}

/** Ingress when nothing is said, Egress when it has egress rules. */
function isAbout(policy: Resource, direction: 'Ingress' | 'Egress'): boolean {
  const spec = specOf(policy);
  const types = textList(spec['policyTypes']);
  if (types !== undefined && types.length > 0) return types.includes(direction);
  return direction === 'Ingress' || spec['egress'] !== undefined;
}

function selects(policy: Resource, labels: Labels): boolean {
  const { podSelector } = specOf(policy);
  return isMap(podSelector) && fitsSelector(labels, podSelector);
}

function allows(
  policy: Resource,
  direction: 'Ingress' | 'Egress',
  peer: End,
  port: ForeignRequest['destination'],
  labelsOf: (namespace: string) => Labels,
): Match {
  const [key, list] = direction === 'Ingress' ? (['ingress', 'from'] as const) : (['egress', 'to'] as const);
  return any(
    (mapList(specOf(policy)[key]) ?? []).map((rule) => {
      const peers = mapList(rule[list]);
      const ports = mapList(rule['ports']);
      // Missing and empty both mean everything.
      const who = peers === undefined || peers.length === 0 ? 'yes' : any(peers.map((each) => isPeer(each, policy, peer, labelsOf)));
      const where = ports === undefined || ports.length === 0 ? 'yes' : toMatch(ports.some((each) => isPort(each, port)));
      return all([who, where]);
    }),
  );
}

function isPeer(peer: Map, policy: Resource, { namespace, labels, ip }: End, labelsOf: (namespace: string) => Labels): Match {
  const { ipBlock, podSelector, namespaceSelector } = peer;
  if (isMap(ipBlock)) {
    const cidr = String(ipBlock['cidr']);
    if (ip === undefined) return 'maybe';
    return toMatch(isInBlock(cidr, ip) && !(textList(ipBlock['except']) ?? []).some((each) => isInBlock(each, ip)));
  }
  // Who is no pod of the cluster has no labels to select it by.
  if (namespace === undefined) return 'no';
  const isThere = isMap(namespaceSelector)
    ? fitsSelector(labelsOf(namespace), namespaceSelector)
    : namespace === (policy.namespace ?? 'default');
  if (!isThere) return 'no';
  if (!isMap(podSelector)) return 'yes';
  if (Object.keys(podSelector).length === 0) return 'yes';
  return labels === undefined ? 'maybe' : toMatch(fitsSelector(labels, podSelector));
}

function isPort(wanted: Map, { port, portName }: ForeignRequest['destination']): boolean {
  if ((wanted['protocol'] ?? 'TCP') !== 'TCP') return false;
  const { port: number, endPort } = wanted;
  if (number === undefined) return true;
  if (typeof endPort === 'number' && typeof number === 'number') return port >= number && port <= endPort;
  return number === port || number === portName;
}
