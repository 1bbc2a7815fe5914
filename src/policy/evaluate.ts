// May it? CompiledPolicy × Attempt → Decision. The one function behind every verdict, on the wire and offline.
//
// Order: identity, tier floor, deny, allow, default. A caller is judged by its verified identity, never by its address.
// No identity is refused everywhere but at the ingress, which is open to all unless a rule `any -> ingress` says what it takes.
//
// Three-valued: where something that a rule asks for is not known (offline only: a method, a path, a field, a port), the verdict is
// `unknown`, unless it is the same whatever the missing part is. On the wire everything is known; whoever enforces takes `unknown` as denied.
import type { CompiledPolicy, Operation, Rule, Who } from '../mesh/authorization.ts';
import { INGRESS, parseSpiffeId, printSpiffeId, type SpiffeId } from '../mesh/identity.ts';
import { matchPath } from './path.ts';
import { indexOf, matchesWho, type RuleEntry } from './rule-index.ts';

export { matchesWho } from './rule-index.ts';

export interface HttpFacts {
  /** Undefined where it is not known. */
  readonly method: string | undefined;
  /** Normalised (policy/path.ts) and without query. Undefined where it is not known. */
  readonly path: string | undefined;
  /** Whether it is a call of gRPC, by its content type. Undefined where it is not known. */
  readonly grpc: boolean | undefined;
  /** Every value of a field (name in lower case), one for each line; undefined where it is not known. */
  readonly header: (name: string) => readonly string[] | undefined;
}

export interface Attempt {
  /** The verified identity; undefined when there is none. */
  readonly caller: SpiffeId | undefined;
  readonly callee: SpiffeId;
  /** Undefined where it is not known. */
  readonly port: { readonly name: string; readonly number: number } | undefined;
  /** Undefined for TCP. */
  readonly http: HttpFacts | undefined;
  /** Epoch milliseconds: rules with `until` end. */
  readonly atMs: number;
}

export type Stage = 'unreadable' | 'identity' | 'tier' | 'deny' | 'allow' | 'default';
export type Missing = 'method' | 'path' | 'header' | 'content-type' | 'port';

export interface Decision {
  readonly verdict: 'allowed' | 'denied' | 'unknown';
  readonly stage: Stage;
  /** The rule that decided, or a sentence where no rule did. */
  readonly rule: string;
  /** `file:line` of the rule. */
  readonly place: string | undefined;
  readonly revision: number;
  /** Set when only audit mode let it pass. */
  readonly audited: boolean;
  /** What would have to be known for a verdict. */
  readonly missing: readonly Missing[];
}

/** Judges one request or one TCP connection. */
export function evaluate(policy: CompiledPolicy, attempt: Attempt): Decision {
  if (policy.unreadable !== undefined) return decide(policy, 'denied', 'unreadable', `policy unreadable: ${policy.unreadable}`);
  const index = indexOf(policy);
  const { caller, callee } = attempt;
  if (caller === undefined) {
    if (callee.service !== INGRESS) return decide(policy, 'denied', 'identity', 'no identity');
    if (!index.speaksOfAny) return decide(policy, 'allowed', 'identity', 'ingress: open to callers from outside');
  }
  const { floor, deny, allow } = index.pair(callee, caller);
  if (floor !== undefined) return watched(policy, decide(policy, 'denied', 'tier', floor));
  const path = attempt.http?.path;
  const denying = new Search(attempt);
  for (const operations of deny) operations.visit(path, denying);
  if (denying.found !== undefined) return watched(policy, decideBy(policy, 'denied', 'deny', denying.found));
  const allowing = new Search(attempt);
  for (const operations of allow) operations.visit(path, allowing);
  const passes = allowing.found !== undefined || policy.default === 'audit';
  if (passes && denying.missing !== undefined) return unknown(policy, 'deny', denying.missing);
  if (allowing.found !== undefined) return decideBy(policy, 'allowed', 'allow', allowing.found);
  if (allowing.missing !== undefined) return unknown(policy, 'allow', allowing.missing);
  if (policy.default === 'audit') {
    return { ...decide(policy, 'allowed', 'default', 'default: audit'), audited: true };
  }
  return decide(policy, 'denied', 'default', 'default: deny');
}

/** A denial that only reports, where the whole policy is being tried out. */
function watched(policy: CompiledPolicy, denied: Decision): Decision {
  return policy.auditsAll ? { ...denied, verdict: 'allowed', audited: true } : denied;
}

/** What a proxy goes by: `unknown` is denied. */
export type Enforced = Decision & { readonly verdict: 'allowed' | 'denied' };

export function enforce(policy: CompiledPolicy, attempt: Attempt): Enforced {
  const decision = evaluate(policy, attempt);
  return decision.verdict === 'unknown' ? { ...decision, verdict: 'denied' } : (decision as Enforced);
}

/** Goes through the rules that can concern an attempt and keeps the one that decides: the first as written, one that is enforced before one that audits. */
class Search {
  found: RuleEntry | undefined;
  missing: Set<Missing> | undefined;
  readonly #attempt: Attempt;

  constructor(attempt: Attempt) {
    this.#attempt = attempt;
  }

  consider(entry: RuleEntry, fits: boolean): void {
    const { found } = this;
    if (found !== undefined && (found.audit === entry.audit ? found.order <= entry.order : entry.audit)) return;
    if (entry.untilMs !== undefined && this.#attempt.atMs >= entry.untilMs) return;
    const method = this.#attempt.http?.method;
    if (fits && entry.byMethodOnly && method !== undefined) {
      if (entry.methods === undefined || entry.methods.includes(method)) this.found = entry;
      return;
    }
    const miss = mismatch(entry.operation, this.#attempt, fits);
    if (miss === undefined) this.found = entry;
    else if (miss.startsWith('?')) {
      this.missing ??= new Set();
      for (const field of unknownFields(entry.operation, this.#attempt)) this.missing.add(field);
    }
  }
}

const NOTHING: readonly Missing[] = [];

function decide(policy: CompiledPolicy, verdict: Decision['verdict'], stage: Stage, rule: string): Decision {
  return { verdict, stage, rule, place: undefined, revision: policy.revision, audited: false, missing: NOTHING };
}

function decideBy(policy: CompiledPolicy, verdict: 'allowed' | 'denied', stage: Stage, { id, place, audit }: RuleEntry): Decision {
  return { verdict, stage, rule: id, place, revision: policy.revision, audited: audit, missing: NOTHING };
}

function unknown(policy: CompiledPolicy, stage: Stage, missing: ReadonlySet<Missing>): Decision {
  const list = [...missing].sort();
  return { ...decide(policy, 'unknown', stage, `it depends on ${list.join(' and ')}`), missing: list };
}

export function isInForce({ untilMs }: Rule, atMs: number): boolean {
  return untilMs === undefined || atMs < untilMs;
}

export type Mismatch = 'port' | 'protocol' | 'method' | 'path' | 'content-type' | 'header' | `?${Missing}` | undefined;

/**
 * What keeps an operation from covering an attempt: the first field that differs, `?field` where that is not known, undefined when it covers it.
 * `pathFits`: the path was compared already.
 */
export function mismatch(operation: Operation, { port, http }: Attempt, pathFits = false): Mismatch {
  let open: Mismatch;
  if (operation.port !== undefined) {
    if (port === undefined) open = '?port';
    else if (!isPort(operation.port, port)) return 'port';
  }
  if (operation.kind === 'any') return open;
  if (operation.kind === 'tcp') return http === undefined ? open : 'protocol';
  if (http === undefined) return 'protocol';
  if (operation.methods !== undefined) {
    if (http.method === undefined) open ??= '?method';
    else if (!operation.methods.includes(http.method)) return 'method';
  }
  if (!pathFits && operation.path !== '/**') {
    if (http.path === undefined) open ??= '?path';
    else if (operation.isPrefix ? !http.path.startsWith(operation.path) : !matchPath(operation.path, http.path)) return 'path';
  }
  if (operation.grpc) {
    if (http.grpc === undefined) open ??= '?content-type';
    else if (!http.grpc) return 'content-type';
  }
  for (const { name, value } of operation.headers ?? []) {
    const values = http.header(name);
    if (values === undefined) open ??= '?header';
    // A field that comes twice is read by one as its first value and by the next as its last.
    else if (values.length !== 1 || values[0] !== value) return 'header';
  }
  return open;
}

/** Whether a rule's `port`, a name or a number, is this port. */
export function isPort(wanted: string, { name, number }: NonNullable<Attempt['port']>): boolean {
  return wanted === name || wanted === String(number);
}

/** What an operation asks for and nobody said. */
function unknownFields(operation: Operation, { port, http }: Attempt): Missing[] {
  const fields: Missing[] = [];
  if (operation.port !== undefined && port === undefined) fields.push('port');
  if (operation.kind !== 'http' || http === undefined) return fields;
  if (operation.methods !== undefined && http.method === undefined) fields.push('method');
  if (operation.path !== '/**' && http.path === undefined) fields.push('path');
  if (operation.grpc && http.grpc === undefined) fields.push('content-type');
  if (operation.headers?.some(({ name }) => http.header(name) === undefined)) fields.push('header');
  return fields;
}

/** The rules that can concern one callee: what its proxy needs. Keeps every service entry, since callers are ranked by them. */
export function policyFor(policy: CompiledPolicy, callee: string): CompiledPolicy {
  const id = parseSpiffeId(callee);
  const index = indexOf(policy);
  const concerns = (rule: Rule): boolean => rule.to.some((who: Who) => matchesWho(index, who, id));
  return { ...policy, allow: policy.allow.filter(concerns), deny: policy.deny.filter(concerns) };
}

/** Ids of the rules that allow something between the two; floors and `deny` apart. */
export function rulesFor(policy: CompiledPolicy, caller: SpiffeId | undefined, callee: SpiffeId | undefined): string[] {
  const index = indexOf(policy);
  const fits = (all: readonly Who[], id: SpiffeId | undefined): boolean => all.some((who) => matchesWho(index, who, id));
  return policy.allow.filter(({ from, to }) => fits(from, caller) && fits(to, callee)).map(({ id }) => id);
}

export function printCaller(caller: SpiffeId | undefined): string {
  return caller === undefined ? 'no identity' : printSpiffeId(caller);
}
