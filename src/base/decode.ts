// Text → typed value, or every finding at once.
//
//   in    YAML text (one document), a zod schema with strict objects
//   out   the value and the document's places, or findings with file, line and column
//
// The only door to `zod` and `yaml`. Unknown keys are findings with a "did you mean".
import { isMap, isNode, isPair, isScalar, isSeq, LineCounter, type Node, parseAllDocuments } from 'yaml';
import { z } from 'zod';
import type { Finding } from './finding.ts';
import type { Place } from './place.ts';
import { didYouMean } from './suggest.ts';

export { z };

export type Path = readonly (string | number)[];

/** A YAML document as plain data, with the place of every value in it. */
export interface Located {
  readonly file: string;
  readonly data: unknown;
  /** Where the value at `path` stands; the nearest place above it when it is missing. `key: true` gives the key's place. */
  place(path: Path, key?: boolean): Place;
}

// Far more than any file that a person writes; keeps the "billion laughs" from unfolding.
const MAX_ALIASES = 100;
const MAX_TEXT_CHARS = 16 * 1024 * 1024;

/** A schema as JSON Schema (draft 2020-12), as far as it can be said: checks that are code are left to us. Of the text, before defaults. */
export function toJsonSchema(schema: z.ZodType): Readonly<Record<string, unknown>> {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Readonly<Record<string, unknown>>;
}

/** The documents of a YAML text. Syntax errors, duplicate keys and prototype keys are findings (`syntax-error`). */
export function parseYaml(file: string, text: string): { documents: Located[]; findings: Finding[] } {
  const findings: Finding[] = [];
  if (text.length > MAX_TEXT_CHARS) {
    findings.push(syntaxError(`the file is longer than ${MAX_TEXT_CHARS} characters`, { file, line: 1, column: 1 }));
    return { documents: [], findings };
  }
  const lines = new LineCounter();
  const documents: Located[] = [];
  for (const document of parseAllDocuments(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: false, logLevel: 'error' })) {
    for (const error of document.errors) {
      const finding = syntaxError(firstLine(error.message), placeAt(file, lines, error.pos[0]));
      findings.push(
        text.includes('{{')
          ? { ...finding, fix: 'this looks like a template: render it first (`helm template … | meshctl policy lint -`)' }
          : finding,
      );
    }
    if (document.errors.length > 0) continue;
    const root = document.contents;
    try {
      documents.push({
        file,
        data: document.toJS({ maxAliasCount: MAX_ALIASES }),
        place: (path, key = false) => placeAt(file, lines, offsetOf(isNode(root) ? root : null, path, key)),
      });
    } catch (error) {
      findings.push(syntaxError(error instanceof Error ? firstLine(error.message) : 'unreadable', { file, line: 1, column: 1 }));
    }
  }
  return { documents, findings };
}

/** The value when the document fits the schema; otherwise a finding for each issue, with its place. */
export function decode<T>(document: Located, schema: z.ZodType<T>): { value: T | undefined; findings: Finding[] } {
  const result = schema.safeParse(document.data);
  if (result.success) return { value: result.data, findings: [] };
  const findings: Finding[] = [];
  for (const issue of result.error.issues) {
    const path = issue.path.filter((part): part is string | number => typeof part !== 'symbol');
    if (issue.code === 'unrecognized_keys') {
      const known = knownKeys(schema, path);
      for (const key of issue.keys) {
        findings.push({
          rule: 'unknown-key',
          severity: 'error',
          what: `unknown key \`${key}\`${inside(path)}${didYouMean(key, known)}`,
          ...(known.length > 0 ? { fix: `known keys: ${known.join(', ')}` } : {}),
          place: document.place([...path, key], true),
        });
      }
      continue;
    }
    findings.push({
      rule: 'invalid-value',
      severity: 'error',
      what: `${path.length > 0 ? `\`${path.join('.')}\`: ` : ''}${lowerFirst(messageOfIssue(issue))}`,
      place: document.place(path),
    });
  }
  return { value: undefined, findings };
}

// The issues inside an issue say what is wrong; their wrapper only says that something is.
function messageOfIssue(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_key') return issue.issues[0]?.message ?? issue.message;
  if (issue.code !== 'invalid_union') return issue.message;
  const inner = issue.errors.map((branch) => branch[0]?.message).filter((message) => message !== undefined);
  return inner.length > 0 ? [...new Set(inner.map(lowerFirst))].join(', or ') : issue.message;
}

function inside(path: Path): string {
  return path.length > 0 ? ` in \`${path.join('.')}\`` : '';
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

function firstLine(text: string): string {
  return lowerFirst(text.split('\n', 1)[0] ?? text);
}

function syntaxError(what: string, place: Place): Finding {
  return { rule: 'syntax-error', severity: 'error', what, place };
}

function placeAt(file: string, lines: LineCounter, offset: number): Place {
  const { line, col } = lines.linePos(offset);
  return { file, line: Math.max(1, line), column: Math.max(1, col) };
}

function offsetOf(root: Node | null, path: Path, key: boolean): number {
  let node: Node | null = root;
  let offset = node?.range?.[0] ?? 0;
  for (let i = 0; i < path.length; i++) {
    const part = path[i];
    let next: unknown;
    if (isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(part));
      if (pair === undefined) return offset;
      if (isNode(pair.key)) offset = pair.key.range?.[0] ?? offset;
      if (key && i === path.length - 1) return offset;
      next = pair.value;
    } else if (isSeq(node) && typeof part === 'number') {
      next = node.items[part];
    }
    if (!isNode(next)) return offset;
    node = next;
    offset = node.range?.[0] ?? offset;
  }
  return offset;
}

// zod keeps the shape of objects and records reachable; walks it along the path to the object that refused a key.
function knownKeys(schema: z.ZodType, path: Path): string[] {
  let current: unknown = schema;
  for (const part of path) {
    const def = definition(current);
    if (def.type === 'object') current = def.shape?.[String(part)];
    else if (def.type === 'record') current = def.valueType;
    else if (def.type === 'array') current = def.element;
    else return [];
  }
  const def = definition(current);
  return def.type === 'object' && def.shape !== undefined ? Object.keys(def.shape) : [];
}

interface Definition {
  readonly type?: string;
  readonly shape?: Record<string, unknown>;
  readonly valueType?: unknown;
  readonly element?: unknown;
  readonly innerType?: unknown;
  readonly in?: unknown;
}

function definition(schema: unknown): Definition {
  let def = (schema as { def?: Definition } | undefined)?.def ?? {};
  while (def.type === 'optional' || def.type === 'default' || def.type === 'prefault' || def.type === 'pipe') {
    def = ((def.innerType ?? def.in) as { def?: Definition } | undefined)?.def ?? {};
  }
  return def;
}
