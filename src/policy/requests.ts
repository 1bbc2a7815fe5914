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
  const known = others.flatMap((each) => (each.kind === 'http' ? [each] : []));
  const http: Extract<Operation, { kind: 'http' }> = operation.kind === 'http' ? operation : { kind: 'http', path: '/**' };
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
