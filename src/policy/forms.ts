// One rule in its short form (`web -> orders: [GET /orders/*]`) and in its long one ({from, to, methods, path}): the same rule, written twice.
import {
  isTextError,
  type OpText,
  parseEdge,
  parseGrpcName,
  parseOperation,
  parseWho,
  printEdge,
  printOperation,
  printWho,
} from './reader/rule-text.ts';

type Map = Readonly<Record<string, unknown>>;

const isMap = (value: unknown): value is Map => typeof value === 'object' && value !== null && !Array.isArray(value);

/** A rule in short form as rules in long form, one for each operation; undefined for what is no short rule, or none that can be read. */
export function toLong(value: unknown): Map[] | undefined {
  const short = readShort(value);
  if (short === undefined) return undefined;
  return short.operations.map((operation) => ({ from: printWho(short.from), to: printWho(short.to), ...longOf(operation) }));
}

/** A rule in long form as a short one; undefined where only the long form says it: a name, an owner, an end, a prefix, or what cannot be read. */
export function toShort(value: unknown): Map[] | undefined {
  if (!isMap(value) || typeof value['from'] !== 'string' || typeof value['to'] !== 'string') return undefined;
  const { from, to, methods, path, grpc, tcp, port, headers, ...more } = value;
  if (Object.keys(more).length > 0) return undefined;
  const who = parseWho(String(from));
  const whom = parseWho(String(to));
  if (isTextError(who) || isTextError(whom)) return undefined;
  const at = port === undefined ? {} : { port: String(port) };
  const operation = operationOf({ methods, path, grpc, tcp, headers }, at);
  if (operation === undefined) return undefined;
  const text = printOperation(operation);
  // A value that no one-line text can hold stays where it is.
  const again = parseOperation(text);
  if (isTextError(again) || printOperation(again) !== text || JSON.stringify(again) !== JSON.stringify(operation)) return undefined;
  return [{ [printEdge(who, whom)]: text }];
}

/** A short rule as it is written by us: one blank around the arrow, a single operation without brackets. */
export function canonical(value: unknown): Map[] | undefined {
  const short = readShort(value);
  if (short === undefined) return undefined;
  const operations = short.operations.map(printOperation);
  return [{ [printEdge(short.from, short.to)]: operations.length === 1 ? operations[0] : operations }];
}

/** Two short rules of one edge as one. */
export function mergeShort(first: unknown, second: unknown): Map | undefined {
  if (!isMap(first) || !isMap(second)) return undefined;
  const [key, ...more] = Object.keys(first);
  if (key === undefined || more.length > 0 || Object.keys(second).join() !== key || !key.includes('->')) return undefined;
  return { [key]: [first[key], second[key]].flat() };
}

function readShort(value: unknown) {
  if (!isMap(value)) return undefined;
  const [key, ...more] = Object.keys(value);
  if (key === undefined || more.length > 0) return undefined;
  const edge = parseEdge(key);
  const texts = [value[key]].flat();
  if (isTextError(edge) || texts.length === 0 || !texts.every((text) => typeof text === 'string')) return undefined;
  const operations: OpText[] = [];
  for (const text of texts) {
    const operation = parseOperation(text);
    if (isTextError(operation)) return undefined;
    operations.push(operation);
  }
  return { ...edge, operations };
}

function longOf(operation: OpText): Map {
  const { port } = operation;
  const at = port === undefined ? {} : { port: /^\d+$/.test(port) ? Number(port) : port };
  if (operation.kind === 'any') return at;
  if (operation.kind === 'tcp') return { tcp: true, ...at };
  if (operation.kind === 'grpc')
    return { grpc: `${operation.service}${operation.method === undefined ? '' : `/${operation.method}`}`, ...at };
  const { methods, path, headers } = operation;
  return {
    methods: methods ?? '*',
    path,
    ...at,
    ...(headers === undefined ? {} : { headers: Object.fromEntries(headers.map(({ name, value }) => [name, value])) }),
  };
}

function operationOf({ methods, path, grpc, tcp, headers }: Map, at: { port?: string }): OpText | undefined {
  if (tcp !== undefined) return { kind: 'tcp', ...at };
  if (grpc !== undefined) {
    const named = parseGrpcName(String(grpc));
    return named === undefined ? undefined : { kind: 'grpc', ...named, ...at };
  }
  if (path === undefined) return methods === undefined && headers === undefined ? { kind: 'any', ...at } : undefined;
  const fields = isMap(headers) ? Object.entries(headers).map(([name, value]) => ({ name: name.toLowerCase(), value: String(value) })) : [];
  return {
    kind: 'http',
    ...(Array.isArray(methods) ? { methods: methods.map(String) } : {}),
    path: String(path),
    ...at,
    ...(fields.length === 0 ? {} : { headers: fields }),
  };
}
