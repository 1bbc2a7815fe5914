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

/** Each rule of `inners` that one of `outers` covers, once; of two that say the same the later is the needless one. */
export function covering(input: LintInput, inners: readonly RuleNode[], outers: readonly RuleNode[]): Covered[] {
  const index = new Map<string, { to: WhoText; byFrom: Map<string, { from: WhoText; rules: RuleNode[] }> }>();
  for (const rule of outers) {
    // What ends, or only watches, does not make another needless.
    if (rule.untilMs !== undefined || rule.audit) continue;
    const to = entry(index, printWho(rule.to), () => ({ to: rule.to, byFrom: new Map() }));
    entry(to.byFrom, printWho(rule.from), () => ({ from: rule.from, rules: [] })).rules.push(rule);
  }
  const whoms = new Map<string, string[]>();
  const position = new Map(outers.map((rule, i) => [rule, i]));
  return inners.flatMap((inner): Covered[] => {
    const whom = printWho(inner.to);
    let keys = whoms.get(whom);
    if (keys === undefined) {
      keys = [...index].filter(([, { to }]) => whoCovers(input, to, inner.to)).map(([key]) => key);
      whoms.set(whom, keys);
    }
    const own = position.get(inner);
    for (const key of keys)
      for (const { from, rules } of index.get(key)?.byFrom.values() ?? [])
        if (whoCovers(input, from, inner.from))
          for (const outer of rules) {
            if (outer === inner || !operationsCover(outer, inner)) continue;
            const isSame = own !== undefined && (position.get(outer) ?? 0) > own && whoCovers(input, inner.from, outer.from);
            if (isSame && whoCovers(input, inner.to, outer.to) && operationsCover(inner, outer)) continue;
            return [{ inner, outer }];
          }
    return [];
  });
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
