// May it? CompiledPolicy × Attempt → Decision. The one function behind every verdict, on the wire and offline.
//
// Order: identity, tier floor, deny, allow, default. A caller is judged by its verified identity, never by its address.
// No identity is refused everywhere but at the ingress, which is open to all unless a rule `any -> ingress` says what it takes.
import type { CompiledPolicy, Operation, PolicyService, Rule, Who } from '../mesh/authorization.ts';
import { INGRESS, parseSpiffeId, printSpiffeId, type SpiffeId } from '../mesh/identity.ts';
import { matchPath } from './path.ts';

export interface Attempt {
  /** The verified identity; undefined when there is none. */
  readonly caller: SpiffeId | undefined;
  readonly callee: SpiffeId;
  readonly port: { readonly name: string; readonly number: number };
  /** Undefined for TCP. `path` is normalised (policy/path.ts) and without query. */
  readonly http: { readonly method: string; readonly path: string } | undefined;
}

export type Stage = 'unreadable' | 'identity' | 'tier' | 'deny' | 'allow' | 'default';

export interface Decision {
  readonly verdict: 'allowed' | 'denied';
  readonly stage: Stage;
  /** The rule that decided, or a sentence where no rule did. */
  readonly rule: string;
  readonly place: string | undefined;
  readonly revision: number;
  /** Set when only audit mode let it pass. */
  readonly audited: boolean;
}

/** Judges one request or one TCP connection. */
export function evaluate(policy: CompiledPolicy, attempt: Attempt): Decision {
  const decide = (verdict: 'allowed' | 'denied', stage: Stage, rule: string, by?: Rule, audited = false): Decision => ({
    verdict,
    stage,
    rule,
    place: by === undefined ? undefined : `${by.place.file}:${by.place.line}`,
    revision: policy.revision,
    audited,
  });
  if (policy.unreadable !== undefined) return decide('denied', 'unreadable', `policy unreadable: ${policy.unreadable}`);
  const { caller } = attempt;
  if (caller === undefined) {
    const speaksOfAny = policy.allow.some((rule) => rule.from.some((who) => who.kind === 'any'));
    if (attempt.callee.service !== INGRESS) return decide('denied', 'identity', 'no identity');
    if (!speaksOfAny) return decide('allowed', 'identity', 'ingress: open to callers from outside');
  }
  const floor = tierFloor(policy, attempt);
  if (floor !== undefined) return decide('denied', 'tier', floor);
  const denied = policy.deny.find((rule) => matches(policy, rule, attempt));
  if (denied !== undefined) return decide('denied', 'deny', denied.id, denied);
  const allowed = policy.allow.find((rule) => matches(policy, rule, attempt));
  if (allowed !== undefined) return decide('allowed', 'allow', allowed.id, allowed);
  if (policy.default === 'audit') return decide('allowed', 'default', 'default: audit', undefined, true);
  return decide('denied', 'default', 'default: deny');
}

/** Why the tier floor refuses the caller, or undefined. No identity and foreign trust domains rank below the lowest tier. */
function tierFloor(policy: CompiledPolicy, attempt: Attempt): string | undefined {
  if (policy.tiers.length === 0 || attempt.caller === undefined) return undefined;
  const callee = findService(policy, attempt.callee);
  const caller = attempt.caller === undefined ? undefined : findService(policy, attempt.caller);
  if (callee?.bridge || caller?.bridge) return undefined;
  const calleeTier = policy.tiers[callee?.rank ?? 0];
  const callerRank = rankOf(policy, attempt.caller, caller);
  if (calleeTier === undefined || callerRank >= calleeTier.accepts) return undefined;
  const floor = policy.tiers[calleeTier.accepts]?.name ?? '';
  return `tier floor: ${calleeTier.name} accepts from ${floor}, caller is ${policy.tiers[callerRank]?.name ?? 'unknown'}`;
}

function rankOf(policy: CompiledPolicy, id: SpiffeId | undefined, service: PolicyService | undefined): number {
  if (id === undefined || id.trustDomain !== policy.trustDomain) return -1;
  return service?.rank ?? 0;
}

/** The service entry of an identity: an exact id beats `ns/X/sa/*`, that beats `ns/*\/sa/*`. Foreign trust domains have none. */
export function findService(policy: CompiledPolicy, id: SpiffeId): PolicyService | undefined {
  if (id.trustDomain !== policy.trustDomain || id.service === undefined) return undefined;
  let best: PolicyService | undefined;
  let bestScore = -1;
  for (const service of policy.services) {
    if (service.namespace !== '*' && service.namespace !== id.namespace) continue;
    if (service.service !== '*' && service.service !== id.service) continue;
    const score = (service.service === '*' ? 0 : 2) + (service.namespace === '*' ? 0 : 1);
    if (score > bestScore) {
      best = service;
      bestScore = score;
    }
  }
  return best;
}

function matches(policy: CompiledPolicy, rule: Rule, attempt: Attempt): boolean {
  return (
    rule.to.some((who) => matchesWho(policy, who, attempt.callee)) &&
    rule.from.some((who) => matchesWho(policy, who, attempt.caller)) &&
    rule.operations.some((operation) => matchesOperation(operation, attempt))
  );
}

/** Whether an identity (undefined: none) is one that `who` speaks of. */
export function matchesWho(policy: CompiledPolicy, who: Who, id: SpiffeId | undefined): boolean {
  if (who.kind === 'any') return true;
  if (id === undefined) return false;
  const own = id.trustDomain === policy.trustDomain;
  switch (who.kind) {
    case 'mesh':
      return own;
    case 'id':
      return printSpiffeId(id) === who.id;
    case 'workload':
      return own && id.service === who.service && id.namespace === who.namespace;
    case 'namespace':
      return own && id.namespace === who.namespace;
    case 'trustDomain':
      return id.trustDomain === who.trustDomain;
    case 'tier': {
      const rank = rankOf(policy, id, findService(policy, id));
      if (who.compare === '=') return rank === who.rank;
      return who.compare === '<' ? rank < who.rank : rank >= who.rank;
    }
  }
}

function matchesOperation(operation: Operation, attempt: Attempt): boolean {
  if (operation.port !== undefined && operation.port !== attempt.port.name && operation.port !== String(attempt.port.number)) return false;
  switch (operation.kind) {
    case 'any':
      return true;
    case 'tcp':
      return attempt.http === undefined;
    case 'http':
      if (attempt.http === undefined) return false;
      if (operation.methods !== undefined && !operation.methods.includes(attempt.http.method)) return false;
      return matchPath(operation.path, attempt.http.path);
  }
}

/** The rules that can concern one callee: what its proxy needs. Keeps every service entry, since callers are ranked by them. */
export function policyFor(policy: CompiledPolicy, callee: string): CompiledPolicy {
  const id = parseSpiffeId(callee);
  const concerns = (rule: Rule): boolean => rule.to.some((who) => matchesWho(policy, who, id));
  return { ...policy, allow: policy.allow.filter(concerns), deny: policy.deny.filter(concerns) };
}
