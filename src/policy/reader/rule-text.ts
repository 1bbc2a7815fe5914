// The one-line rule: `web -> cart: [GET /cart/*, tcp :5432]`. Text → syntax tree, with the column of whatever is wrong.
//
//   rule = who " -> " whom ":" op | [op, …]
//   who  = service | group | ns:NAME | sa:NS/NAME | id:<SPIFFE id> | td:<trust domain> | tier:NAME | tier<NAME | tier>=NAME | mesh | any
//   op   = any [port] | tcp [port] | grpc Pkg.Svc[/Method|/*] [port] | http
//   http = METHOD{"|"METHOD} or "*"  path  [port] ["if header" NAME "=" VALUE]
//
// Knows no names: whether `cart` is a service is policy/compile.ts's question.
import { isTrustDomain, NAME, parseSpiffeId } from '../../mesh/identity.ts';

export type WhoText =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'ns'; readonly name: string }
  | { readonly kind: 'sa'; readonly namespace: string; readonly name: string }
  | { readonly kind: 'id'; readonly id: string }
  | { readonly kind: 'td'; readonly trustDomain: string }
  | { readonly kind: 'tier'; readonly compare: '=' | '<' | '>='; readonly name: string }
  | { readonly kind: 'mesh' }
  | { readonly kind: 'any' };

export type OpText =
  | { readonly kind: 'any'; readonly port?: string }
  | { readonly kind: 'tcp'; readonly port?: string }
  /** `method` undefined is every method of the service. */
  | { readonly kind: 'grpc'; readonly service: string; readonly method?: string; readonly port?: string }
  | {
      readonly kind: 'http';
      readonly methods?: readonly string[];
      readonly path: string;
      /** The path is the beginning of what fits, letter by letter: only the long form says so. */
      readonly isPrefix?: true;
      readonly port?: string;
      readonly headers?: readonly HeaderText[];
    };

/** A field that must be there just once, with this value. The name is in lower case. */
export interface HeaderText {
  readonly name: string;
  readonly value: string;
}

/** Why a text is no rule; `offset` counts characters from its start. */
export interface TextError {
  readonly rule: string;
  readonly what: string;
  readonly fix?: string;
  readonly offset: number;
}

export function isTextError(value: object): value is TextError {
  return 'offset' in value;
}

/** RFC 9110 section 9.1: a method is a token; policies write it in upper case. */
export const METHOD = /^[A-Z][A-Z0-9-]*$/;
const PORT = /^:(?:[0-9]{1,5}|[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)$/;

/** `who -> whom`, the key of a rule. */
export function parseEdge(text: string): { from: WhoText; to: WhoText } | TextError {
  const arrow = text.indexOf('->');
  if (arrow < 0) {
    const many = text.indexOf('=>');
    if (many >= 0)
      return {
        rule: 'syntax-error',
        what: '`=>` (any number of hops) is for invariants; a rule grants one hop',
        fix: 'write `->`',
        offset: many,
      };
    return { rule: 'syntax-error', what: `\`${text}\` is no rule: \`caller -> callee\` is wanted`, offset: 0 };
  }
  const left = text.slice(0, arrow).trim();
  const rightAt = arrow + 2 + (text.slice(arrow + 2).length - text.slice(arrow + 2).trimStart().length);
  const from = parseWho(left);
  if (isTextError(from)) return { ...from, offset: text.indexOf(left) + from.offset };
  const to = parseWho(text.slice(rightAt).trim());
  if (isTextError(to)) return { ...to, offset: rightAt + to.offset };
  return { from, to };
}

export function parseWho(text: string): WhoText | TextError {
  if (text === 'mesh' || text === 'any') return { kind: text };
  const wrong = (what: string): TextError => ({ rule: 'syntax-error', what, offset: 0 });
  if (text === '') return wrong('a name is missing beside the arrow');
  const tier = /^tier(:|<|>=)(.*)$/.exec(text);
  if (tier !== null) {
    const name = tier[2] ?? '';
    if (!NAME.test(name)) return wrong(`\`${text}\` names no tier`);
    return { kind: 'tier', compare: tier[1] === ':' ? '=' : (tier[1] as '<' | '>='), name };
  }
  const colon = text.indexOf(':');
  if (colon < 0) return NAME.test(text) ? { kind: 'name', name: text } : wrong(`\`${text}\` is no name: a-z, 0-9 and \`-\` are wanted`);
  const rest = text.slice(colon + 1);
  switch (text.slice(0, colon)) {
    case 'ns':
      return NAME.test(rest) ? { kind: 'ns', name: rest } : wrong(`\`${rest}\` is no namespace`);
    case 'sa': {
      const [namespace = '', name = '', more] = rest.split('/');
      return NAME.test(namespace) && NAME.test(name) && more === undefined
        ? { kind: 'sa', namespace, name }
        : wrong(`\`${text}\`: \`sa:NAMESPACE/NAME\` is wanted`);
    }
    case 'id':
      return parseSpiffeId(rest) === undefined ? wrong(`\`${rest}\` is no SPIFFE id`) : { kind: 'id', id: rest };
    case 'td':
      return isTrustDomain(rest) ? { kind: 'td', trustDomain: rest } : wrong(`\`${rest}\` is no trust domain`);
    default:
      return wrong(`\`${text.slice(0, colon)}:\` is not known: \`ns:\`, \`sa:\`, \`id:\`, \`td:\` and \`tier:\` are`);
  }
}

export function parseOperation(text: string): OpText | TextError {
  const words = [...text.matchAll(/\S+/g)].map((match) => ({ text: match[0], offset: match.index }));
  const first = words[0];
  if (first === undefined)
    return { rule: 'syntax-error', what: 'an operation is empty', fix: 'write `any`, `tcp` or `METHOD /path`', offset: 0 };
  if (first.text === 'grpc') return parseGrpc(words.slice(1), first.offset);
  if (first.text === 'any' || first.text === 'tcp') {
    const port = readPort(words.slice(1));
    if (isTextError(port)) return port;
    return { kind: first.text, ...port };
  }
  const methods = first.text === '*' ? undefined : first.text.split('|');
  const bad = methods?.find((method) => !METHOD.test(method));
  if (bad !== undefined) {
    const upper = bad.toUpperCase();
    return {
      rule: 'syntax-error',
      what: `\`${bad}\` is no HTTP method`,
      ...(METHOD.test(upper) && bad !== upper ? { fix: `write \`${upper}\`` } : { fix: 'write `any`, `tcp` or `METHOD /path`' }),
      offset: first.offset,
    };
  }
  const path = words[1];
  if (path === undefined || !path.text.startsWith('/')) {
    return {
      rule: 'method-without-path',
      what: `\`${first.text}\` has no path`,
      fix: `write \`${first.text} /**\` for every path`,
      offset: path?.offset ?? first.offset,
    };
  }
  const problem = pathProblem(path.text);
  if (problem !== undefined) return { rule: 'path-never-matches', what: `\`${path.text}\`: ${problem}`, offset: path.offset };
  const rest = words.slice(2);
  const condition = rest.findIndex((word) => word.text === 'if');
  const header = condition < 0 ? undefined : readCondition(text.slice(rest[condition]?.offset), rest[condition]?.offset ?? 0);
  if (header !== undefined && isTextError(header)) return header;
  const port = readPort(condition < 0 ? rest : rest.slice(0, condition));
  if (isTextError(port)) return port;
  return {
    kind: 'http',
    ...(methods === undefined ? {} : { methods }),
    path: path.text,
    ...port,
    ...(header === undefined ? {} : { headers: [header] }),
  };
}

const GRPC = /^([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)(?:\/([A-Za-z_][A-Za-z0-9_]*|\*))?$/;

/** `Pkg.Svc`, `Pkg.Svc/Method` or `Pkg.Svc/*`: the service and, unless it is every one, the method. Undefined for anything else. */
export function parseGrpcName(text: string): { service: string; method?: string } | undefined {
  const match = GRPC.exec(text);
  if (match === null) return undefined;
  const [, service = '', method] = match;
  return method === undefined || method === '*' ? { service } : { service, method };
}

function parseGrpc(words: readonly { text: string; offset: number }[], offset: number): OpText | TextError {
  const named = parseGrpcName(words[0]?.text ?? '');
  if (named === undefined)
    return {
      rule: 'syntax-error',
      what: words[0] === undefined ? '`grpc` names no service' : `\`${words[0].text}\` is no gRPC service`,
      fix: 'write `grpc pkg.Service`, or `grpc pkg.Service/Method`',
      offset: words[0]?.offset ?? offset,
    };
  const port = readPort(words.slice(1));
  return isTextError(port) ? port : { kind: 'grpc', ...named, ...port };
}

const CONDITION = /^if +header +([!#$%&'*+\-.^_`|~0-9A-Za-z]+) *= *([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)$/;

/** `if header NAME = VALUE`. The value is the rest of the text. */
function readCondition(text: string, offset: number): HeaderText | TextError {
  const match = CONDITION.exec(text.trimEnd());
  if (match === null) return { rule: 'syntax-error', what: 'this is no condition', fix: 'write `if header x-name = value`', offset };
  return { name: (match[1] ?? '').toLowerCase(), value: match[2] ?? '' };
}

/** The canonical text of a rule: single blanks, the order as written. */
export function printEdge(from: WhoText, to: WhoText): string {
  return `${printWho(from)} -> ${printWho(to)}`;
}

export function printWho(who: WhoText): string {
  switch (who.kind) {
    case 'any':
    case 'mesh':
      return who.kind;
    case 'name':
      return who.name;
    case 'ns':
      return `ns:${who.name}`;
    case 'sa':
      return `sa:${who.namespace}/${who.name}`;
    case 'id':
      return `id:${who.id}`;
    case 'td':
      return `td:${who.trustDomain}`;
    case 'tier':
      return `tier${who.compare === '=' ? ':' : who.compare}${who.name}`;
  }
}

export function printOperation(op: OpText): string {
  const port = op.port === undefined ? '' : ` :${op.port}`;
  if (op.kind === 'grpc') return `grpc ${op.service}${op.method === undefined ? '' : `/${op.method}`}${port}`;
  if (op.kind !== 'http') return `${op.kind}${port}`;
  const conditions = (op.headers ?? []).map(({ name, value }) => ` if header ${name}=${value}`).join('');
  return `${op.methods?.join('|') ?? '*'} ${op.path}${op.isPrefix ? '*' : ''}${port}${conditions}`;
}

function readPort(words: readonly { text: string; offset: number }[]): { port?: string } | TextError {
  const word = words[0];
  if (word === undefined) return {};
  if (words.length > 1 || !PORT.test(word.text)) {
    return {
      rule: 'syntax-error',
      what: `\`${words.map((each) => each.text).join(' ')}\` is not understood here`,
      fix: 'only a port such as `:8080` or `:http` may follow',
      offset: word.offset,
    };
  }
  return { port: word.text.slice(1) };
}

/** Why no normalised path can ever equal the pattern: the rule would silently do nothing. Undefined when one can. */
export function pathProblem(path: string): string | undefined {
  if (/[?#\\]/.test(path)) return 'a path holds no `?`, `#` or `\\`, so this never matches';
  if (/[^\x21-\x7e]/.test(path)) return 'other characters than printable ASCII are written as `%XX`';
  if (/%(?![0-9A-F]{2})/.test(path) || /%(?:00|2F|5C)/.test(path)) return 'this escape never reaches a service';
  for (const match of path.matchAll(/%([0-9A-F]{2})/g)) {
    if (/[A-Za-z0-9\-._~]/.test(String.fromCharCode(Number.parseInt(match[1] ?? '', 16))))
      return `\`${match[0]}\` is decoded before matching, so this never matches`;
  }
  const segments = path.slice(1).split('/');
  if (segments.some((segment, i) => segment === '' && i < segments.length - 1))
    return 'slashes are merged before matching, so this never matches';
  if (segments.some((segment) => segment === '.' || segment === '..'))
    return 'dot segments are removed before matching, so this never matches';
  if (segments.some((segment, i) => segment === '**' && i < segments.length - 1)) return '`**` stands only at the end';
  if (segments.some((segment) => segment.includes('*') && segment !== '*' && segment !== '**')) return '`*` stands for one whole segment';
  return undefined;
}
