// The frames of a tunnel (ALPN `meshctl/1`): what they are called, how a head is written in them, and a push parser.
// The table with test vectors is docs/tunnel.md. Knows no socket and no stream.
//
//   0        3      4        8
//   | length | type | stream | payload …      length: of the payload; bit 7 of type: the sender's side of the stream ends here
//
// INVARIANT: the other end is authenticated, not trusted: everything that it says is checked as a client's bytes would be.
import { type Fields, isValidName } from '../codec/fields.ts';
import type { Framing } from '../codec/h1/framing.ts';
import type { RequestHead, ResponseHead } from '../codec/h1/head.ts';
import { MAX_FIELDS, MAX_HEAD_BYTES } from '../codec/limits.ts';
import type { FrameLayout } from '../flow/outbox.ts';

export const ALPN = 'meshctl/1';
export const HEADER_BYTES = 8;
/** With its header just one TLS record of 16 KiB. */
export const MAX_DATA_BYTES = 16 * 1024 - HEADER_BYTES;
/** What either side may send before the other has given more: for one stream, and for all of a connection. */
export const STREAM_WINDOW = 1024 * 1024;
export const CONNECTION_WINDOW = 64 * 1024 * 1024;

export const FRAME = { data: 0, open: 1, head: 2, trailers: 3, reset: 4, window: 5, ping: 6, pong: 7, goaway: 8 } as const;
export const END_FLAG = 0x80;

export const LAYOUT: FrameLayout = {
  headerBytes: HEADER_BYTES,
  write(slab, at, kind, stream, length) {
    slab[at] = length >>> 16;
    slab[at + 1] = length >>> 8;
    slab[at + 2] = length;
    slab[at + 3] = kind;
    slab[at + 4] = stream >>> 24;
    slab[at + 5] = stream >>> 16;
    slab[at + 6] = stream >>> 8;
    slab[at + 7] = stream;
  },
};

/** What an OPEN frame asks for: an HTTP exchange, or a raw TCP connection. */
export type Opening =
  | { readonly kind: 'http'; readonly head: RequestHead; readonly framing: Framing; readonly upgrade: string | undefined }
  | { readonly kind: 'tcp' };

const NONE: Framing = { kind: 'none' };
const CHUNKED: Framing = { kind: 'chunked' };

export const OPEN_TCP = 'tcp';

/** The text of an OPEN frame: protocol, framing, upgrade, method, target, then names and values, one a line. Latin-1. */
export function encodeOpen(
  version: string,
  framing: Framing,
  upgrade: string | undefined,
  method: string,
  target: string,
  fields: Fields,
): string {
  const head = `${version}\n${encodeFraming(framing)}\n${upgrade ?? ''}\n${method}\n${target}`;
  return fields.length === 0 ? head : `${head}\n${fields.join('\n')}`;
}

/** The text of a HEAD frame: status, framing, reason, then names and values. */
export function encodeHead(status: number, framing: Framing, reason: string, fields: Fields): string {
  const head = `${status}\n${encodeFraming(framing)}\n${reason}`;
  return fields.length === 0 ? head : `${head}\n${fields.join('\n')}`;
}

export function encodeTrailers(fields: Fields): string {
  return fields.join('\n');
}

function encodeFraming(framing: Framing): string {
  return framing.kind === 'none' ? '-' : framing.kind === 'length' ? String(framing.length) : '*';
}

function decodeFraming(text: string): Framing | undefined {
  if (text === '-') return NONE;
  if (text === '*') return CHUNKED;
  return LENGTH.test(text) ? { kind: 'length', length: Number(text) } : undefined;
}

const LENGTH = /^[0-9]{1,15}$/;
// A control character, or a value that begins or ends with a blank.
const UNFIT = /[^\t\n\x20-\x7e\x80-\xff]|[\t ]\n|\n[\t ]|[\t ]$/;
const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const TARGET = /^[\x21-\x7e]+$/;
const STATUS = /^[1-5][0-9]{2}$/;
const TOKEN = /^[a-z0-9.-]{0,32}$/;

/** Undefined for one that no proxy of ours would have sent. */
export function decodeOpen(text: string): Opening | undefined {
  if (text === OPEN_TCP) return { kind: 'tcp' };
  if (UNFIT.test(text)) return undefined;
  const lines = text.split('\n');
  const [version, framingText, upgrade = '', method, target] = lines;
  if (method === undefined || target === undefined || !METHOD.test(method) || !TARGET.test(target) || !TOKEN.test(upgrade))
    return undefined;
  if (version !== '1.0' && version !== '1.1' && version !== '2') return undefined;
  const framing = decodeFraming(framingText ?? '');
  const fields = fieldsFrom(lines, 5);
  if (framing === undefined || fields === undefined || !agrees(fields, framing, false)) return undefined;
  const minor = version === '1.0' ? 0 : 1;
  return {
    kind: 'http',
    head: { method, target, minor, major: version === '2' ? 2 : 1, fields },
    framing,
    upgrade: upgrade === '' ? undefined : upgrade,
  };
}

export function decodeHead(text: string): { readonly head: ResponseHead; readonly framing: Framing } | undefined {
  if (UNFIT.test(text)) return undefined;
  const lines = text.split('\n');
  const [status = '', framingText = '', reason] = lines;
  const framing = decodeFraming(framingText);
  if (!STATUS.test(status) || framing === undefined || reason === undefined) return undefined;
  const fields = fieldsFrom(lines, 3);
  if (fields === undefined || !agrees(fields, framing, true)) return undefined;
  return { head: { status: Number(status), reason, minor: 1, fields }, framing };
}

// What frames the body here and what an HTTP/1.1 reader behind would go by are the same, or the frame is malformed.
// An answer without a body may still say how long it would be (HEAD, 304).
function agrees(fields: Fields, framing: Framing, isAnswer: boolean): boolean {
  let length: string | undefined;
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] === 'transfer-encoding') return false;
    if (fields[i] !== 'content-length') continue;
    if (length !== undefined || !LENGTH.test(fields[i + 1] as string)) return false;
    length = fields[i + 1] as string;
  }
  if (length === undefined) return framing.kind !== 'length';
  if (framing.kind === 'length') return Number(length) === framing.length;
  return framing.kind === 'none' && (isAnswer || Number(length) === 0);
}

export function decodeTrailers(text: string): Fields | undefined {
  if (text === '') return [];
  return UNFIT.test(text) ? undefined : fieldsFrom(text.split('\n'), 0);
}

function fieldsFrom(lines: string[], at: number): Fields | undefined {
  const count = lines.length - at;
  if ((count & 1) !== 0 || count > MAX_FIELDS * 2 + EXTRA_FIELDS * 2) return undefined;
  const fields = at === 0 ? lines : lines.slice(at);
  for (let i = 0; i < fields.length; i += 2) if (!isValidName(fields[i] as string)) return undefined;
  return fields;
}

/** What proxies add to a head that was as long as a client's may be. */
const EXTRA_FIELDS = 10;
const MAX_PAYLOAD_BYTES = MAX_HEAD_BYTES + 4096;

/** Where the events of a connection's bytes go. A false answer ends the parsing: the connection is over. */
export interface FrameEvents {
  /** A whole frame other than DATA; its payload is what `bytes` hold from one offset to another. */
  onFrame(type: number, end: boolean, stream: number, bytes: Buffer, from: number, to: number): boolean;
  /** Part of a DATA frame's payload; `end` on its last part, when the frame has the flag. */
  onData(stream: number, bytes: Buffer, end: boolean): boolean;
  /** A DATA frame begins: its whole payload counts against the windows at once. */
  onDataLength(stream: number, length: number): boolean;
}

const EMPTY = Buffer.alloc(0);

export class FrameReader {
  readonly #events: FrameEvents;
  #held: Buffer = EMPTY;
  /** What is left of the DATA frame whose payload is being passed on. */
  #dataLeft = 0;
  #dataStream = 0;
  #dataEnd = false;

  constructor(events: FrameEvents) {
    this.#events = events;
  }

  /** False: the bytes are no frames, or an event said so; nothing more may be pushed. */
  push(bytes: Buffer): boolean {
    const chunk = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    this.#held = EMPTY;
    const size = chunk.length;
    let at = 0;
    while (at < size) {
      if (this.#dataLeft > 0) {
        const take = Math.min(this.#dataLeft, size - at);
        this.#dataLeft -= take;
        if (!this.#events.onData(this.#dataStream, chunk.subarray(at, at + take), this.#dataEnd && this.#dataLeft === 0)) return false;
        at += take;
        continue;
      }
      if (size - at < HEADER_BYTES) break;
      const length = ((chunk[at] as number) << 16) | ((chunk[at + 1] as number) << 8) | (chunk[at + 2] as number);
      const flags = chunk[at + 3] as number;
      const type = flags & 0x7f;
      const stream = chunk.readUInt32BE(at + 4);
      const end = (flags & END_FLAG) !== 0;
      if (type === FRAME.data) {
        if (length > MAX_DATA_BYTES || !this.#events.onDataLength(stream, length)) return false;
        at += HEADER_BYTES;
        if (length === 0) {
          if (!this.#events.onData(stream, EMPTY, end)) return false;
          continue;
        }
        this.#dataLeft = length;
        this.#dataStream = stream;
        this.#dataEnd = end;
        continue;
      }
      if (length > MAX_PAYLOAD_BYTES) return false;
      if (size - at - HEADER_BYTES < length) break;
      const from = at + HEADER_BYTES;
      at = from + length;
      if (!this.#events.onFrame(type, end, stream, chunk, from, at)) return false;
    }
    if (at < size) this.#held = at === 0 ? chunk : chunk.subarray(at);
    return true;
  }
}
