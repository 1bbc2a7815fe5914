// The frames of HTTP/2 (RFC 9113 sections 4 and 6): what they are called, and a push parser. Knows no socket and no stream.
//
//   0        3      4       5        9
//   | length | type | flags | stream | payload …
import type { FrameLayout } from '../../flow/outbox.ts';

export const HEADER_BYTES = 9;
/** What everybody must take (section 4.2); we neither send nor take more. */
export const MAX_FRAME_BYTES = 16 * 1024;
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const;

/** END_STREAM and ACK are the same bit, on different frames. */
export const FLAG = { endStream: 0x01, ack: 0x01, endHeaders: 0x04, padded: 0x08, priority: 0x20 } as const;

export const SETTING = { tableBytes: 1, push: 2, maxStreams: 3, window: 4, maxFrameBytes: 5, maxHeadBytes: 6 } as const;

/** Section 7. */
export const CODE = {
  ok: 0,
  protocol: 1,
  internal: 2,
  flowControl: 3,
  settingsTimeout: 4,
  streamClosed: 5,
  frameSize: 6,
  refusedStream: 7,
  cancel: 8,
  compression: 9,
  calm: 11,
} as const;
export type Code = (typeof CODE)[keyof typeof CODE];

export const LAYOUT: FrameLayout = {
  headerBytes: HEADER_BYTES,
  /** `kind`: type and flags as kindOf() makes it. */
  write(slab, at, kind, stream, length) {
    slab[at] = length >>> 16;
    slab[at + 1] = length >>> 8;
    slab[at + 2] = length;
    slab[at + 3] = kind >>> 8;
    slab[at + 4] = kind;
    slab[at + 5] = stream >>> 24;
    slab[at + 6] = stream >>> 16;
    slab[at + 7] = stream >>> 8;
    slab[at + 8] = stream;
  },
};

export function kindOf(type: number, flags: number): number {
  return (type << 8) | flags;
}

/** Where the events of a connection's bytes go. Any code but `ok` ends the parsing: the connection is over. */
export interface FrameEvents {
  /** A whole frame other than DATA; its payload, its padding taken off, is what `bytes` hold from one offset to another. */
  onFrame(type: number, flags: number, stream: number, bytes: Buffer, from: number, to: number): Code;
  /** A DATA frame begins: `length` counts against the windows at once, `padding` of it is no content. */
  onDataBegin(stream: number, length: number, padding: number): Code;
  /** Part of a DATA frame's content; `end` on its last part, when the stream ends with it. */
  onData(stream: number, bytes: Buffer, end: boolean): Code;
}

const EMPTY = Buffer.alloc(0);

export class FrameReader {
  readonly #events: FrameEvents;
  #held: Buffer = EMPTY;
  /** What is left of the DATA frame whose content is being passed on, and of the padding behind it. */
  #dataLeft = 0;
  #paddingLeft = 0;
  #dataStream = 0;
  #dataEnd = false;

  constructor(events: FrameEvents) {
    this.#events = events;
  }

  /** `ok`, or with what the connection ends; nothing more may be pushed then. */
  push(bytes: Buffer): Code {
    const chunk = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    this.#held = EMPTY;
    const size = chunk.length;
    let at = 0;
    while (at < size) {
      if (this.#dataLeft > 0) {
        const take = Math.min(this.#dataLeft, size - at);
        this.#dataLeft -= take;
        const code = this.#events.onData(this.#dataStream, chunk.subarray(at, at + take), this.#dataEnd && this.#dataLeft === 0);
        if (code !== CODE.ok) return code;
        at += take;
        continue;
      }
      if (this.#paddingLeft > 0) {
        const take = Math.min(this.#paddingLeft, size - at);
        this.#paddingLeft -= take;
        at += take;
        continue;
      }
      if (size - at < HEADER_BYTES) break;
      const length = ((chunk[at] as number) << 16) | ((chunk[at + 1] as number) << 8) | (chunk[at + 2] as number);
      if (length > MAX_FRAME_BYTES) return CODE.frameSize;
      const type = chunk[at + 3] as number;
      const flags = chunk[at + 4] as number;
      const stream = chunk.readUInt32BE(at + 5) & 0x7fff_ffff;
      const from = at + HEADER_BYTES;
      if (type === FRAME.data) {
        const padded = (flags & FLAG.padded) !== 0;
        if (padded && length > 0 && from >= size) break;
        const padding = padded ? 1 + (chunk[from] ?? 0) : 0;
        if (padding > length) return length === 0 ? CODE.frameSize : CODE.protocol;
        const code = this.#beginData(stream, length, padding, (flags & FLAG.endStream) !== 0);
        if (code !== CODE.ok) return code;
        at = padded ? from + 1 : from;
        continue;
      }
      if (size - from < length) break;
      at = from + length;
      const code = this.#frame(type, flags, stream, chunk, from, at);
      if (code !== CODE.ok) return code;
    }
    if (at < size) this.#held = at === 0 ? chunk : chunk.subarray(at);
    return CODE.ok;
  }

  #beginData(stream: number, length: number, padding: number, end: boolean): Code {
    const code = this.#events.onDataBegin(stream, length, padding);
    if (code !== CODE.ok) return code;
    this.#paddingLeft = Math.max(0, padding - 1);
    if (length === padding) return this.#events.onData(stream, EMPTY, end);
    this.#dataLeft = length - padding;
    this.#dataStream = stream;
    this.#dataEnd = end;
    return CODE.ok;
  }

  #frame(type: number, flags: number, stream: number, bytes: Buffer, from: number, to: number): Code {
    if ((type !== FRAME.headers && type !== FRAME.pushPromise) || (flags & FLAG.padded) === 0)
      return this.#events.onFrame(type, flags, stream, bytes, from, to);
    if (from === to) return CODE.frameSize;
    const padding = bytes[from] as number;
    if (padding >= to - from) return CODE.protocol;
    return this.#events.onFrame(type, flags, stream, bytes, from + 1, to - padding);
  }
}
