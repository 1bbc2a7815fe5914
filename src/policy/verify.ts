// Do the policy's promises hold? Invariants × policy → a verdict for each, with a path of concrete requests where one does not.
//
// Exact over all identities, named or not (identities.ts): a `never` is violated just when there is a path s0 → … → sn, n ≥ 1, from the one
// side to the other, each hop allowed for at least one request, with no bridge among s0 … s(n-1). `->` is one hop and exempts no bridge.

import type { CompiledPolicy, Operation, Who } from '../mesh/authorization.ts';
import { resolve, toOperation } from './compile.ts';
import type { IdentityClass } from './identities.ts';
import type { Names } from './names.ts';
import { type Hop, type Port, Reachability } from './reachability.ts';
import type { Invariant } from './reader/invariant-node.ts';
import type { WhoText } from './reader/rule-text.ts';
import { requestsOf } from './requests.ts';

/** An edge that would have to go, with the rules that make it. */
export interface CutEdge {
  readonly from: string;
  readonly to: string;
  readonly rules: readonly { readonly rule: string; readonly place: string }[];
}

export interface Verification {
  readonly invariant: Invariant;
  readonly verdict: 'holds' | 'violated' | 'unknown';
  /** What was found, in a sentence. */
  readonly what: string;
  /** The hops of one path that breaks it; for `only` and `identity` one hop for each caller too many. */
  readonly hops: readonly Hop[];
  /** The fewest edges whose removal would make it hold. */
  readonly cut: readonly CutEdge[];
}

export interface VerifyInput {
  readonly policy: CompiledPolicy;
  readonly names: Names;
  readonly invariants: readonly Invariant[];
  /** Ports that services declare. */
  readonly ports: readonly Port[];
  readonly atMs: number;
}

export function verify({ policy, names, invariants, ports, atMs }: VerifyInput): Verification[] {
  const unresolved: string[] = [];
  const whos = (who: WhoText): Who[] => resolve(who, names, unresolved);
  const asked = invariants.flatMap((each) => spokenOf(each).flatMap(whos));
  const reach = new Reachability(policy, atMs, asked, ports);
  return invariants.map((invariant) => {
    unresolved.length = 0;
    spokenOf(invariant).forEach(whos);
    if (unresolved.length > 0) return { invariant, ...found('unknown', `\`${unresolved[0]}\` is not known`) };
    if (policy.unreadable !== undefined) return { invariant, ...found('unknown', `the policy cannot be read: ${policy.unreadable}`) };
    return { invariant, ...judge(reach, invariant, (who) => reach.among(whos(who))) };
  });
}

type Found = Omit<Verification, 'invariant'>;

function found(verdict: Verification['verdict'], what: string, hops: readonly Hop[] = [], cut: readonly CutEdge[] = []): Found {
  return { verdict, what, hops, cut };
}

function judge(reach: Reachability, invariant: Invariant, classes: (who: WhoText) => IdentityClass[]): Found {
  switch (invariant.kind) {
    case 'never': {
      const from = classes(invariant.from);
      const to = classes(invariant.to);
      const hops = findPath(reach, from, to, invariant.atMostHops, invariant.direct);
      if (hops === undefined) return found('holds', 'there is no such path');
      const what = `${hops[0]?.from.label} reaches ${hops.at(-1)?.to.label}`;
      return found('violated', what, hops, invariant.direct ? directEdges(reach, from, to) : cheapestCut(reach, from, to));
    }
    case 'only': {
      const allowed = new Set(invariant.callers.flatMap(classes));
      const hops = classes(invariant.of).flatMap((to) =>
        reach.classes.filter((from) => !allowed.has(from) && from !== to).flatMap((from) => reach.edge(from, to) ?? []),
      );
      if (hops.length === 0) return found('holds', 'nobody else may call it');
      const callers = [...new Set(hops.map(({ from }) => from.label))].join(', ');
      return found(
        'violated',
        `${callers} may call it too`,
        hops,
        hops.map((hop) => cutEdge(reach, hop)),
      );
    }
    case 'must': {
      const missing = firstRefused(reach, classes(invariant.from), classes(invariant.to), invariant.operations.map(toOperation));
      if (missing === undefined) return found('holds', 'every such request is allowed');
      if (missing === 'too many') return found('unknown', 'there are too many different paths to go through');
      return found('violated', `refused: ${missing.decision.rule}`, [missing]);
    }
    case 'reach': {
      const from = classes(invariant.from);
      const near = reachable(reach, from, true);
      const far = reachable(reach, from, false);
      const what = `${near.length} service${near.length === 1 ? '' : 's'} within reach (${far.length} through bridges), ${invariant.atMost} at most`;
      return near.length <= invariant.atMost
        ? found('holds', what)
        : found(
            'violated',
            what,
            near.map(({ hop }) => hop),
          );
    }
    case 'identity': {
      const nobody = reach.classes.filter(({ id }) => id === undefined);
      const hops = classes(invariant.requiredFor).flatMap((to) => nobody.flatMap((from) => reach.edge(from, to) ?? []));
      if (hops.length === 0) return found('holds', 'no request without identity is allowed');
      return found('violated', `${hops.map(({ to }) => to.label).join(', ')} takes requests without identity`, hops);
    }
  }
}

function spokenOf(invariant: Invariant): readonly WhoText[] {
  switch (invariant.kind) {
    case 'never':
    case 'must':
      return [invariant.from, invariant.to];
    case 'only':
      return [...invariant.callers, invariant.of];
    case 'reach':
      return [invariant.from];
    case 'identity':
      return [invariant.requiredFor];
  }
}

/** The shortest path of allowed hops from one of `from` to one of `to`; bridges are not passed through, unless it is one hop only. */
export function findPath(
  reach: Reachability,
  from: readonly IdentityClass[],
  to: readonly IdentityClass[],
  atMostHops: number,
  direct: boolean,
): readonly Hop[] | undefined {
  const goals = new Set(to);
  const starts = direct ? from : from.filter((each) => !reach.isBridge(each));
  const came = new Map<IdentityClass, Hop>();
  let edge: readonly IdentityClass[] = starts;
  const expanded = new Set<IdentityClass>(starts);
  for (let hops = 1; hops <= atMostHops && edge.length > 0; hops++) {
    const next: IdentityClass[] = [];
    for (const at of edge) {
      for (const other of reach.classes) {
        if (other === at || (came.has(other) && !goals.has(other))) continue;
        const hop = reach.edge(at, other);
        if (hop === undefined) continue;
        if (goals.has(other)) return [...trace(came, at, starts), hop];
        came.set(other, hop);
        if (expanded.has(other) || reach.isBridge(other)) continue;
        expanded.add(other);
        next.push(other);
      }
    }
    edge = next;
  }
  return undefined;
}

function trace(came: ReadonlyMap<IdentityClass, Hop>, end: IdentityClass, starts: readonly IdentityClass[]): Hop[] {
  const hops: Hop[] = [];
  for (let at = end; !starts.includes(at); ) {
    const hop = came.get(at) as Hop;
    hops.unshift(hop);
    at = hop.from;
  }
  return hops;
}

/** Services that can be reached, with the hop that reaches each; `stop`: bridges are reached, not passed. */
export function reachable(reach: Reachability, from: readonly IdentityClass[], stop: boolean): { service: string; hop: Hop }[] {
  const found = new Map<IdentityClass, Hop>();
  let edge: readonly IdentityClass[] = from;
  while (edge.length > 0) {
    const next: IdentityClass[] = [];
    for (const at of edge) {
      if (stop && reach.isBridge(at) && !from.includes(at)) continue;
      for (const other of reach.classes) {
        if (found.has(other) || from.includes(other)) continue;
        const hop = reach.edge(at, other);
        if (hop === undefined) continue;
        found.set(other, hop);
        next.push(other);
      }
    }
    edge = next;
  }
  return [...found.values()].flatMap((hop) => (hop.to.service === undefined ? [] : [{ service: hop.to.service, hop }]));
}

/** Beyond this the mesh is open rather than leaky, and a list of edges helps nobody. */
const MAX_CUT = 20;

/** Every edge from one side to the other. */
function directEdges(reach: Reachability, from: readonly IdentityClass[], to: readonly IdentityClass[]): CutEdge[] {
  const hops = from.flatMap((at) => to.flatMap((goal) => (at === goal ? [] : (reach.edge(at, goal) ?? []))));
  return hops.length > MAX_CUT ? [] : hops.map((hop) => cutEdge(reach, hop));
}

/** The fewest edges between the two sides (Ford and Fulkerson, each edge of capacity one). Empty when they are more than MAX_CUT. */
function cheapestCut(reach: Reachability, from: readonly IdentityClass[], to: readonly IdentityClass[]): CutEdge[] {
  const goals = new Set(to);
  const starts = from.filter((each) => !reach.isBridge(each));
  const neighbours = new Map<IdentityClass, Set<IdentityClass>>();
  const passable = (each: IdentityClass): boolean => starts.includes(each) || (!reach.isBridge(each) && !goals.has(each));
  for (const at of reach.classes) {
    if (!passable(at)) continue;
    neighbours.set(at, new Set(reach.classes.filter((other) => other !== at && reach.edge(at, other) !== undefined)));
  }
  // Flow along an edge takes it away and gives its reverse.
  const residual = new Map([...neighbours].map(([at, others]) => [at, new Set(others)] as const));
  for (let flow = 0; flow <= MAX_CUT; flow++) {
    const came = new Map<IdentityClass, IdentityClass | undefined>(starts.map((each) => [each, undefined]));
    const queue = [...starts];
    let end: IdentityClass | undefined;
    while (queue.length > 0 && end === undefined) {
      const at = queue.shift() as IdentityClass;
      for (const other of residual.get(at) ?? []) {
        if (came.has(other)) continue;
        came.set(other, at);
        if (goals.has(other)) {
          end = other;
          break;
        }
        queue.push(other);
      }
    }
    if (end === undefined) {
      // What can still be reached is the near side; the edges that lead out of it are the cut.
      return [...neighbours].flatMap(([at, others]) =>
        came.has(at)
          ? [...others]
              .filter((other) => !came.has(other) && (passable(other) || goals.has(other)))
              .map((other) => cutEdge(reach, reach.edge(at, other) as Hop))
          : [],
      );
    }
    for (let at: IdentityClass = end; ; ) {
      const before = came.get(at);
      if (before === undefined) break;
      residual.get(before)?.delete(at);
      const back = residual.get(at) ?? new Set<IdentityClass>();
      back.add(before);
      residual.set(at, back);
      at = before;
    }
  }
  return [];
}

function cutEdge(reach: Reachability, { from, to }: Hop): CutEdge {
  const rules = reach.grants(from, to).map(({ rule }) => ({ rule: rule.id, place: `${rule.place.file}:${rule.place.line}` }));
  return { from: from.label, to: to.label, rules };
}

/** One request that the operations cover and the policy refuses; undefined when there is none. */
function firstRefused(
  reach: Reachability,
  from: readonly IdentityClass[],
  to: readonly IdentityClass[],
  operations: readonly Operation[],
): Hop | 'too many' | undefined {
  for (const operation of operations) {
    for (const caller of from) {
      for (const callee of to) {
        if (callee.id === undefined || !reach.isCallee(callee)) continue;
        const requests = requestsOf(operation, reach.ports, reach.operationsBetween(caller, callee));
        if (requests === undefined) return 'too many';
        for (const request of requests) {
          const decision = reach.judge(caller, callee.id, request);
          if (decision.verdict !== 'allowed') return { from: caller, to: callee, request, decision };
        }
      }
    }
  }
  return undefined;
}
