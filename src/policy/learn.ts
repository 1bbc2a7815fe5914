// The least that a policy has to allow so that what was seen goes on working: requests → rules.
//
//   who    a service of the mesh by its name, else `sa:` or `id:`
//   what   method and path; segments that look like ids, and those with many different values, become `*`
import { parseSpiffeId } from '../mesh/identity.ts';
import type { NamedService, Names } from './names.ts';
import type { Observed } from './observed.ts';
import { type OpText, pathProblem, printOperation } from './reader/rule-text.ts';

export interface LearnedRule {
  readonly from: string;
  readonly to: string;
  /** `GET /orders/*`, `tcp`, `grpc a.B/C`. */
  readonly operation: string;
  readonly count: number;
  readonly firstMs: number;
  readonly lastMs: number;
}

export interface Learned {
  /** By caller, callee and operation. */
  readonly rules: readonly LearnedRule[];
  /** What a rule cannot say: without identity, or of a callee that is not this mesh's. */
  readonly left: readonly Observed[];
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
/** A position with more different values than this becomes `*`. */
const MAX_LITERALS = 8;

export function learn(observed: readonly Observed[], names: Names, trustDomain: string): Learned {
  const edges = new Map<string, { from: string; to: string; seen: Observed[] }>();
  const left: Observed[] = [];
  for (const one of observed) {
    const from = one.callerId === null ? undefined : whoOf(one.callerId, names, trustDomain);
    const to = whoOf(one.calleeId, names, trustDomain);
    if (from === undefined || to === undefined) {
      left.push(one);
      continue;
    }
    const key = `${from} ${to}`;
    const edge = edges.get(key) ?? { from, to, seen: [] };
    edge.seen.push(one);
    edges.set(key, edge);
  }
  const rules = [...edges.values()].flatMap(({ from, to, seen }) => operationsOf(seen).map((each) => ({ from, to, ...each })));
  const sorted = rules.sort((a, b) => a.from.localeCompare(b.from) || a.to.localeCompare(b.to) || a.operation.localeCompare(b.operation));
  return { rules: sorted, left };
}

function whoOf(printed: string, { services }: Names, trustDomain: string): string | undefined {
  const id = parseSpiffeId(printed);
  if (id?.service === undefined || id.namespace === undefined || id.trustDomain !== trustDomain)
    return id === undefined ? undefined : `id:${printed}`;
  const isIt = (each: NamedService): boolean => each.namespace === id.namespace && each.service === id.service;
  const named = [...services.values()].find(isIt);
  return named?.name ?? `sa:${id.namespace}/${id.service}`;
}

type Counted = Omit<LearnedRule, 'from' | 'to'>;

function operationsOf(seen: readonly Observed[]): Counted[] {
  const result: Counted[] = [];
  const tcp = seen.filter(({ protocol }) => protocol === 'tcp');
  if (tcp.length > 0) result.push({ operation: 'tcp', ...total(tcp) });
  const calls = new Map<string, Observed[]>();
  for (const one of seen)
    if (one.protocol === 'grpc') {
      const key = (one.path ?? '').slice(1);
      calls.set(key, [...(calls.get(key) ?? []), one]);
    }
  for (const [name, group] of calls) {
    const [service = '', method] = name.split('/');
    const op: OpText = method === undefined ? { kind: 'grpc', service } : { kind: 'grpc', service, method };
    result.push({ operation: printOperation(op), ...total(group) });
  }
  const http = seen.filter(({ protocol, path }) => protocol === 'http' && path !== null);
  const folded = foldPaths(http.map(({ path }) => path ?? '/'));
  const paths = new Map<string, Observed[]>();
  http.forEach((one, i) => {
    const path = folded[i] as string;
    paths.set(path, [...(paths.get(path) ?? []), one]);
  });
  for (const [path, group] of paths) {
    const methods = [...new Set(group.map(({ method }) => method ?? 'GET'))].sort();
    result.push({ operation: printOperation({ kind: 'http', methods, path }), ...total(group) });
  }
  return result;
}

function total(group: readonly Observed[]): Pick<LearnedRule, 'count' | 'firstMs' | 'lastMs'> {
  return {
    count: group.reduce((sum, { count }) => sum + count, 0),
    firstMs: Math.min(...group.map(({ firstMs }) => firstMs)),
    lastMs: Math.max(...group.map(({ lastMs }) => lastMs)),
  };
}

/** Each path as the pattern that stands for it and its like. */
export function foldPaths(paths: readonly string[]): string[] {
  const split = paths.map((path) =>
    path
      .split('/')
      .slice(1)
      .map((segment) => (isId(segment) || !isPlain(segment) ? '*' : segment)),
  );
  // Level by level: where one beginning goes on in many ways, that is a value and no name.
  const depth = Math.max(0, ...split.map((segments) => segments.length));
  for (let level = 0; level < depth; level++) {
    const values = new Map<string, Set<string>>();
    for (const segments of split) {
      const segment = segments[level];
      if (segment === undefined || segment === '') continue;
      const start = segments.slice(0, level).join('/');
      values.set(start, (values.get(start) ?? new Set()).add(segment));
    }
    for (const segments of split) {
      const segment = segments[level];
      const found = values.get(segments.slice(0, level).join('/'));
      if (segment !== undefined && segment !== '' && found !== undefined && found.size > MAX_LITERALS) segments[level] = '*';
    }
  }
  return split.map((segments) => `/${segments.join('/')}`);
}

/** Numbers, UUIDs, and long runs of letters and digits. */
function isId(segment: string): boolean {
  if (/^\d+$/.test(segment) || UUID.test(segment)) return true;
  return /^[0-9a-f]{8,}$/i.test(segment) ? /\d/.test(segment) : segment.length >= 20 && /\d/.test(segment) && /^[\w-]+$/.test(segment);
}

/** What a rule can say as it stands. */
function isPlain(segment: string): boolean {
  return segment === '' || pathProblem(`/${segment}`) === undefined;
}
