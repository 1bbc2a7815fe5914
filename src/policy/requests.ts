// Requests that stand for all that an operation covers: what no rule between two identities tells apart is there once.
import type { Operation } from '../mesh/authorization.ts';
import { pathsOf } from './atoms.ts';
import { isPort } from './evaluate.ts';
import type { Port, Request } from './reachability.ts';

/** One that no rule names stands for all others. */
const METHODS = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS'];

/** `others`: every operation that may judge such a request. Undefined when there are too many different paths. */
export function requestsOf(operation: Operation, ports: readonly Port[], others: readonly Operation[]): Request[] | undefined {
  const open = ports.filter((port) => operation.port === undefined || isPort(operation.port, port));
  const tcp = open.map((port): Request => ({ port, http: undefined }));
  if (operation.kind === 'tcp') return tcp;
  const http: Http = operation.kind === 'http' ? operation : { kind: 'http', path: '/**' };
  const known = near(http, others);
  const paths = pathsOf(http.path, http.isPrefix === true, known);
  if (paths === undefined) return undefined;
  const named = known.flatMap((each) => each.methods ?? []);
  const methods = http.methods ?? [...new Set([...named, METHODS.find((each) => !named.includes(each)) ?? 'ANY-OTHER'])];
  const headers = Object.fromEntries((http.headers ?? []).map(({ name, value }) => [name, value]));
  const requests = open.flatMap((port) =>
    methods.flatMap((method) => paths.map((path): Request => ({ port, http: { method, path, grpc: http.grpc === true, headers } }))),
  );
  return operation.kind === 'any' ? [...requests, ...tcp] : requests;
}

type Http = Extract<Operation, { kind: 'http' }>;

/** Operations of HTTP by the first segment of their path; those that fit any, or only begin one, under nothing. */
type ByStart = ReadonlyMap<string | undefined, readonly Http[]>;
const indexes = new WeakMap<readonly Operation[], ByStart>();

function startOf({ path, isPrefix }: Http): string | undefined {
  const [, first = '', ...more] = path.split('/');
  return first.includes('*') || (isPrefix && more.length === 0) ? undefined : first;
}

/** Those of the others that can fit a path that the operation fits: of thousands most often a few. */
function near(http: Http, others: readonly Operation[]): readonly Http[] {
  let index = indexes.get(others);
  if (index === undefined) {
    const made = new Map<string | undefined, Http[]>();
    for (const each of others) {
      if (each.kind !== 'http') continue;
      const start = startOf(each);
      const group = made.get(start);
      if (group === undefined) made.set(start, [each]);
      else group.push(each);
    }
    index = made;
    indexes.set(others, index);
  }
  const start = startOf(http);
  if (start === undefined) return [...index.values()].flat();
  return [...(index.get(start) ?? []), ...(index.get(undefined) ?? [])];
}
