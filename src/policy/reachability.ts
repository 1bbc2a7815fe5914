// Who can call whom under a policy, over every identity there can be: one edge for each pair with at least one request that is allowed,
// and that request as its witness. Judged by the evaluator; nothing here decides anything itself.
import type { CompiledPolicy, Operation, Rule, Who } from '../mesh/authorization.ts';
import type { SpiffeId } from '../mesh/identity.ts';
import { type Attempt, type Decision, evaluate, isInForce, isPort } from './evaluate.ts';
import { type IdentityClass, identityClasses } from './identities.ts';
import { indexOf, matchesWho, type PolicyIndex } from './rule-index.ts';

export interface Port {
  readonly name: string;
  readonly number: number;
}

/** One concrete request, or a TCP connection. */
export interface Request {
  readonly port: Port;
  /** Undefined for TCP. */
  readonly http:
    | { readonly method: string; readonly path: string; readonly grpc: boolean; readonly headers: Readonly<Record<string, string>> }
    | undefined;
}

export interface Hop {
  readonly from: IdentityClass;
  readonly to: IdentityClass;
  readonly request: Request;
  readonly decision: Decision;
}

/** A port that no rule speaks of. */
export const OTHER_PORT: Port = { name: 'any-other', number: 65_000 };

/** The ports that operations of a policy name, by number or by name. */
export function portTexts({ allow, deny }: CompiledPolicy): string[] {
  return [...allow, ...deny].flatMap(({ operations }) => operations.flatMap(({ port }) => (port === undefined ? [] : [port])));
}

/** More ports than this are not told apart by name and number at once. */
const MAX_PORTS = 256;

/** A port has a name and a number, and rules may speak of either: every combination of those that occur, and one that nobody names. */
function portClasses(texts: readonly string[]): Port[] {
  const unique = [...new Set(texts)];
  const isNumber = (text: string): boolean => /^\d+$/.test(text);
  const names = [OTHER_PORT.name, ...unique.filter((text) => !isNumber(text) && text !== OTHER_PORT.name)];
  const numbers = [OTHER_PORT.number, ...unique.filter(isNumber).map(Number)];
  if (names.length * numbers.length <= MAX_PORTS) return names.flatMap((name) => numbers.map((number) => ({ name, number })));
  return [...names.map((name) => ({ name, number: OTHER_PORT.number })), ...numbers.map((number) => ({ name: OTHER_PORT.name, number }))];
}

export class Reachability {
  readonly policy: CompiledPolicy;
  readonly classes: readonly IdentityClass[];
  readonly #index: PolicyIndex;
  readonly #atMs: number;
  readonly #ports: readonly Port[];
  readonly #rules = new Map<IdentityClass, readonly Rule[]>();
  readonly #edges = new Map<IdentityClass, Map<IdentityClass, Hop | null>>();

  /** `more`: whom questions are asked about, besides those that rules speak of; `ports`: those that services declare. */
  constructor(policy: CompiledPolicy, atMs: number, more: readonly Who[] = [], ports: readonly Port[] = []) {
    this.policy = policy;
    this.#index = indexOf(policy);
    this.#atMs = atMs;
    this.classes = identityClasses(policy, more);
    this.#ports = portClasses([...portTexts(policy), ...ports.flatMap(({ name, number }) => [name, String(number)])]);
  }

  /** Whether a class is one that `who` speaks of in a question: no identity and foreign ones rank below the lowest tier. */
  speaks(who: Who, { id }: IdentityClass): boolean {
    if (who.kind !== 'tier') return matchesWho(this.#index, who, id);
    const rank = this.#index.rankOf(id);
    return who.compare === '=' ? rank === who.rank : who.compare === '<' ? rank < who.rank : rank >= who.rank;
  }

  /** The classes that any of these speak of. */
  among(whos: readonly Who[]): IdentityClass[] {
    return this.classes.filter((each) => whos.some((who) => this.speaks(who, each)));
  }

  isBridge({ id }: IdentityClass): boolean {
    return id !== undefined && this.#index.serviceOf(id)?.bridge === true;
  }

  tierOf({ id }: IdentityClass): string | undefined {
    return this.policy.tiers[this.#index.rankOf(id)]?.name;
  }

  /** Whether requests can go to it: identities of foreign trust domains stand behind no proxy of this mesh. */
  isCallee({ id }: IdentityClass): boolean {
    return id !== undefined && id.trustDomain === this.policy.trustDomain;
  }

  /** A request that is allowed from one to the other, if there is one. */
  edge(from: IdentityClass, to: IdentityClass): Hop | undefined {
    let known = this.#edges.get(from);
    if (known === undefined) {
      known = new Map();
      this.#edges.set(from, known);
    }
    const found = known.get(to);
    if (found !== undefined) return found ?? undefined;
    const hop = this.#find(from, to);
    known.set(to, hop ?? null);
    return hop;
  }

  /** Every allow rule that lets at least one request pass from one to the other, with such a request. */
  grants(from: IdentityClass, to: IdentityClass): { readonly rule: Rule; readonly hop: Hop }[] {
    if (to.id === undefined) return [];
    return this.#rulesTo(to).flatMap((rule) => {
      const hop = this.#through(rule, from, to);
      return hop === undefined ? [] : [{ rule, hop }];
    });
  }

  /** What allow rules between the two speak of. */
  operationsBetween(from: IdentityClass, to: IdentityClass): Operation[] {
    return this.rulesBetween(from, to).flatMap(({ operations }) => operations);
  }

  /** Allow rules that name both. */
  rulesBetween(from: IdentityClass, to: IdentityClass): Rule[] {
    if (to.id === undefined) return [];
    return this.#rulesTo(to).filter((rule) => rule.from.some((who) => matchesWho(this.#index, who, from.id)));
  }

  /** Why the tier floor refuses every request from one to the other; undefined when it does not. */
  floor(from: IdentityClass, to: IdentityClass): string | undefined {
    return to.id === undefined ? undefined : this.#index.pair(to.id, from.id).floor;
  }

  /** Judges one request between two classes. */
  judge(from: IdentityClass, to: SpiffeId, { port, http }: Request): Decision {
    return evaluate(this.policy, toAttempt(from.id, to, port, http, this.#atMs));
  }

  /** Ports that rules or services tell apart, and one that stands for all others. */
  get ports(): readonly Port[] {
    return this.#ports;
  }

  #find(from: IdentityClass, to: IdentityClass): Hop | undefined {
    if (to.id === undefined || !this.isCallee(to)) return undefined;
    for (const rule of this.#rulesTo(to)) {
      const hop = this.#through(rule, from, to);
      if (hop !== undefined) return hop;
    }
    // What needs no rule: an ingress that is open, and a policy that only audits.
    return this.#ports
      .flatMap((port) => [
        { port, http: { method: 'GET', path: '/', grpc: false, headers: {} } },
        { port, http: undefined },
      ])
      .map((request) => this.#tried(from, to, request))
      .find((hop) => hop !== undefined);
  }

  #through(rule: Rule, from: IdentityClass, to: IdentityClass): Hop | undefined {
    if (!isInForce(rule, this.#atMs) || !rule.from.some((who) => matchesWho(this.#index, who, from.id))) return undefined;
    for (const operation of rule.operations) {
      for (const port of this.#ports) {
        if (operation.port !== undefined && !isPort(operation.port, port)) continue;
        for (const request of witnesses(operation, port)) {
          const hop = this.#tried(from, to, request);
          if (hop !== undefined) return hop;
        }
      }
    }
    return undefined;
  }

  #tried(from: IdentityClass, to: IdentityClass, request: Request): Hop | undefined {
    const decision = this.judge(from, to.id as SpiffeId, request);
    return decision.verdict === 'allowed' ? { from, to, request, decision } : undefined;
  }

  #rulesTo(to: IdentityClass): readonly Rule[] {
    let rules = this.#rules.get(to);
    if (rules === undefined) {
      rules = this.#index.rulesTo('allow', to.id as SpiffeId);
      this.#rules.set(to, rules);
    }
    return rules;
  }
}

/** Requests that an operation covers: denies tell apart ports and protocols only, so one of each kind says it all. */
function witnesses(operation: Operation, port: Port): Request[] {
  const any = { method: 'GET', path: '/', grpc: false, headers: {} };
  if (operation.kind === 'tcp') return [{ port, http: undefined }];
  if (operation.kind === 'any')
    return [
      { port, http: any },
      { port, http: undefined },
    ];
  return [
    {
      port,
      http: {
        method: operation.methods?.[0] ?? 'GET',
        path: operation.isPrefix ? operation.path : examplePath(operation.path),
        grpc: operation.grpc === true,
        headers: Object.fromEntries((operation.headers ?? []).map(({ name, value }) => [name, value])),
      },
    },
  ];
}

/** A path that fits a pattern. */
function examplePath(pattern: string): string {
  if (pattern === '/**') return '/';
  return pattern
    .split('/')
    .map((segment) => (segment === '*' || segment === '**' ? 'x' : segment))
    .join('/');
}

function toAttempt(caller: SpiffeId | undefined, callee: SpiffeId, port: Port | undefined, http: Request['http'], atMs: number): Attempt {
  return {
    caller,
    callee,
    port,
    http:
      http === undefined
        ? undefined
        : {
            method: http.method,
            path: http.path,
            grpc: http.grpc,
            header: (name) => (http.headers[name] === undefined ? [] : [http.headers[name]]),
          },
    atMs,
  };
}

/** `POST /charge`, `tcp :5432`: a request as people write it. */
export function printRequest({ port, http }: Request): string {
  const where = port.name !== OTHER_PORT.name ? ` :${port.name}` : port.number === OTHER_PORT.number ? '' : ` :${port.number}`;
  if (http === undefined) return `tcp${where}`;
  const conditions = Object.entries(http.headers).map(([name, value]) => ` ${name}: ${value}`);
  return `${http.grpc ? 'grpc ' : ''}${http.method} ${http.path}${where}${conditions.join('')}`;
}
