// A native policy in the making: rules that were carried over from another mesh, and what could not be.
import { makeSpiffeId, NAME, parseSpiffeId, printSpiffeId } from '../../../mesh/identity.ts';
import { type OpText, pathProblem, printEdge, printOperation, type WhoText } from '../../reader/rule-text.ts';
import type { ForeignMesh, Path, Workload } from '../model.ts';
import type { Resource } from '../resources.ts';

export interface Left {
  readonly resource: Resource;
  readonly path: Path;
  /** What could not be carried over, and what that means. */
  readonly what: string;
}

export class Draft {
  readonly left: Left[] = [];
  readonly notes = new Set<string>();
  readonly allow: { readonly value: Readonly<Record<string, unknown>>; readonly comment: string }[] = [];
  readonly deny: { readonly value: Readonly<Record<string, unknown>>; readonly comment: string }[] = [];
  readonly #mesh: ForeignMesh;
  readonly #services = new Map<string, { readonly name: string; readonly id: string }>();
  readonly #written = new Set<string>();

  readonly #given: ReadonlySet<string>;

  /** `given`: names that there are already, by `ns/…/sa/…`. */
  constructor(mesh: ForeignMesh, given: ReadonlyMap<string, string>) {
    this.#mesh = mesh;
    this.#given = new Set(given.values());
    for (const [id, name] of given) this.#services.set(id, { name, id });
    for (const { namespace, serviceAccount } of mesh.workloads) this.service(namespace, serviceAccount);
  }

  get trustDomain(): string {
    return this.#mesh.settings.trustDomain;
  }

  /** Entries of `services:` that are new, by name. */
  get services(): ReadonlyMap<string, string> {
    return new Map(
      [...this.#services.values()]
        .filter(({ name }) => !this.#given.has(name))
        .map(({ name, id }) => [name, id] as const)
        .sort(([a], [b]) => a.localeCompare(b)),
    );
  }

  leave(resource: Resource, path: Path, what: string): void {
    this.left.push({ resource, path, what });
  }

  /** The name of an account: its own, with its namespace where another one has it; undefined for what is no name of ours. */
  service(namespace: string, account: string): WhoText | undefined {
    if (!NAME.test(namespace) || !NAME.test(account)) return undefined;
    const id = `ns/${namespace}/sa/${account}`;
    const known = this.#services.get(id);
    if (known !== undefined) return { kind: 'name', name: known.name };
    const taken = new Set([...this.#services.values()].map(({ name }) => name));
    const name = [account, `${account}-${namespace}`].find((each) => !taken.has(each) && NAME.test(each) && !RESERVED.has(each));
    if (name === undefined) return { kind: 'sa', namespace, name: account };
    this.#services.set(id, { name, id });
    return { kind: 'name', name };
  }

  /** Whom a workload is as a callee. */
  calleeOf({ namespace, serviceAccount }: Workload): WhoText | undefined {
    return this.service(namespace, serviceAccount);
  }

  /** Pods as callees. Undefined, with a note, where the files have none, or others run under the same accounts: an account stands for all of them. */
  calleesOf(pods: readonly Workload[], resource: Resource, path: Path): WhoText[] | undefined {
    if (pods.length === 0) {
      this.leave(resource, path, 'no workload of the files is meant, so nobody knows its identity');
      return undefined;
    }
    const others = this.#mesh.workloads.filter(
      (each) => !pods.includes(each) && pods.some((pod) => pod.namespace === each.namespace && pod.serviceAccount === each.serviceAccount),
    );
    if (others.length > 0) {
      const names = others.map(({ namespace, name }) => `${namespace}/${name}`).join(', ');
      this.leave(resource, path, `${names} runs under the same service account, and native rules cannot tell them apart`);
      return undefined;
    }
    return pods.flatMap((pod) => this.calleeOf(pod) ?? []);
  }

  /** `spiffe://…` as a caller; undefined for what names no workload. */
  callerById(printed: string): WhoText | undefined {
    const id = parseSpiffeId(printed);
    if (id === undefined) return undefined;
    const isOwn = this.#isOwn(id.trustDomain);
    if (!isOwn) return { kind: 'id', id: printed };
    if (id.namespace === undefined || id.service === undefined) return undefined;
    return (
      this.service(id.namespace, id.service) ?? { kind: 'id', id: printSpiffeId(makeSpiffeId(this.trustDomain, id.namespace, id.service)) }
    );
  }

  #isOwn(trustDomain: string): boolean {
    const { settings } = this.#mesh;
    return trustDomain === settings.trustDomain || trustDomain === 'cluster.local' || settings.trustDomainAliases.includes(trustDomain);
  }

  isOwnDomain(trustDomain: string): boolean {
    return this.#isOwn(trustDomain);
  }

  /** One rule for each caller, callee and group of operations; the same rule is written once. */
  add(list: 'allow' | 'deny', from: readonly WhoText[], to: readonly WhoText[], operations: readonly OpText[], source: Resource): void {
    const { file, line } = source.place([]);
    const comment = `${source.kind} ${source.namespace === undefined ? '' : `${source.namespace}/`}${source.name} (${file}:${line})`;
    const short = operations.filter((operation) => operation.kind !== 'http' || !operation.isPrefix);
    const long = operations.filter((operation) => operation.kind === 'http' && operation.isPrefix);
    for (const who of from)
      for (const whom of to) {
        const texts = [...new Set(short.map(printOperation))];
        if (texts.length > 0) this.#write(list, { [printEdge(who, whom)]: texts.length === 1 ? texts[0] : texts }, comment);
        for (const operation of long) if (operation.kind === 'http') this.#write(list, longRule(who, whom, operation), comment);
      }
  }

  #write(list: 'allow' | 'deny', value: Readonly<Record<string, unknown>>, comment: string): void {
    const key = JSON.stringify([list, value]);
    if (this.#written.has(key)) return;
    this.#written.add(key);
    this[list].push({ value, comment });
  }
}

/** Words of the grammar that are no service. */
const RESERVED = new Set(['any', 'mesh']);

function longRule(
  from: WhoText,
  to: WhoText,
  { methods, path, port, headers }: Extract<OpText, { kind: 'http' }>,
): Readonly<Record<string, unknown>> {
  const [who, whom] = printEdge(from, to).split(' -> ');
  return {
    from: who,
    to: whom,
    methods: methods ?? '*',
    prefix: path,
    ...(port === undefined ? {} : { port: /^\d+$/.test(port) ? Number(port) : port }),
    ...(headers === undefined ? {} : { headers: Object.fromEntries(headers.map(({ name, value }) => [name, value])) }),
  };
}

/** A path of another mesh as ours, or why there is none that fits just the same requests. */
export function carryPath(pattern: string): Pick<Extract<OpText, { kind: 'http' }>, 'path' | 'isPrefix'> | { readonly why: string } {
  if (pattern === '*') return { path: '/**' };
  if (pattern.startsWith('*')) return { why: `\`${pattern}\` is a suffix, and paths here have none` };
  const rest = /^(\/[^*{}]*)(?:\*|\{\*\*\})$/.exec(pattern);
  if (rest !== null) {
    const [, start = '/'] = rest;
    if (start === '/') return { path: '/**' };
    // `/a/{**}` does not fit `/a`, which `/a/**` would.
    return pathProblem(start) === undefined ? { path: start, isPrefix: true } : { why: `\`${pattern}\` fits no path after normalization` };
  }
  const path = pattern.replaceAll('{*}', '*');
  if (path.includes('{')) return { why: `\`${pattern}\` has no counterpart: \`{**}\` after \`{*}\`` };
  if (pattern.includes('*') && !pattern.includes('{*}')) return { why: `\`${pattern}\` has a \`*\` inside a segment` };
  const problem = pathProblem(path);
  return problem === undefined ? { path } : { why: `\`${pattern}\`: ${problem}` };
}
