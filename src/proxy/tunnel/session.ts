// One tunnel: many streams over one mTLS connection between two of our proxies.
//
//   client side   open() ─► OPEN, DATA …                  HEAD, DATA … ◄─ server side: onOpen(stream, opening)
//   both          WINDOW gives back what was consumed; RESET ends one stream; PING finds a dead connection; GOAWAY: no new streams
import type { Socket } from 'node:net';
import type { Fields } from '../codec/fields.ts';
import { MAX_TUNNEL_STREAMS } from '../codec/limits.ts';
import { FlowSession } from '../flow/session.ts';
import { FlowStream, type StreamHandler, type Windows } from '../flow/stream.ts';
import {
  CONNECTION_WINDOW,
  decodeHead,
  decodeOpen,
  decodeTrailers,
  END_FLAG,
  encodeTrailers,
  FRAME,
  FrameReader,
  LAYOUT,
  MAX_DATA_BYTES,
  type Opening,
  STREAM_WINDOW,
} from './frame.ts';

export interface SessionEvents {
  /** Server side: a stream that asks for something. Its handler is set before this returns, or it is reset. */
  onOpen(stream: TunnelStream, opening: Opening): void;
  /** The other side takes no new streams any more. */
  onGoaway(): void;
  /** The last stream ended. */
  onIdle(): void;
  onClosed(): void;
}

const MAX_STREAM_ID = 2 ** 31;
/** Frames of one interval that ask for work and carry nothing. */
const MAX_PINGS = 100;
const MAX_RESETS = 20_000;
const REASON = /^[a-z_]{1,32}$/;
const WINDOWS: Windows = { send: STREAM_WINDOW, receive: STREAM_WINDOW, sendLimit: STREAM_WINDOW * 2 };
const LIMITS = {
  layout: LAYOUT,
  sendWindow: CONNECTION_WINDOW,
  receiveWindow: CONNECTION_WINDOW,
  sendLimit: CONNECTION_WINDOW * 2,
  maxDataBytes: MAX_DATA_BYTES,
};

export class TunnelSession extends FlowSession<TunnelStream> {
  readonly #isClient: boolean;
  readonly #events: SessionEvents;
  readonly #reader: FrameReader;
  #nextId = 1;
  #lastOpened = 0;
  #pings = 0;
  #resets = 0;

  constructor(socket: Socket, side: 'client' | 'server', events: SessionEvents) {
    super(socket, LIMITS);
    this.#isClient = side === 'client';
    this.#events = events;
    this.#reader = new FrameReader({
      onFrame: (type, end, stream, bytes, from, to) => this.#onFrame(type, end, stream, bytes, from, to),
      onDataLength: (stream, length) => this.#onDataLength(stream, length),
      onData: (stream, bytes, end) => this.#onData(stream, bytes, end),
    });
  }

  /** Client side: a stream that begins with this OPEN text; `end` when nothing follows it. */
  open(text: string, end: boolean, handler: StreamHandler | undefined): TunnelStream {
    const id = this.#nextId++;
    if (id >= MAX_STREAM_ID) this.goingAway = true;
    const stream = new TunnelStream(this, id);
    stream.handler = handler;
    if (this.isClosed) {
      // It went since it was chosen: nobody has seen the request.
      queueMicrotask(() => stream.receiveReset('draining'));
      return stream;
    }
    this.streams.add(stream);
    stream.begin(FRAME.open, text, end);
    return stream;
  }

  /** No new streams; the connection ends with its last one. */
  retire(): void {
    if (this.isClosed) return;
    if (!this.goingAway) {
      this.goingAway = true;
      this.outbox.number(FRAME.goaway, 0, this.#lastOpened);
    }
    if (this.size === 0) this.end();
  }

  protected receive(bytes: Buffer): void {
    if (!this.#reader.push(bytes)) this.close();
  }

  protected onInterval(): void {
    this.#pings = 0;
    this.#resets = 0;
  }

  protected sendPing(): boolean {
    this.outbox.number(FRAME.ping, 0, 0);
    return true;
  }

  protected onEmpty(): void {
    this.#events.onIdle();
  }

  protected onGone(): void {
    this.#events.onClosed();
  }

  sendData(stream: number, bytes: Buffer, end: boolean): void {
    this.outbox.bytes(end ? FRAME.data | END_FLAG : FRAME.data, stream, bytes);
  }

  sendTrailers(stream: number, trailers: Fields): void {
    this.outbox.text(FRAME.trailers | END_FLAG, stream, encodeTrailers(trailers));
  }

  sendReset(stream: number, reason: string): void {
    this.outbox.text(FRAME.reset, stream, reason);
  }

  sendWindow(stream: number, more: number): void {
    this.outbox.number(FRAME.window, stream, more);
  }

  #onFrame(type: number, end: boolean, id: number, bytes: Buffer, from: number, to: number): boolean {
    switch (type) {
      case FRAME.open:
        return this.#onOpen(id, end, bytes.toString('latin1', from, to));
      case FRAME.head: {
        if (!this.#isClient) return false;
        const decoded = decodeHead(bytes.toString('latin1', from, to));
        if (decoded === undefined) return false;
        this.streams.get(id)?.receiveHead(decoded.head, decoded.framing, end);
        return true;
      }
      case FRAME.trailers: {
        const trailers = decodeTrailers(bytes.toString('latin1', from, to));
        if (trailers === undefined) return false;
        this.streams.get(id)?.receiveEnd(trailers);
        return true;
      }
      case FRAME.reset: {
        const reason = bytes.toString('latin1', from, to);
        this.streams.get(id)?.receiveReset(REASON.test(reason) ? reason : 'upstream_reset');
        return ++this.#resets <= MAX_RESETS;
      }
      case FRAME.window:
        return to - from === 4 && this.#onWindow(id, bytes.readUInt32BE(from));
      case FRAME.ping:
        if (to - from > 16 || ++this.#pings > MAX_PINGS) return false;
        this.outbox.bytes(FRAME.pong, 0, bytes.subarray(from, to));
        return true;
      case FRAME.goaway:
        if (to - from < 4) return false;
        this.goingAway = true;
        this.#events.onGoaway();
        this.#refuseAfter(bytes.readUInt32BE(from));
        if (this.streams.size === 0) this.end();
        return true;
      default:
        return true;
    }
  }

  // Streams that the other side never looked at: whoever opened them may try elsewhere.
  #refuseAfter(last: number): void {
    if (!this.#isClient) return;
    for (const stream of this.streams.all()) if (stream.id > last) stream.receiveReset('draining');
  }

  #onOpen(id: number, end: boolean, text: string): boolean {
    if (this.#isClient || id <= this.#lastOpened) return false;
    this.#lastOpened = id;
    const stream = new TunnelStream(this, id);
    if (this.goingAway || this.streams.size >= MAX_TUNNEL_STREAMS) {
      this.outbox.text(FRAME.reset, id, this.goingAway ? 'draining' : 'overloaded');
      return true;
    }
    const opening = decodeOpen(text);
    if (opening === undefined) return false;
    this.streams.add(stream);
    this.#events.onOpen(stream, opening);
    if (end) stream.receiveEnd([]);
    return true;
  }

  #onDataLength(id: number, length: number): boolean {
    const stream = this.streams.get(id);
    return this.expect(length) && (stream === undefined || stream.expect(length));
  }

  #onData(id: number, bytes: Buffer, end: boolean): boolean {
    const stream = this.streams.get(id);
    // Bytes of a stream that was reset here meanwhile.
    if (stream === undefined) this.consume(bytes.length);
    else stream.receiveData(bytes, end);
    return !this.isClosed;
  }

  #onWindow(id: number, more: number): boolean {
    if (id === 0) return this.widen(more);
    return this.streams.get(id)?.widen(more) ?? true;
  }
}

export class TunnelStream extends FlowStream {
  readonly #session: TunnelSession;

  constructor(session: TunnelSession, id: number) {
    super(session, id, WINDOWS);
    this.#session = session;
  }

  /** OPEN or HEAD; `end` when nothing follows it. */
  begin(type: number, text: string, end: boolean): void {
    if (!this.isSending) return;
    this.#session.outbox.text(end ? type | END_FLAG : type, this.id, text);
    if (end) this.endWithHead();
  }
}
