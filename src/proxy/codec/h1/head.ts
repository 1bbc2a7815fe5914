// The head of an HTTP/1.1 message: bytes → method, target, status, fields. Strict: what two readers could read differently is refused.
// Source: RFC 9112 sections 2 to 5, RFC 9110 section 5. Knows no socket and no body.
import { type Fields, isFitValue } from '../fields.ts';
import { MAX_FIELDS } from '../limits.ts';

export interface RequestHead {
  readonly method: string;
  readonly target: string;
  /** What the caller spoke to the first proxy; over a tunnel it is passed on. */
  readonly major: 1 | 2;
  readonly minor: 0 | 1;
  readonly fields: Fields;
}

export interface ResponseHead {
  readonly status: number;
  readonly reason: string;
  readonly minor: 0 | 1;
  readonly fields: Fields;
}

/** Why a message is refused. `status` is what a server answers to it. */
export interface HeadError {
  readonly status: number;
  readonly why: string;
}

export function isHeadError(value: object): value is HeadError {
  return 'why' in value;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const TARGET = /^[\x21-\x7e]+$/;
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9][0-9]{2})(?: (.*))?$/;
const VERSION = /^HTTP\/(\d)\.(\d)$/;

const bad = (why: string): HeadError => ({ status: 400, why });

/** `text` is the head without its last empty line, decoded as Latin-1. */
export function parseRequestHead(text: string): RequestHead | HeadError {
  const end = text.indexOf('\r\n');
  const line = end < 0 ? text : text.slice(0, end);
  const first = line.indexOf(' ');
  const last = line.lastIndexOf(' ');
  if (first <= 0 || last === first) return bad('the request line is not `method target version`');
  const method = line.slice(0, first);
  const target = line.slice(first + 1, last);
  const version = line.slice(last + 1);
  if (!TOKEN.test(method)) return bad('the method is no token');
  if (!TARGET.test(target)) return bad('a blank or control character in the request target');
  if (version !== 'HTTP/1.1' && version !== 'HTTP/1.0') {
    return VERSION.test(version)
      ? { status: 505, why: 'only HTTP/1.0 and HTTP/1.1 are spoken here' }
      : bad('the version is no HTTP version');
  }
  const fields = parseFields(text, end);
  if ('why' in fields) return fields;
  return { method, target, major: 1, minor: version === 'HTTP/1.1' ? 1 : 0, fields };
}

export function parseResponseHead(text: string): ResponseHead | HeadError {
  const end = text.indexOf('\r\n');
  const match = STATUS_LINE.exec(end < 0 ? text : text.slice(0, end));
  if (match === null) return bad('the status line is malformed');
  const reason = match[3] ?? '';
  const status = Number(match[2]);
  if (!isFitValue(reason)) return bad('a control character in the reason phrase');
  if (status > 599) return bad('the status code is out of range');
  const fields = parseFields(text, end);
  if ('why' in fields) return fields;
  return { status, reason, minor: match[1] === '1' ? 1 : 0, fields };
}

/** Field lines after the first line that ends at `end`; a negative `end` means there are none. */
function parseFields(text: string, end: number): Fields | HeadError {
  const fields: Fields = [];
  let at = end;
  while (at >= 0) {
    const start = at + 2;
    at = text.indexOf('\r\n', start);
    const error = parseField(at < 0 ? text.slice(start) : text.slice(start, at), fields);
    if (error !== undefined) return error;
    if (fields.length > MAX_FIELDS * 2) return { status: 431, why: `more than ${MAX_FIELDS} fields` };
  }
  return fields;
}

/** One field line into `fields`; used for trailers too. */
export function parseField(line: string, fields: Fields): HeadError | undefined {
  const colon = line.indexOf(':');
  if (colon <= 0) return bad('a field line has no name');
  const name = line.slice(0, colon);
  // Also refuses folded lines and blanks before the colon (RFC 9112 sections 5.1 and 5.2).
  if (!TOKEN.test(name)) return bad('a field name is no token');
  const value = line.slice(colon + 1);
  if (!isFitValue(value)) return bad('a control character in a field value');
  fields.push(name.toLowerCase(), trimOws(value));
  return undefined;
}

function trimOws(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && isOws(value.charCodeAt(start))) start++;
  while (end > start && isOws(value.charCodeAt(end - 1))) end--;
  return value.slice(start, end);
}

function isOws(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
