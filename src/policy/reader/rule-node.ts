// One rule of a policy document, in its short form (`web -> cart: [GET /cart/*]`) or its long one ({from, to, methods, path, …}),
// as a syntax tree with places. Knows no names.
import { decode, type Located, type Path, z } from '../../base/decode.ts';
import type { Finding } from '../../base/finding.ts';
import type { Place } from '../../base/place.ts';
import {
  isTextError,
  METHOD,
  type OpText,
  parseEdge,
  parseGrpcName,
  parseOperation,
  parseWho,
  pathProblem,
  printEdge,
  printOperation,
  type TextError,
  type WhoText,
} from './rule-text.ts';

export interface RuleNode {
  /** The name that it was given, else the canonical one-line text. */
  readonly id: string;
  readonly place: Place;
  readonly from: WhoText;
  readonly fromPlace: Place;
  readonly to: WhoText;
  readonly toPlace: Place;
  readonly operations: readonly OpText[];
  /** Epoch milliseconds from which on the rule counts no more. */
  readonly untilMs: number | undefined;
  /** What only this rule allows is allowed and reported. */
  readonly audit: boolean;
  readonly owner: string | undefined;
}

/** `undefined` when there is no rule to be had; the findings say why. */
export function readRule(document: Located, path: Path, raw: unknown, findings: Finding[]): RuleNode | undefined {
  const place = document.place(path);
  const fail = (what: string, fix: string): undefined => {
    findings.push({ rule: 'syntax-error', severity: 'error', what, fix, place });
  };
  if (typeof raw === 'string') {
    const missing = raw.includes('->') ? 'the rule grants nothing: operations are missing after `:`' : `\`${raw}\` is no rule`;
    return fail(missing, 'write `caller -> callee: [GET /path]`, `: tcp` or `: any`');
  }
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw))
    return fail('a rule is `caller -> callee: operations`', 'write one `caller -> callee:` a line');
  const keys = Object.keys(raw);
  if ('from' in raw || 'to' in raw) return readLong(document, path, raw, findings);
  const key = keys[0];
  if (keys.length !== 1 || key === undefined)
    return fail(`a rule has one key, \`caller -> callee\`, and this one has ${keys.length}`, 'begin every rule with `-`');
  const keyPlace = document.place([...path, key], true);
  const edge = parseEdge(key);
  if (isTextError(edge)) {
    findings.push(fromTextError(edge, keyPlace));
    return undefined;
  }
  const operations = readOperations(document, [...path, key], (raw as Record<string, unknown>)[key], keyPlace, findings);
  if (operations === undefined) return undefined;
  return {
    id: printRule(edge.from, edge.to, operations),
    place: keyPlace,
    from: edge.from,
    fromPlace: keyPlace,
    to: edge.to,
    toPlace: { ...keyPlace, column: keyPlace.column + rightOf(key, '->') },
    operations,
    untilMs: undefined,
    audit: false,
    owner: undefined,
  };
}

/** The canonical one-line text of a rule. */
export function printRule(from: WhoText, to: WhoText, operations: readonly OpText[]): string {
  const texts = operations.map(printOperation);
  return `${printEdge(from, to)}: ${texts.length === 1 ? texts[0] : `[${texts.join(', ')}]`}`;
}

/** One operation, or a list of them. */
export function readOperations(
  document: Located,
  path: Path,
  value: unknown,
  place: Place,
  findings: Finding[],
): readonly OpText[] | undefined {
  const texts: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (texts.length === 0) {
    findings.push({
      rule: 'syntax-error',
      severity: 'error',
      what: 'the list of operations is empty, so the rule grants nothing',
      fix: 'remove the rule, or write operations',
      place,
    });
    return undefined;
  }
  const operations: OpText[] = [];
  texts.forEach((text, i) => {
    const operation =
      typeof text === 'string'
        ? parseOperation(text)
        : { rule: 'syntax-error', what: 'an operation is a text such as `GET /path`, `tcp` or `any`', offset: 0 };
    if (isTextError(operation)) findings.push(fromTextError(operation, document.place(Array.isArray(value) ? [...path, i] : path)));
    else operations.push(operation);
  });
  return operations.length === texts.length ? operations : undefined;
}

/** How many characters stand before the name to the right of an arrow. */
export function rightOf(edge: string, arrow: string): number {
  const at = edge.indexOf(arrow) + arrow.length;
  return at + (edge.slice(at).length - edge.slice(at).trimStart().length);
}

/** An offset within a plain one-line scalar is a column; texts that span lines keep the place of their start. */
export function fromTextError(error: TextError, place: Place): Finding {
  return {
    rule: error.rule,
    severity: 'error',
    what: error.what,
    ...(error.fix === undefined ? {} : { fix: error.fix }),
    place: { ...place, column: place.column + error.offset },
  };
}

/** A caller or callee that stands alone at this path. */
export function readWho(document: Located, path: Path, text: string, findings: Finding[]): WhoText | undefined {
  const who = parseWho(text.trim());
  if (!isTextError(who)) return who;
  findings.push(fromTextError(who, document.place(path)));
  return undefined;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** A rule in its long form. */
export const longRule = z.strictObject({
  from: z.string(),
  to: z.string(),
  name: z.string().min(1).max(200).optional(),
  owner: z.string().optional(),
  until: z.union([z.string(), z.date()]).optional(),
  audit: z.boolean().default(false),
  methods: z.union([z.array(z.string().regex(METHOD, 'a method in upper case is wanted')).min(1), z.literal('*')]).optional(),
  path: z.string().optional(),
  prefix: z.string().optional(),
  grpc: z.string().optional(),
  tcp: z.literal(true, '`tcp: true` is wanted, or nothing').optional(),
  port: z.union([z.int().min(1).max(65_535), z.string().regex(/^[a-z0-9-]{1,63}$/, 'a port number or name is wanted')]).optional(),
  headers: z.record(z.string().regex(TOKEN, 'no field name'), z.string()).optional(),
});

function readLong(document: Located, path: Path, raw: object, findings: Finding[]): RuleNode | undefined {
  const place = document.place(path);
  const decoded = decode({ file: document.file, data: raw, place: (more, key) => document.place([...path, ...more], key) }, longRule);
  findings.push(...decoded.findings);
  const rule = decoded.value;
  if (rule === undefined) return undefined;
  const from = readWho(document, [...path, 'from'], rule.from, findings);
  const to = readWho(document, [...path, 'to'], rule.to, findings);
  const operation = longOperation(rule);
  if (typeof operation === 'string') findings.push({ rule: 'syntax-error', severity: 'error', what: operation, place });
  const untilMs = rule.until === undefined ? undefined : readUntil(rule.until);
  if (untilMs !== undefined && Number.isNaN(untilMs))
    findings.push({
      rule: 'invalid-value',
      severity: 'error',
      what: `\`until: ${String(rule.until)}\` is no day`,
      fix: 'write `until: 2027-01-31`, or a time such as `2027-01-31T12:00:00Z`',
      place: document.place([...path, 'until']),
    });
  if (from === undefined || to === undefined || typeof operation === 'string' || Number.isNaN(untilMs)) return undefined;
  return {
    id: rule.name ?? printRule(from, to, [operation]),
    place,
    from,
    fromPlace: document.place([...path, 'from']),
    to,
    toPlace: document.place([...path, 'to']),
    operations: [operation],
    untilMs,
    audit: rule.audit,
    owner: rule.owner,
  };
}

/** Or why the keys do not go together. */
function longOperation(rule: z.output<typeof longRule>): OpText | string {
  const port = rule.port === undefined ? {} : { port: String(rule.port) };
  const isHttp = rule.methods !== undefined || rule.path !== undefined || rule.prefix !== undefined || rule.headers !== undefined;
  if ([isHttp, rule.grpc !== undefined, rule.tcp !== undefined].filter(Boolean).length > 1)
    return 'a rule is about HTTP (`methods`, `path`, `prefix`, `headers`), `grpc` or `tcp`, one of them';
  if (rule.tcp) return { kind: 'tcp', ...port };
  if (rule.grpc !== undefined) {
    const named = parseGrpcName(rule.grpc);
    return named === undefined
      ? `\`${rule.grpc}\` is no gRPC service: \`pkg.Service\` or \`pkg.Service/Method\``
      : { kind: 'grpc', ...named, ...port };
  }
  if (!isHttp) return { kind: 'any', ...port };
  if (rule.path !== undefined && rule.prefix !== undefined) return '`path` and `prefix` exclude each other';
  const path = rule.path ?? rule.prefix;
  if (path === undefined) return 'a path is missing: `path: /**` is every path';
  const problem = path.startsWith('/')
    ? rule.prefix?.includes('*')
      ? 'a prefix holds no `*`'
      : pathProblem(path)
    : 'a path starts with `/`';
  if (problem !== undefined) return `\`${path}\`: ${problem}`;
  const methods = rule.methods === undefined || rule.methods === '*' ? {} : { methods: rule.methods };
  const headers = Object.entries(rule.headers ?? {}).map(([name, value]) => ({ name: name.toLowerCase(), value }));
  return {
    kind: 'http',
    ...methods,
    path,
    ...(rule.prefix === undefined ? {} : { isPrefix: true as const }),
    ...port,
    ...(headers.length === 0 ? {} : { headers }),
  };
}

const DAY_MS = 86_400_000;

/** A day counts to its end (UTC), a time to itself; NaN when it is neither. */
export function readUntil(until: string | Date): number {
  if (until instanceof Date) return until.getTime() % DAY_MS === 0 ? until.getTime() + DAY_MS : until.getTime();
  if (/^\d{4}-\d{2}-\d{2}$/.test(until)) return Date.parse(until) + DAY_MS;
  return /^\d{4}-\d{2}-\d{2}T/.test(until) ? Date.parse(until) : Number.NaN;
}
