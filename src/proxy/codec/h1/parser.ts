// A push parser for one direction of an HTTP/1.1 connection: bytes in, events out, no socket.
//
//   state   head ─► (length | chunk head ─► chunk data ─► chunk end)* ─► trailers ─► done ─► next() ─► head
//                └► until-close (answers only, ended by finish())
//
// After a whole message the parser keeps what follows until next() is called: one exchange at a time (pipelining waits).
// INVARIANT: after onError no other event comes.
import type { Fields } from '../fields.ts';
import { MAX_CHUNK_HEAD_BYTES, MAX_HEAD_BYTES, MAX_TRAILER_BYTES } from '../limits.ts';
import { type Framing, frameRequest, frameResponse } from './framing.ts';
import {
  type HeadError,
  isHeadError,
  parseField,
  parseRequestHead,
  parseResponseHead,
  type RequestHead,
  type ResponseHead,
} from './head.ts';

export interface MessageEvents<Head> {
  onHead(head: Head, framing: Framing): void;
  onData(bytes: Buffer): void;
  onEnd(trailers: Fields): void;
  onError(error: HeadError): void;
}

const STATE = { head: 0, length: 1, chunkHead: 2, chunkData: 3, chunkEnd: 4, trailers: 5, untilClose: 6, done: 7, failed: 8 } as const;
type State = (typeof STATE)[keyof typeof STATE];

const HEAD_END = Buffer.from('\r\n\r\n');
const CRLF = Buffer.from('\r\n');
const EMPTY = Buffer.alloc(0);
const CHUNK_HEAD = /^([0-9A-Fa-f]{1,13})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?$/;

abstract class Parser<Head> {
  protected readonly events: MessageEvents<Head>;
  #state: State = STATE.head;
  #buffer: Buffer = EMPTY;
  #remaining = 0;
  #trailers: Fields = [];
  #trailerBytes = 0;
  #atStart = true;
  #running = false;

  constructor(events: MessageEvents<Head>) {
    this.events = events;
  }

  /** True between messages: nothing of the next one has come. */
  get isIdle(): boolean {
    return this.#state === STATE.head && this.#buffer.length === 0;
  }

  /** True when the parser waits for a head, whether or not part of it has come. */
  get awaitsHead(): boolean {
    return this.#state === STATE.head;
  }

  /** Bytes of the next message that wait for next(). */
  get heldBytes(): number {
    return this.#state === STATE.done ? this.#buffer.length : 0;
  }

  /** Bytes that came after the message, for whoever takes over the connection (CONNECT). */
  takeRest(): Buffer {
    const rest = this.#buffer;
    this.#buffer = EMPTY;
    return rest;
  }

  push(bytes: Buffer): void {
    if (this.#state === STATE.failed) return;
    this.#buffer = this.#buffer.length === 0 ? bytes : Buffer.concat([this.#buffer, bytes]);
    this.#run();
  }

  /** The message is dealt with: what was kept is parsed as the next one. */
  next(): void {
    if (this.#state !== STATE.done) return;
    this.#state = STATE.head;
    this.#atStart = true;
    this.#run();
  }

  /** The stream ended. Ends a body that lasts until close; in any other state inside a message it is an error. */
  finish(): void {
    if (this.#state === STATE.untilClose) {
      this.#state = STATE.done;
      this.events.onEnd([]);
      return;
    }
    if (this.#state === STATE.done || this.#state === STATE.failed || this.isIdle) return;
    this.#fail({ status: 400, why: 'the connection ended inside a message' });
  }

  protected abstract parseHead(text: string): Head | HeadError;
  protected abstract frame(head: Head): Framing | HeadError;
  /** An interim answer (1xx): after it comes another head. */
  protected abstract isInterim(head: Head): boolean;

  // Events may call push() or next() on this parser again; the loop that is running goes on with what they left.
  #run(): void {
    if (this.#running) return;
    this.#running = true;
    while (this.#step());
    this.#running = false;
  }

  #step(): boolean {
    switch (this.#state) {
      case STATE.head:
        return this.#readHead();
      case STATE.length:
      case STATE.chunkData:
        return this.#readCounted();
      case STATE.chunkHead:
        return this.#readChunkHead();
      case STATE.chunkEnd:
        return this.#readChunkEnd();
      case STATE.trailers:
        return this.#readTrailers();
      case STATE.untilClose: {
        if (this.#buffer.length === 0) return false;
        const bytes = this.#buffer;
        this.#buffer = EMPTY;
        this.events.onData(bytes);
        return false;
      }
      default:
        return false;
    }
  }

  #readHead(): boolean {
    // One empty line before a request is tolerated (RFC 9112 section 2.2).
    if (this.#atStart && this.#buffer.length >= 2 && this.#buffer[0] === 0x0d && this.#buffer[1] === 0x0a) {
      this.#buffer = this.#buffer.subarray(2);
      this.#atStart = false;
    }
    if (this.#buffer.length === 0) return false;
    const end = this.#buffer.indexOf(HEAD_END);
    if (end < 0 && hasBareLineFeed(this.#buffer)) return this.#fail({ status: 400, why: 'a line that ends without a carriage return' });
    if (end < 0 || end > MAX_HEAD_BYTES) {
      if (this.#buffer.length > MAX_HEAD_BYTES) this.#fail({ status: 431, why: `a head of more than ${MAX_HEAD_BYTES} bytes` });
      return false;
    }
    const text = this.#buffer.toString('latin1', 0, end);
    this.#buffer = this.#buffer.subarray(end + 4);
    const head = this.parseHead(text);
    if (isHeadError(head as object)) return this.#fail(head as HeadError);
    const framing = this.frame(head as Head);
    if (isHeadError(framing)) return this.#fail(framing);
    if (this.isInterim(head as Head)) {
      this.events.onHead(head as Head, framing);
      return true;
    }
    this.#trailers = [];
    this.#trailerBytes = 0;
    if (framing.kind === 'length') this.#remaining = framing.length;
    const empty = framing.kind === 'none' || (framing.kind === 'length' && framing.length === 0);
    this.#state = empty
      ? STATE.done
      : framing.kind === 'length'
        ? STATE.length
        : framing.kind === 'chunked'
          ? STATE.chunkHead
          : STATE.untilClose;
    this.events.onHead(head as Head, framing);
    if (empty) this.events.onEnd([]);
    return true;
  }

  #readCounted(): boolean {
    if (this.#buffer.length === 0) return false;
    const bytes = this.#buffer.length <= this.#remaining ? this.#buffer : this.#buffer.subarray(0, this.#remaining);
    this.#buffer = this.#buffer.subarray(bytes.length);
    this.#remaining -= bytes.length;
    const whole = this.#remaining === 0;
    const counted = this.#state === STATE.length;
    if (whole) this.#state = counted ? STATE.done : STATE.chunkEnd;
    this.events.onData(bytes);
    if (whole && counted) this.events.onEnd([]);
    return true;
  }

  #readChunkHead(): boolean {
    const end = this.#buffer.indexOf(CRLF);
    if (end < 0 || end > MAX_CHUNK_HEAD_BYTES) {
      if (this.#buffer.length > MAX_CHUNK_HEAD_BYTES) this.#fail({ status: 400, why: 'a chunk head that is too long' });
      return false;
    }
    const match = CHUNK_HEAD.exec(this.#buffer.toString('latin1', 0, end));
    if (match === null) return this.#fail({ status: 400, why: 'a malformed chunk head' });
    this.#buffer = this.#buffer.subarray(end + 2);
    this.#remaining = Number.parseInt(match[1] ?? '', 16);
    this.#state = this.#remaining === 0 ? STATE.trailers : STATE.chunkData;
    return true;
  }

  #readChunkEnd(): boolean {
    if (this.#buffer.length < 2) return false;
    if (this.#buffer[0] !== 0x0d || this.#buffer[1] !== 0x0a) return this.#fail({ status: 400, why: 'chunk data longer than its size' });
    this.#buffer = this.#buffer.subarray(2);
    this.#state = STATE.chunkHead;
    return true;
  }

  #readTrailers(): boolean {
    const end = this.#buffer.indexOf(CRLF);
    this.#trailerBytes = Math.max(this.#trailerBytes, end < 0 ? this.#buffer.length : 0);
    if (end < 0) {
      if (this.#buffer.length > MAX_TRAILER_BYTES) this.#fail({ status: 431, why: 'trailers that are too long' });
      return false;
    }
    const line = this.#buffer.toString('latin1', 0, end);
    this.#buffer = this.#buffer.subarray(end + 2);
    if (line === '') {
      this.#state = STATE.done;
      this.events.onEnd(this.#trailers);
      return true;
    }
    this.#trailerBytes += line.length;
    const error = parseField(line, this.#trailers);
    if (error !== undefined) return this.#fail(error);
    if (this.#trailerBytes > MAX_TRAILER_BYTES) return this.#fail({ status: 431, why: 'trailers that are too long' });
    return true;
  }

  #fail(error: HeadError): false {
    this.#state = STATE.failed;
    this.#buffer = EMPTY;
    this.events.onError(error);
    return false;
  }
}

// Such a head would never be whole; saying so at once beats waiting for its time to run out.
function hasBareLineFeed(bytes: Buffer): boolean {
  for (let at = bytes.indexOf(0x0a); at >= 0; at = bytes.indexOf(0x0a, at + 1)) if (bytes[at - 1] !== 0x0d) return true;
  return false;
}

export class RequestParser extends Parser<RequestHead> {
  protected override parseHead(text: string): RequestHead | HeadError {
    return parseRequestHead(text);
  }
  protected override frame(head: RequestHead): Framing | HeadError {
    return frameRequest(head);
  }
  protected override isInterim(): boolean {
    return false;
  }
}

export class ResponseParser extends Parser<ResponseHead> {
  #method = 'GET';

  /** Each answer is framed by the method of its request. */
  expect(method: string): void {
    this.#method = method;
  }
  protected override parseHead(text: string): ResponseHead | HeadError {
    return parseResponseHead(text);
  }
  protected override frame(head: ResponseHead): Framing | HeadError {
    return frameResponse(head, this.#method);
  }
  // 101 would end HTTP on this connection; nobody asked for it, so it is not an interim answer (see upstream/h1.ts).
  protected override isInterim(head: ResponseHead): boolean {
    return head.status >= 100 && head.status < 200 && head.status !== 101;
  }
}
