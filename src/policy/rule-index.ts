// The rules of a policy, laid out so that a decision costs the same for ten rules as for a hundred thousand: by callee, then by what a
// rule says of the caller (one exact identity, or one class of them), then by path. Built when first asked, once for each policy value.
//
//   callee ─► predicate on the caller ─► exact path | segments with `*` and `**` | prefixes | any and tcp
//
// INVARIANT: it only narrows. Whether a rule covers an attempt is evaluate.ts's question, asked of each candidate.
import type { CompiledPolicy, Operation, PolicyService, Rule, Who } from '../mesh/authorization.ts';
import { printSpiffeId, type SpiffeId } from '../mesh/identity.ts';

export interface RuleEntry {
  readonly rule: Rule;
  /** Its place among the rules of its kind, as written. */
  readonly order: number;
  readonly operation: Operation;
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

/** Callers whose rules were looked up, per callee and kind; more are looked up again. */
const MAX_REMEMBERED_CALLERS = 20_000;

export class PolicyIndex {
  readonly policy: CompiledPolicy;
  /** Whether a rule allows callers without identity: then the ingress is open to what such rules say only. */
  readonly speaksOfAny: boolean;
  readonly #exactServices = new Map<string, PolicyService>();
  readonly #wideServices: PolicyService[] = [];
  readonly #ranks = new WeakMap<SpiffeId, PolicyService | null>();
  readonly #byCallee: Readonly<Record<Kind, ByWho<Ordered>>>;
  readonly #callees = new WeakMap<SpiffeId, Readonly<Record<Kind, CalleeRules>>>();
  readonly #printed = new Map<string, Readonly<Record<Kind, CalleeRules>>>();

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

  /** Shows the visitor every rule that can cover such a request; `path` undefined: whatever its path. */
  visit(kind: Kind, callee: SpiffeId, caller: SpiffeId | undefined, path: string | undefined, visitor: Visitor): void {
    for (const ops of this.#calleeRules(callee)[kind].of(this, caller)) ops.visit(path, visitor);
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

  #calleeRules(callee: SpiffeId): Readonly<Record<Kind, CalleeRules>> {
    const known = this.#callees.get(callee);
    if (known !== undefined) return known;
    // Equal identities are often different objects.
    const printed = printSpiffeId(callee);
    let rules = this.#printed.get(printed);
    if (rules === undefined) {
      const collect = (kind: Kind): CalleeRules => {
        const own = new CalleeRules(this.policy.trustDomain);
        const seen = new Set<number>();
        this.#byCallee[kind].visit(this, callee, (each) => {
          if (seen.has(each.order)) return;
          seen.add(each.order);
          own.add(each);
        });
        return own;
      };
      rules = { allow: collect('allow'), deny: collect('deny') };
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

/** What callers may or may not do at one callee. */
class CalleeRules {
  readonly #byCaller: ByWho<Ordered>;
  readonly #operations = new Map<Ordered[], Operations>();
  readonly #seen = new WeakMap<SpiffeId, readonly Operations[]>();
  readonly #printed = new Map<string, readonly Operations[]>();

  constructor(trustDomain: string) {
    this.#byCaller = new ByWho(trustDomain);
  }

  add(ordered: Ordered): void {
    for (const who of ordered.rule.from) this.#byCaller.add(who, ordered);
  }

  of(index: PolicyIndex, caller: SpiffeId | undefined): readonly Operations[] {
    const seen = caller === undefined ? undefined : this.#seen.get(caller);
    if (seen !== undefined) return seen;
    const key = caller === undefined ? '' : printSpiffeId(caller);
    let found = this.#printed.get(key);
    if (found === undefined) {
      found = this.#byCaller.lists(index, caller).map((list) => this.#operationsOf(list));
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

interface Segments {
  children: Map<string, Segments> | undefined;
  star: Segments | undefined;
  /** Patterns that end here, and those whose `**` stands here. */
  ends: RuleEntry[] | undefined;
  rest: RuleEntry[] | undefined;
}

const makeSegments = (): Segments => ({ children: undefined, star: undefined, ends: undefined, rest: undefined });

/** The operations of some rules, by path. */
class Operations {
  readonly #all: RuleEntry[] = [];
  readonly #plain: RuleEntry[] = [];
  readonly #prefixes: RuleEntry[] = [];
  readonly #exact = new Map<string, RuleEntry[]>();
  #patterns: Segments | undefined;

  constructor(rules: readonly Ordered[]) {
    for (const { rule, order } of rules) for (const operation of rule.operations) this.#add({ rule, order, operation });
  }

  visit(path: string | undefined, visitor: Visitor): void {
    if (path === undefined) {
      for (const entry of this.#all) visitor.consider(entry, false);
      return;
    }
    for (const entry of this.#plain) visitor.consider(entry, true);
    const exact = this.#exact.get(path);
    if (exact !== undefined) for (const entry of exact) visitor.consider(entry, true);
    for (const entry of this.#prefixes) visitor.consider(entry, false);
    if (this.#patterns !== undefined) walk(this.#patterns, path, 1, visitor);
  }

  #add(entry: RuleEntry): void {
    const { operation } = entry;
    this.#all.push(entry);
    if (operation.kind !== 'http') this.#plain.push(entry);
    else if (operation.isPrefix) this.#prefixes.push(entry);
    else if (!operation.path.includes('*')) {
      const known = this.#exact.get(operation.path);
      if (known === undefined) this.#exact.set(operation.path, [entry]);
      else known.push(entry);
    } else this.#addPattern(operation.path, entry);
  }

  #addPattern(path: string, entry: RuleEntry): void {
    this.#patterns ??= makeSegments();
    let at = this.#patterns;
    for (const segment of path.slice(1).split('/')) {
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
