// Operations on field lists (names in lower case and values, alternating), and what a proxy takes out of them.

export type Fields = string[];

const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
const MAX_KNOWN_NAMES = 2000;
const knownNames = new Set<string>();

/** Whether this is a field name in lower case (RFC 9110 section 5.1). The same few names come all the time: those are remembered. */
export function isValidName(name: string): boolean {
  if (knownNames.has(name)) return true;
  if (!NAME.test(name)) return false;
  if (knownNames.size < MAX_KNOWN_NAMES) knownNames.add(name);
  return true;
}

// Visible, blank, tab and obs-text (RFC 9110 section 5.5); no other control character.
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Whether this may be a field's value. Latin-1. */
export function isFitValue(value: string): boolean {
  return VALUE.test(value);
}

/** The first value of a field, or undefined. `name` is lower case. */
export function fieldOf(fields: Fields, name: string): string | undefined {
  for (let i = 0; i < fields.length; i += 2) if (fields[i] === name) return fields[i + 1];
  return undefined;
}

/** Every value of a field, one for each line. */
export function fieldsOf(fields: Fields, name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i < fields.length; i += 2) if (fields[i] === name) values.push(fields[i + 1] ?? '');
  return values;
}

/** Whether a list-valued field holds the token, compared without case. */
export function hasToken(fields: Fields, name: string, token: string): boolean {
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] === name && listOf(fields[i + 1] ?? '').includes(token)) return true;
  }
  return false;
}

/** The protocol that a request asks to switch to, if it is one that passes: WebSocket only (RFC 6455 section 4.2.1). */
export function askedUpgrade(method: string, minor: 0 | 1, fields: Fields): string | undefined {
  if (method !== 'GET' || minor !== 1 || !hasToken(fields, 'connection', 'upgrade')) return undefined;
  const protocols = fieldsOf(fields, 'upgrade');
  return protocols.length === 1 && protocols[0]?.toLowerCase() === 'websocket' ? 'websocket' : undefined;
}

function listOf(value: string): string[] {
  return value.split(',').map((part) => part.trim().toLowerCase());
}

// RFC 9110 section 7.6.1 and RFC 9112 section 9: these speak of one connection only.
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'transfer-encoding',
  'upgrade',
]);
// Fields that a peer must not be able to remove by naming them in `connection`.
const NEVER_NOMINATED = new Set([
  'host',
  'content-length',
  'x-forwarded-client-cert',
  'x-request-id',
  'traceparent',
  'tracestate',
  'authorization',
  'cookie',
]);
/** Fields of ours: only a proxy sets them. */
const OWN_PREFIX = 'x-meshctl-';

/** What is done with a field on its way: kept, dropped, or only named in `connection`. */
const DROPPED = new Set([...HOP_BY_HOP, 'x-forwarded-client-cert', 'x-request-id', 'traceparent', 'host']);

/**
 * A request's fields as they are sent on: `host` first, without those of the connection, those that `connection` names and those
 * that only a proxy may set. The caller adds its own `x-request-id` and `traceparent`; `tracestate` stays when the trace is continued.
 */
export function forwardedFields(fields: Fields, host: string, keepState: boolean): Fields {
  const nominated = nominatedFields(fields);
  const kept: Fields = ['host', host];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    if (DROPPED.has(name) || name.startsWith(OWN_PREFIX) || nominated?.has(name) === true || (name === 'tracestate' && !keepState))
      continue;
    kept.push(name, fields[i + 1] as string);
  }
  return kept;
}

/** An answer's fields as they are passed back, without those of the connection; `border`: the proxy sets `x-request-id` itself. */
export function answeredFields(fields: Fields, border: boolean): Fields {
  const nominated = nominatedFields(fields);
  const kept: Fields = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    if (HOP_BY_HOP.has(name) || name.startsWith(OWN_PREFIX) || nominated?.has(name) === true) continue;
    if (border && name === 'x-request-id') continue;
    kept.push(name, fields[i + 1] as string);
  }
  return kept;
}

function nominatedFields(fields: Fields): Set<string> | undefined {
  let nominated: Set<string> | undefined;
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== 'connection') continue;
    for (const name of listOf(fields[i + 1] as string)) {
      if (NEVER_NOMINATED.has(name)) continue;
      nominated ??= new Set();
      nominated.add(name);
    }
  }
  return nominated;
}

// RFC 9110 section 6.5.1: fields that frame, route, authenticate or say how to read the content mean nothing, or harm, behind it.
const NEVER_TRAILING = new Set([
  ...HOP_BY_HOP,
  ...NEVER_NOMINATED,
  'age',
  'cache-control',
  'content-encoding',
  'content-range',
  'content-type',
  'date',
  'expect',
  'expires',
  'location',
  'max-forwards',
  'range',
  'retry-after',
  'set-cookie',
  'trailer',
  'vary',
  'www-authenticate',
]);

/** The trailers that may be passed on. */
export function safeTrailers(trailers: Fields): Fields {
  const kept: Fields = [];
  for (let i = 0; i < trailers.length; i += 2) {
    const name = trailers[i] ?? '';
    if (!NEVER_TRAILING.has(name) && !name.startsWith(OWN_PREFIX)) kept.push(name, trailers[i + 1] ?? '');
  }
  return kept;
}
