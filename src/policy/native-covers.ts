// Which native rules make others needless: whether every request that one rule fits also fits another. May say no where yes were true, never the
// reverse. Rules are found by who and whom, so that ten thousand rules are not compared with ten thousand.
import { parseSpiffeId } from '../mesh/identity.ts';
import type { RuleNode } from './reader/rule-node.ts';
import { type OpText, printWho, type WhoText } from './reader/rule-text.ts';
import type { LintInput } from './rule.ts';

export interface Covered {
  readonly inner: RuleNode;
  readonly outer: RuleNode;
}

/** Rules of one caller and callee: those about one path by what stands in it before the first `*`, and all others. */
interface Bucket {
  readonly from: WhoText;
  readonly byStart: Map<string, RuleNode[]>;
  readonly others: RuleNode[];
}

/** Each rule of `inners` that one of `outers` covers, once; of two that say the same the later is the needless one. */
export function covering(input: LintInput, inners: readonly RuleNode[], outers: readonly RuleNode[]): Covered[] {
  const index = new Map<string, { to: WhoText; byFrom: Map<string, Bucket> }>();
  for (const rule of outers) {
    // What ends, or only watches, does not make another needless.
    if (rule.untilMs !== undefined || rule.audit) continue;
    const to = entry(index, printWho(rule.to), () => ({ to: rule.to, byFrom: new Map() }));
    const bucket = entry(to.byFrom, printWho(rule.from), () => ({
      from: rule.from,
      byStart: new Map<string, RuleNode[]>(),
      others: [] as RuleNode[],
    }));
    const start = startOf(rule);
    if (start === undefined) bucket.others.push(rule);
    else entry(bucket.byStart, start, (): RuleNode[] => []).push(rule);
  }
  const known = new Map<string, Bucket[]>();
  const position = new Map(outers.map((rule, i) => [rule, i]));
  const isNeedless = (inner: RuleNode, outer: RuleNode): boolean => {
    if (outer === inner || !operationsCover(outer, inner)) return false;
    const own = position.get(inner);
    const isLater = own !== undefined && (position.get(outer) ?? 0) > own;
    return !(isLater && whoCovers(input, inner.from, outer.from) && whoCovers(input, inner.to, outer.to) && operationsCover(inner, outer));
  };
  return inners.flatMap((inner): Covered[] => {
    const buckets = entry(known, `${printWho(inner.from)} ${printWho(inner.to)}`, () =>
      [...index.values()]
        .filter(({ to }) => whoCovers(input, to, inner.to))
        .flatMap(({ byFrom }) => [...byFrom.values()].filter(({ from }) => whoCovers(input, from, inner.from))),
    );
    const starts = startsOf(inner);
    for (const { byStart, others } of buckets) {
      const near = starts.flatMap((start) => byStart.get(start) ?? []);
      const outer = near.find((each) => isNeedless(inner, each)) ?? others.find((each) => isNeedless(inner, each));
      if (outer !== undefined) return [{ inner, outer }];
    }
    return [];
  });
}

/** The segments before the first `*` of a rule about one path: it covers only rules whose path begins with them. */
function startOf({ operations }: RuleNode): string | undefined {
  const [only] = operations;
  if (operations.length !== 1 || only?.kind !== 'http' || only.isPrefix) return undefined;
  const star = only.path.indexOf('/*');
  return star < 0 ? only.path : only.path.slice(0, star);
}

/** Everything that the path of a rule begins with, segment by segment; nothing for what is not about one path. */
function startsOf({ operations }: RuleNode): string[] {
  const [only] = operations;
  if (operations.length !== 1 || only?.kind !== 'http') return [];
  const segments = only.path.split('/');
  return segments.map((_, i) => segments.slice(0, i + 1).join('/'));
}

function entry<V>(map: Map<string, V>, key: string, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}

function whoCovers(input: LintInput, outer: WhoText, inner: WhoText): boolean {
  const { names, resolver } = input;
  if (outer.kind === 'any' || printWho(outer) === printWho(inner)) return true;
  if (inner.kind === 'name' && names.groups.has(inner.name))
    return names.groups.get(inner.name)?.members.every(({ who }) => whoCovers(input, outer, who)) === true;
  const service = inner.kind === 'name' ? names.services.get(inner.name) : undefined;
  switch (outer.kind) {
    case 'mesh':
      return inner.kind !== 'any' && inner.kind !== 'td' && inner.kind !== 'id';
    case 'name':
      return names.groups.get(outer.name)?.members.some(({ who }) => whoCovers(input, who, inner)) === true;
    case 'ns':
      return inner.kind === 'sa' ? inner.namespace === outer.name : service?.namespace === outer.name && !service.service.includes('*');
    case 'tier': {
      const wanted = names.tiers.get(outer.name);
      if (service === undefined || wanted === undefined) return false;
      const rank = resolver.rankOf(service);
      return outer.compare === '=' ? rank === wanted : outer.compare === '<' ? rank < wanted : rank >= wanted;
    }
    case 'td':
      return inner.kind === 'id' && parseSpiffeId(inner.id)?.trustDomain === outer.trustDomain;
    default:
      return false;
  }
}

function operationsCover(outer: RuleNode, inner: RuleNode): boolean {
  return inner.operations.every((operation) => outer.operations.some((each) => operationCovers(each, operation)));
}

function operationCovers(outer: OpText, inner: OpText): boolean {
  if (outer.port !== undefined && outer.port !== inner.port) return false;
  if (outer.kind === 'any') return true;
  if (outer.kind === 'tcp') return inner.kind === 'tcp';
  if (outer.kind === 'grpc')
    return inner.kind === 'grpc' && inner.service === outer.service && (outer.method === undefined || outer.method === inner.method);
  if (inner.kind !== 'http') return false;
  const hasMethods = outer.methods === undefined || inner.methods?.every((method) => outer.methods?.includes(method)) === true;
  const hasHeaders = (outer.headers ?? []).every(({ name, value }) =>
    inner.headers?.some((each) => each.name === name && each.value === value),
  );
  return hasMethods && hasHeaders && pathCovers(outer, inner);
}

function pathCovers(outer: { path: string; isPrefix?: true }, inner: { path: string; isPrefix?: true }): boolean {
  if (outer.isPrefix) return inner.path.startsWith(outer.path) || inner.path === outer.path;
  if (inner.isPrefix) return outer.path === '/**';
  const wide = outer.path.split('/').slice(1);
  const narrow = inner.path.split('/').slice(1);
  for (const [i, segment] of wide.entries()) {
    if (segment === '**') return true;
    const own = narrow[i];
    if (own === undefined || own === '**' || own === '') return segment === own;
    if (segment !== '*' && segment !== own) return false;
  }
  return wide.length === narrow.length;
}
