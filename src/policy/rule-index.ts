// The rules of a policy, laid out so that a decision costs the same for ten rules as for a hundred thousand: by callee, then by what a
// rule says of the caller (one exact identity, or one class of them), then by path. Built when first asked, once for each policy value.
//
//   callee ─► predicate on the caller ─► exact path | segments with `*` and `**` | prefixes | any and tcp
//
// INVARIANT: it only narrows. Whether a rule covers an attempt is evaluate.ts's question, asked of each candidate.
import type { CompiledPolicy, Operation, PolicyService, Rule, Who } from '../mesh/authorization.ts';
import { printSpiffeId, type SpiffeId } from '../mesh/identity.ts';

/** One operation of one rule, with what most decisions need of both beside it: the rules of a large policy are rarely in the cache. */
export interface RuleEntry {
  readonly rule: Rule;
  /** Its place among the rules of its kind, as written. */
  readonly order: number;
  readonly operation: Operation;
  readonly id: string;
  /** `file:line`. */
  readonly place: string;
  readonly untilMs: number | undefined;
  readonly audit: boolean;
  readonly methods: readonly string[] | undefined;
  /** HTTP with nothing to compare but the method, once the path is known to fit. */
  readonly byMethodOnly: boolean;
}

/** Equal lists of methods are one. */
const methodLists = new Map<string, readonly string[]>();
const MAX_METHOD_LISTS = 1000;

function sameList(methods: readonly string[]): readonly string[] {
  const key = methods.join('|');
  const known = methodLists.get(key);
  if (known !== undefined) return known;
  if (methodLists.size < MAX_METHOD_LISTS) methodLists.set(key, methods);
  return methods;
}

function entryOf(rule: Rule, order: number, operation: Operation): RuleEntry {
  const http = operation.kind === 'http' ? operation : undefined;
  return {
    rule,
    order,
    operation,
    id: rule.id,
    place: `${rule.place.file}:${rule.place.line}`,
    untilMs: rule.untilMs,
    audit: rule.audit === true,
    methods: http?.methods === undefined ? undefined : sameList(http.methods),
    byMethodOnly: http !== undefined && http.port === undefined && http.grpc === undefined && http.headers === undefined,
  };
}

export interface Visitor {
  /** `fits`: its path is known to cover the one that was asked for. */
  consider(entry: RuleEntry, fits: boolean): void;
}

const indexes = new WeakMap<CompiledPolicy, PolicyIndex>();

export function indexOf(policy: CompiledPolicy): PolicyIndex {
  let index = indexes.get(policy);
  if (index === undefined) {
    index = new PolicyIndex(policy);
    indexes.set(policy, index);
  }
  return index;
}

interface Ordered {
  readonly rule: Rule;
  readonly order: number;
}

type Kind = 'allow' | 'deny';

/** Callers whose rules were looked up, per callee; more are looked up again. */
const MAX_REMEMBERED_CALLERS = 20_000;

export class PolicyIndex {
  readonly policy: CompiledPolicy;
  /** Whether a rule allows callers without identity: then the ingress is open to what such rules say only. */
  readonly speaksOfAny: boolean;
  readonly #exactServices = new Map<string, PolicyService>();
  readonly #wideServices: PolicyService[] = [];
  readonly #ranks = new WeakMap<SpiffeId, PolicyService | null>();
  readonly #byCallee: Readonly<Record<Kind, ByWho<Ordered>>>;
  readonly #callees = new WeakMap<SpiffeId, CalleeRules>();
  readonly #printed = new Map<string, CalleeRules>();

  constructor(policy: CompiledPolicy) {
    this.policy = policy;
    this.speaksOfAny = policy.allow.some((rule) => rule.from.some((who) => who.kind === 'any'));
    for (const service of policy.services) {
      if (service.namespace === '*' || service.service === '*') this.#wideServices.push(service);
      else this.#exactServices.set(`${service.namespace}/${service.service}`, service);
    }
    const byTo = (rules: readonly Rule[]): ByWho<Ordered> => {
      const by = new ByWho<Ordered>(policy.trustDomain);
      rules.forEach((rule, order) => {
        for (const who of rule.to) by.add(who, { rule, order });
      });
      return by;
    };
    this.#byCallee = { allow: byTo(policy.allow), deny: byTo(policy.deny) };
  }

  /** The service entry of an identity: an exact id beats `ns/X/sa/*`, that beats `ns/*\/sa/*`. Foreign trust domains have none. */
  serviceOf(id: SpiffeId): PolicyService | undefined {
    const known = this.#ranks.get(id);
    if (known !== undefined) return known ?? undefined;
    const found = this.#findService(id);
    this.#ranks.set(id, found ?? null);
    return found;
  }

  /** The place of an identity's tier: 0 for those without one, below that for none and foreign ones. */
  rankOf(id: SpiffeId | undefined): number {
    if (id === undefined || id.trustDomain !== this.policy.trustDomain) return -1;
    return this.serviceOf(id)?.rank ?? 0;
  }

  /** What is known of two identities before anything is asked. */
  pair(callee: SpiffeId, caller: SpiffeId | undefined): Pair {
    return this.#calleeRules(callee).pair(this, caller);
  }

  /** Rules that can concern the callee, as written. */
  rulesTo(kind: Kind, callee: SpiffeId): readonly Rule[] {
    const found = new Map<number, Rule>();
    this.#byCallee[kind].visit(this, callee, ({ rule, order }) => found.set(order, rule));
    return [...found].sort(([a], [b]) => a - b).map(([, rule]) => rule);
  }

  #findService(id: SpiffeId): PolicyService | undefined {
    if (id.trustDomain !== this.policy.trustDomain || id.service === undefined) return undefined;
    const exact = this.#exactServices.get(`${id.namespace}/${id.service}`);
    if (exact !== undefined) return exact;
    let best: PolicyService | undefined;
    let bestScore = -1;
    for (const service of this.#wideServices) {
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

  #calleeRules(callee: SpiffeId): CalleeRules {
    const known = this.#callees.get(callee);
    if (known !== undefined) return known;
    // Equal identities are often different objects.
    const printed = printSpiffeId(callee);
    let rules = this.#printed.get(printed);
    if (rules === undefined) {
      rules = new CalleeRules(callee, this.policy.trustDomain);
      for (const kind of ['allow', 'deny'] as const) {
        const seen = new Set<number>();
        this.#byCallee[kind].visit(this, callee, (each) => {
          if (seen.has(each.order)) return;
          seen.add(each.order);
          rules?.add(kind, each);
        });
      }
      this.#printed.set(printed, rules);
    }
    this.#callees.set(callee, rules);
    return rules;
  }
}

/** Values by whom they speak of: exact identities in a map, classes of them in a short list. */
class ByWho<T> {
  readonly #trustDomain: string;
  readonly #exact = new Map<string, T[]>();
  readonly #classes = new Map<string, { readonly who: Who; readonly values: T[] }>();

  constructor(trustDomain: string) {
    this.#trustDomain = trustDomain;
  }

  add(who: Who, value: T): void {
    const exact = exactId(who, this.#trustDomain);
    if (exact !== undefined) {
      const values = this.#exact.get(exact);
      if (values === undefined) this.#exact.set(exact, [value]);
      else values.push(value);
      return;
    }
    const key = JSON.stringify(who);
    const known = this.#classes.get(key);
    if (known === undefined) this.#classes.set(key, { who, values: [value] });
    else known.values.push(value);
  }

  visit(index: PolicyIndex, id: SpiffeId | undefined, show: (value: T) => void): void {
    if (id !== undefined) for (const value of this.#exact.get(printSpiffeId(id)) ?? []) show(value);
    for (const { who, values } of this.#classes.values()) if (matchesWho(index, who, id)) for (const value of values) show(value);
  }

  /** The lists that concern an identity, each shared by all that it concerns. */
  lists(index: PolicyIndex, id: SpiffeId | undefined): T[][] {
    const lists: T[][] = [];
    const exact = id === undefined ? undefined : this.#exact.get(printSpiffeId(id));
    if (exact !== undefined) lists.push(exact);
    for (const { who, values } of this.#classes.values()) if (matchesWho(index, who, id)) lists.push(values);
    return lists;
  }
}

/** The only identity that is meant, printed; undefined for a class of them. */
function exactId(who: Who, trustDomain: string): string | undefined {
  if (who.kind === 'id') return who.id;
  return who.kind === 'workload' && who.namespace !== '*' ? `spiffe://${trustDomain}/ns/${who.namespace}/sa/${who.service}` : undefined;
}

/** A caller and a callee. */
export interface Pair {
  /** Why the tier floor refuses the caller; undefined when it does not. */
  readonly floor: string | undefined;
  readonly allow: readonly Operations[];
  readonly deny: readonly Operations[];
}

/** What callers may or may not do at one callee. */
class CalleeRules {
  readonly #callee: SpiffeId;
  readonly #byCaller: Readonly<Record<Kind, ByWho<Ordered>>>;
  readonly #operations = new Map<Ordered[], Operations>();
  readonly #seen = new WeakMap<SpiffeId, Pair>();
  readonly #printed = new Map<string, Pair>();

  constructor(callee: SpiffeId, trustDomain: string) {
    this.#callee = callee;
    this.#byCaller = { allow: new ByWho(trustDomain), deny: new ByWho(trustDomain) };
  }

  add(kind: Kind, ordered: Ordered): void {
    for (const who of ordered.rule.from) this.#byCaller[kind].add(who, ordered);
  }

  pair(index: PolicyIndex, caller: SpiffeId | undefined): Pair {
    const seen = caller === undefined ? undefined : this.#seen.get(caller);
    if (seen !== undefined) return seen;
    const key = caller === undefined ? '' : printSpiffeId(caller);
    let found = this.#printed.get(key);
    if (found === undefined) {
      const of = (kind: Kind): readonly Operations[] => this.#byCaller[kind].lists(index, caller).map((list) => this.#operationsOf(list));
      found = { floor: tierFloor(index, this.#callee, caller), allow: of('allow'), deny: of('deny') };
      if (this.#printed.size >= MAX_REMEMBERED_CALLERS) this.#printed.clear();
      this.#printed.set(key, found);
    }
    if (caller !== undefined) this.#seen.set(caller, found);
    return found;
  }

  #operationsOf(list: Ordered[]): Operations {
    let operations = this.#operations.get(list);
    if (operations === undefined) {
      operations = new Operations(list);
      this.#operations.set(list, operations);
    }
    return operations;
  }
}

/** No identity and foreign trust domains rank below the lowest tier; callers without identity are judged before. */
function tierFloor(index: PolicyIndex, callee: SpiffeId, caller: SpiffeId | undefined): string | undefined {
  const { tiers } = index.policy;
  if (tiers.length === 0 || caller === undefined) return undefined;
  const called = index.serviceOf(callee);
  if (called?.bridge || index.serviceOf(caller)?.bridge) return undefined;
  const calleeTier = tiers[called?.rank ?? 0];
  const callerRank = index.rankOf(caller);
  if (calleeTier === undefined || callerRank >= calleeTier.accepts) return undefined;
  return `tier floor: ${calleeTier.name} accepts from ${tiers[calleeTier.accepts]?.name ?? ''}, caller is ${tiers[callerRank]?.name ?? 'unknown'}`;
}

interface Segments {
  children: Map<string, Segments> | undefined;
  star: Segments | undefined;
  /** Patterns that end here, and those whose `**` stands here. */
  ends: RuleEntry[] | undefined;
  rest: RuleEntry[] | undefined;
}

const makeSegments = (): Segments => ({ children: undefined, star: undefined, ends: undefined, rest: undefined });

/** The operations of some rules, by path. */
export class Operations {
  readonly #all: RuleEntry[] = [];
  readonly #plain: RuleEntry[] = [];
  readonly #prefixes: RuleEntry[] = [];
  readonly #exact = new Map<string, RuleEntry[]>();
  /** By what stands before their first wildcard: `/v1/items/`. */
  readonly #patterns = new Map<string, Segments>();
  /** How many slashes such beginnings have. */
  readonly #depths: number[] = [];

  constructor(rules: readonly Ordered[]) {
    for (const { rule, order } of rules) for (const operation of rule.operations) this.#add(entryOf(rule, order, operation));
  }

  /** Shows every operation that can cover a request; `path` undefined: whatever its path. */
  visit(path: string | undefined, visitor: Visitor): void {
    if (path === undefined) {
      for (const entry of this.#all) visitor.consider(entry, false);
      return;
    }
    for (const entry of this.#plain) visitor.consider(entry, true);
    const exact = this.#exact.get(path);
    if (exact !== undefined) for (const entry of exact) visitor.consider(entry, true);
    for (const entry of this.#prefixes) visitor.consider(entry, false);
    if (this.#depths.length > 0) this.#visitPatterns(path, visitor);
  }

  #visitPatterns(path: string, visitor: Visitor): void {
    let slashes = 0;
    for (let at = 0; at >= 0; at = path.indexOf('/', at + 1)) {
      slashes++;
      if (!this.#depths.includes(slashes)) continue;
      const found = this.#patterns.get(path.slice(0, at + 1));
      if (found !== undefined) walk(found, path, at + 1, visitor);
    }
  }

  #add(entry: RuleEntry): void {
    const { operation } = entry;
    this.#all.push(entry);
    if (operation.kind !== 'http') this.#plain.push(entry);
    else if (operation.isPrefix) this.#prefixes.push(entry);
    else if (!operation.path.includes('*')) this.#addExact(operation.path, entry);
    else this.#addPattern(operation.path, entry);
  }

  #addExact(path: string, entry: RuleEntry): void {
    const known = this.#exact.get(path);
    if (known === undefined) this.#exact.set(path, [entry]);
    else known.push(entry);
  }

  #addPattern(path: string, entry: RuleEntry): void {
    const before = path.slice(0, path.indexOf('*'));
    const depth = before.split('/').length - 1;
    if (!this.#depths.includes(depth)) this.#depths.push(depth);
    // `/a/**` also fits `/a`, which has no slash behind it.
    if (path === `${before}**` && before !== '/') this.#addExact(before.slice(0, -1), entry);
    let at = this.#patterns.get(before);
    if (at === undefined) {
      at = makeSegments();
      this.#patterns.set(before, at);
    }
    for (const segment of path.slice(before.length).split('/')) {
      if (segment === '**') {
        at.rest ??= [];
        at.rest.push(entry);
        return;
      }
      if (segment === '*') {
        at.star ??= makeSegments();
        at = at.star;
        continue;
      }
      at.children ??= new Map();
      let next = at.children.get(segment);
      if (next === undefined) {
        next = makeSegments();
        at.children.set(segment, next);
      }
      at = next;
    }
    at.ends ??= [];
    at.ends.push(entry);
  }
}

/** The patterns that a path fits from here on; `from` is where its next segment begins. */
function walk(at: Segments, path: string, from: number, visitor: Visitor): void {
  if (at.rest !== undefined) for (const entry of at.rest) visitor.consider(entry, true);
  if (from > path.length) {
    if (at.ends !== undefined) for (const entry of at.ends) visitor.consider(entry, true);
    return;
  }
  const slash = path.indexOf('/', from);
  const to = slash < 0 ? path.length : slash;
  const child = at.children?.get(path.slice(from, to));
  if (child !== undefined) walk(child, path, to + 1, visitor);
  if (to > from && at.star !== undefined) walk(at.star, path, to + 1, visitor);
}

/** Whether an identity (undefined: none) is one that `who` speaks of. */
export function matchesWho(index: PolicyIndex, who: Who, id: SpiffeId | undefined): boolean {
  if (who.kind === 'any') return true;
  if (id === undefined) return false;
  const own = id.trustDomain === index.policy.trustDomain;
  switch (who.kind) {
    case 'mesh':
      return own;
    case 'id':
      return printSpiffeId(id) === who.id;
    case 'workload':
      return own && id.service === who.service && (who.namespace === '*' || id.namespace === who.namespace);
    case 'namespace':
      return own && id.namespace === who.namespace;
    case 'trustDomain':
      return id.trustDomain === who.trustDomain;
    case 'tier': {
      // Foreign identities have no tier: a rule means them by `id:` or `td:` only.
      if (!own) return false;
      const rank = index.rankOf(id);
      if (who.compare === '=') return rank === who.rank;
      return who.compare === '<' ? rank < who.rank : rank >= who.rank;
    }
  }
}
