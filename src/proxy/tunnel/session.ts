// One tunnel: many streams over one mTLS connection between two of our proxies.
//
//   client side   open() ─► OPEN, DATA …                  HEAD, DATA … ◄─ server side: onOpen(stream, opening)
//   both          WINDOW gives back what was consumed; RESET ends one stream; PING finds a dead connection; GOAWAY: no new streams
//
// A stream that nobody reads holds at most its window and stops its own sender only. While the connection takes no more,
// streams wait in a ring and are served one frame each.
// INVARIANT: after a stream was closed nothing is said to its handler.

import type { Socket } from 'node:net';
import type { Fields } from '../codec/fields.ts';
import type { Framing } from '../codec/h1/framing.ts';
import type { ResponseHead } from '../codec/h1/head.ts';
import { MAX_TUNNEL_STREAMS, PING_EVERY_MS } from '../codec/limits.ts';
import { countRead } from '../memory.ts';
import {
  CONNECTION_WINDOW,
  decodeHead,
  decodeOpen,
  decodeTrailers,
  END_FLAG,
  encodeTrailers,
  FRAME,
  FrameReader,
  MAX_DATA_BYTES,
  type Opening,
  STREAM_WINDOW,
} from './frame.ts';
import { Outbox } from './outbox.ts';

/** What a stream tells whoever uses it. */
export interface StreamHandler {
  /** The callee's answer; status below 200 is an interim one. Client side only. */
  onHead(head: ResponseHead, framing: Framing): void;
  onData(bytes: Buffer): void;
  /** The other side has said everything. */
  onEnd(trailers: Fields): void;
  /** The stream is over before its time; `reason` is a word of the other side's, or of this one's (`upstream_reset`). */
  onReset(reason: string): void;
  /** Both sides have ended, and everything that was written is out. */
  onFinished(): void;
  /** There is room again after write() said false. */
  onDrain(): void;
}

export interface SessionEvents {
  /** Server side: a stream that asks for something. Its handler is set before this returns, or it is reset. */
  onOpen(stream: TunnelStream, opening: Opening): void;
  /** The other side takes no new streams any more. */
  onGoaway(): void;
  /** The last stream ended. */
  onIdle(): void;
  onClosed(): void;
}

/** So much that was read is given back to the connection at once. */
const CONNECTION_RETURN_BYTES = 128 * 1024;
/** More than this waiting in the socket, and streams wait for their turn. */
const CLOGGED_BYTES = 256 * 1024;
/** With so few streams, batching would only delay. */
const QUIET_STREAMS = 2;
const MAX_STREAM_ID = 2 ** 31;
/** Frames of one interval that ask for work and carry nothing. */
const MAX_PINGS = 100;
const MAX_RESETS = 20_000;
const REASON = /^[a-z_]{1,32}$/;

export class TunnelSession {
  readonly #socket: Socket;
  readonly #isClient: boolean;
  readonly #events: SessionEvents;
  readonly #streams = new Map<number, TunnelStream>();
  readonly #reader: FrameReader;
  readonly outbox: Outbox;
  #nextId = 1;
  #lastOpened = 0;
  #sendWindow = CONNECTION_WINDOW;
  #receiveWindow = CONNECTION_WINDOW;
  #consumed = 0;
  /** Streams with something to send that wait for room, served in turn. */
  readonly #waiting = new Set<TunnelStream>();
  #closed = false;
  #goingAway = false;
  #pumping = false;
  #heard = true;
  #pinged = false;
  #pings = 0;
  #resets = 0;
  readonly #timer: NodeJS.Timeout;

  constructor(socket: Socket, side: 'client' | 'server', events: SessionEvents) {
    this.#socket = socket;
    this.#isClient = side === 'client';
    this.#events = events;
    this.outbox = new Outbox(
      socket,
      () => this.#pump(),
      () => this.#streams.size <= QUIET_STREAMS,
    );
    this.#reader = new FrameReader({
      onFrame: (type, end, stream, payload) => this.#onFrame(type, end, stream, payload),
      onDataLength: (stream, length) => this.#onDataLength(stream, length),
      onData: (stream, bytes, end) => this.#onData(stream, bytes, end),
    });
    socket.on('data', (bytes: Buffer) => {
      countRead(bytes.length);
      this.#heard = true;
      if (!this.#closed && !this.#reader.push(bytes)) this.close();
    });
    socket.on('drain', () => this.#pump());
    socket.on('error', () => this.close());
    socket.on('end', () => this.close());
    socket.on('close', () => this.close());
    this.#timer = setInterval(() => this.#look(), PING_EVERY_MS);
    this.#timer.unref();
  }

  get size(): number {
    return this.#streams.size;
  }

  get isOpen(): boolean {
    return !this.#closed && !this.#goingAway && !this.#socket.destroyed && this.#socket.writable;
  }

  /** Client side: a stream that begins with this OPEN text; `end` when nothing follows it. */
  open(text: string, end: boolean, handler: StreamHandler | undefined): TunnelStream {
    const id = this.#nextId++;
    if (id >= MAX_STREAM_ID) this.#goingAway = true;
    const stream = new TunnelStream(this, id);
    stream.handler = handler;
    if (this.#closed) {
      // It went since it was chosen: nobody has seen the request.
      queueMicrotask(() => stream.receiveReset('draining'));
      return stream;
    }
    this.#streams.set(id, stream);
    stream.begin(FRAME.open, text, end);
    return stream;
  }

  /** No new streams; the connection ends with its last one. */
  retire(): void {
    if (this.#closed) return;
    if (!this.#goingAway) {
      this.#goingAway = true;
      this.outbox.number(FRAME.goaway, 0, this.#lastOpened);
    }
    if (this.#streams.size === 0) this.#end();
  }

  /** Ends the connection and every stream on it, now. `reason` is what the streams' users hear. */
  close(reason = 'upstream_reset'): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    this.#socket.destroy();
    for (const stream of this.#streams.values()) stream.abandon(reason);
    this.#streams.clear();
    this.#waiting.clear();
    this.#events.onClosed();
  }

  /** How much of `wanted` bytes the connection takes now. */
  grant(wanted: number): number {
    if (this.outbox.waiting > CLOGGED_BYTES) return 0;
    const granted = Math.min(wanted, this.#sendWindow, MAX_DATA_BYTES);
    this.#sendWindow -= granted;
    return granted;
  }

  /** The stream has something to send, and was not granted enough. */
  wait(stream: TunnelStream): void {
    this.#waiting.add(stream);
  }

  /** Bytes that a stream's user has taken: the other side may send as many more. */
  consume(bytes: number): void {
    this.#consumed += bytes;
    // Given back early: what streams that nobody reads hold must not keep the last of the window from the others.
    if (this.#consumed < CONNECTION_RETURN_BYTES || this.#closed) return;
    this.#receiveWindow += this.#consumed;
    this.outbox.number(FRAME.window, 0, this.#consumed);
    this.#consumed = 0;
  }

  /** The stream has ended on both sides, or was reset. */
  forget(stream: TunnelStream): void {
    if (!this.#streams.delete(stream.id)) return;
    this.#waiting.delete(stream);
    if (this.#streams.size > 0) return;
    if (this.#goingAway) this.#end();
    else this.#events.onIdle();
  }

  #end(): void {
    this.outbox.flush();
    this.#socket.end();
    // The other side ends too; what never does is found by the timer.
  }

  #onFrame(type: number, end: boolean, id: number, payload: Buffer): boolean {
    switch (type) {
      case FRAME.open:
        return this.#onOpen(id, end, payload);
      case FRAME.head: {
        if (!this.#isClient) return false;
        const decoded = decodeHead(payload.toString('latin1'));
        if (decoded === undefined) return false;
        this.#streams.get(id)?.receiveHead(decoded.head, decoded.framing, end);
        return true;
      }
      case FRAME.trailers: {
        const trailers = decodeTrailers(payload.toString('latin1'));
        if (trailers === undefined) return false;
        this.#streams.get(id)?.receiveEnd(trailers);
        return true;
      }
      case FRAME.reset: {
        const reason = payload.toString('latin1');
        this.#streams.get(id)?.receiveReset(REASON.test(reason) ? reason : 'upstream_reset');
        return ++this.#resets <= MAX_RESETS;
      }
      case FRAME.window:
        return payload.length === 4 && this.#onWindow(id, payload.readUInt32BE(0));
      case FRAME.ping:
        if (payload.length > 16 || ++this.#pings > MAX_PINGS) return false;
        this.outbox.bytes(FRAME.pong, 0, Buffer.from(payload));
        return true;
      case FRAME.goaway:
        if (payload.length < 4) return false;
        this.#goingAway = true;
        this.#events.onGoaway();
        this.#refuseAfter(payload.readUInt32BE(0));
        if (this.#streams.size === 0) this.#end();
        return true;
      default:
        return true;
    }
  }

  // Streams that the other side never looked at: whoever opened them may try elsewhere.
  #refuseAfter(last: number): void {
    if (!this.#isClient) return;
    for (const stream of [...this.#streams.values()]) if (stream.id > last) stream.receiveReset('draining');
  }

  #onOpen(id: number, end: boolean, payload: Buffer): boolean {
    if (this.#isClient || id <= this.#lastOpened) return false;
    this.#lastOpened = id;
    const stream = new TunnelStream(this, id);
    if (this.#goingAway || this.#streams.size >= MAX_TUNNEL_STREAMS) {
      this.outbox.text(FRAME.reset, id, this.#goingAway ? 'draining' : 'overloaded');
      return true;
    }
    const opening = decodeOpen(payload.toString('latin1'));
    if (opening === undefined) return false;
    this.#streams.set(id, stream);
    this.#events.onOpen(stream, opening);
    if (end) stream.receiveEnd([]);
    return true;
  }

  #onDataLength(id: number, length: number): boolean {
    this.#receiveWindow -= length;
    const stream = this.#streams.get(id);
    return this.#receiveWindow >= 0 && (stream === undefined || stream.expect(length));
  }

  #onData(id: number, bytes: Buffer, end: boolean): boolean {
    const stream = this.#streams.get(id);
    // Bytes of a stream that was reset here meanwhile.
    if (stream === undefined) this.consume(bytes.length);
    else stream.receiveData(bytes, end);
    return !this.#closed;
  }

  #onWindow(id: number, more: number): boolean {
    if (id === 0) {
      this.#sendWindow += more;
      if (this.#sendWindow > CONNECTION_WINDOW * 2) return false;
      this.#pump();
      return true;
    }
    return this.#streams.get(id)?.widen(more) ?? true;
  }

  // One frame each, in turn, for as long as the connection takes them.
  #pump(): void {
    if (this.#pumping || this.#waiting.size === 0) return;
    this.#pumping = true;
    while (this.#waiting.size > 0 && this.#sendWindow > 0 && this.outbox.waiting <= CLOGGED_BYTES && !this.#closed) {
      let sent = false;
      for (const stream of [...this.#waiting]) {
        this.#waiting.delete(stream);
        sent = stream.sendNext() || sent;
      }
      if (!sent) break;
      this.outbox.flush();
    }
    this.#pumping = false;
  }

  #look(): void {
    this.#pings = 0;
    this.#resets = 0;
    if (this.#heard) {
      this.#heard = false;
      this.#pinged = false;
      return;
    }
    if (this.#pinged) return this.close();
    this.#pinged = true;
    this.outbox.number(FRAME.ping, 0, 0);
  }
}

export class TunnelStream {
  readonly id: number;
  handler: StreamHandler | undefined;
  readonly #session: TunnelSession;
  #sendWindow = STREAM_WINDOW;
  #queue: Buffer[] = [];
  #wantsDrain = false;
  /** Trailers that go out when the queue is empty. */
  #ending: Fields | undefined;
  #localEnded = false;
  #remoteEnded = false;
  #closed = false;
  #receiveWindow = STREAM_WINDOW;
  #consumed = 0;
  #paused = false;
  #stopped = false;
  #held: Buffer[] = [];
  #heldEnd: Fields | undefined;

  constructor(session: TunnelSession, id: number) {
    this.#session = session;
    this.id = id;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** OPEN or HEAD; `end` when nothing follows it. */
  begin(type: number, text: string, end: boolean): void {
    if (this.#closed || this.#localEnded) return;
    this.#session.outbox.text(end ? type | END_FLAG : type, this.id, text);
    if (end) this.#endLocal();
  }

  /** False: wait for onDrain. */
  write(bytes: Buffer): boolean {
    if (this.#closed || this.#localEnded || bytes.length === 0) return true;
    if (this.#queue.length > 0) this.#queue.push(bytes);
    else this.#send(bytes, false);
    if (this.#queue.length === 0) return true;
    this.#wantsDrain = true;
    return false;
  }

  /** The last bytes and the end in one. */
  finish(bytes: Buffer): void {
    if (this.#closed || this.#localEnded) return;
    if (this.#queue.length > 0) this.#queue.push(bytes);
    else if (bytes.length <= MAX_DATA_BYTES && bytes.length <= this.#sendWindow && this.#session.grant(bytes.length) === bytes.length) {
      this.#sendWindow -= bytes.length;
      this.#session.outbox.bytes(FRAME.data | END_FLAG, this.id, bytes);
      this.#endLocal();
      return;
    } else this.#send(bytes, false);
    this.end([]);
  }

  end(trailers: Fields): void {
    if (this.#closed || this.#localEnded || this.#ending !== undefined) return;
    this.#ending = trailers;
    if (this.#queue.length === 0) this.#sendEnd();
  }

  /** Gives the stream up; the other side hears the reason, the handler nothing. */
  reset(reason: string): void {
    if (this.#closed) return;
    this.#session.outbox.text(FRAME.reset, this.id, reason);
    this.#close();
  }

  /** Nothing more is wanted from the other side: it is taken and forgotten, so that what goes out may still end properly. */
  stop(): void {
    this.#stopped = true;
    this.resume();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    while (this.#held.length > 0 && !this.#paused && !this.#closed) this.#deliver(this.#held.shift() as Buffer);
    if (this.#paused || this.#held.length > 0 || this.#heldEnd === undefined) return;
    const trailers = this.#heldEnd;
    this.#heldEnd = undefined;
    this.#endRemote(trailers);
  }

  /** Counts a frame that begins against the window. False: the other side sends more than it may. */
  expect(length: number): boolean {
    this.#receiveWindow -= length;
    return this.#receiveWindow >= 0 && !this.#remoteEnded;
  }

  receiveHead(head: ResponseHead, framing: Framing, end: boolean): void {
    this.handler?.onHead(head, framing);
    if (end) this.receiveEnd([]);
  }

  receiveData(bytes: Buffer, end: boolean): void {
    if (this.#paused) this.#held.push(bytes);
    else if (bytes.length > 0) this.#deliver(bytes);
    if (end) this.receiveEnd([]);
  }

  receiveEnd(trailers: Fields): void {
    if (this.#closed || this.#remoteEnded) return;
    this.#remoteEnded = true;
    if (this.#held.length > 0 || this.#paused) this.#heldEnd = trailers;
    else this.#endRemote(trailers);
  }

  receiveReset(reason: string): void {
    if (this.#closed) return;
    const { handler } = this;
    this.#close();
    handler?.onReset(reason);
  }

  /** The connection is gone. */
  abandon(reason: string): void {
    this.#closed = true;
    this.#queue = [];
    this.#held = [];
    this.handler?.onReset(reason);
  }

  /** False: more than a window can be. */
  widen(more: number): boolean {
    this.#sendWindow += more;
    if (this.#sendWindow > STREAM_WINDOW * 2) return false;
    if (this.#queue.length > 0) this.#sendQueue();
    return true;
  }

  /** One frame of what waits. False when nothing could be sent. */
  sendNext(): boolean {
    const bytes = this.#queue.shift();
    if (bytes === undefined) return false;
    const before = this.#sendWindow;
    this.#send(bytes, true);
    if (this.#queue.length > 0) {
      if (this.#sendWindow > 0) this.#session.wait(this);
    } else this.#emptied();
    return this.#sendWindow < before;
  }

  #sendQueue(): void {
    while (this.#queue.length > 0) {
      const before = this.#sendWindow;
      this.#send(this.#queue.shift() as Buffer, true);
      if (this.#sendWindow === before) return;
    }
    this.#emptied();
  }

  #emptied(): void {
    if (this.#ending !== undefined) this.#sendEnd();
    if (!this.#wantsDrain || this.#closed) return;
    this.#wantsDrain = false;
    this.handler?.onDrain();
  }

  // As much as windows and connection allow; the rest goes (back) to the front of the queue.
  #send(bytes: Buffer, one: boolean): void {
    let rest = bytes;
    for (;;) {
      const granted = this.#sendWindow > 0 ? this.#session.grant(Math.min(rest.length, this.#sendWindow)) : 0;
      if (granted === 0) break;
      this.#sendWindow -= granted;
      const whole = granted === rest.length;
      this.#session.outbox.bytes(FRAME.data, this.id, whole ? rest : rest.subarray(0, granted));
      if (whole) return;
      rest = rest.subarray(granted);
      if (one) break;
    }
    this.#queue.unshift(rest);
    if (this.#sendWindow > 0) this.#session.wait(this);
  }

  #sendEnd(): void {
    this.#session.outbox.text(FRAME.trailers | END_FLAG, this.id, encodeTrailers(this.#ending ?? []));
    this.#endLocal();
  }

  #endLocal(): void {
    this.#localEnded = true;
    if (this.#remoteEnded && this.#heldEnd === undefined) this.#finish();
  }

  #endRemote(trailers: Fields): void {
    this.handler?.onEnd(trailers);
    if (this.#localEnded) this.#finish();
  }

  #finish(): void {
    if (this.#closed) return;
    this.#close();
    this.handler?.onFinished();
  }

  #deliver(bytes: Buffer): void {
    if (!this.#stopped) this.handler?.onData(bytes);
    this.#session.consume(bytes.length);
    this.#consumed += bytes.length;
    if (this.#consumed < STREAM_WINDOW / 2 || this.#closed || this.#remoteEnded) return;
    this.#receiveWindow += this.#consumed;
    this.#session.outbox.number(FRAME.window, this.id, this.#consumed);
    this.#consumed = 0;
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue = [];
    for (const bytes of this.#held) this.#session.consume(bytes.length);
    this.#held = [];
    this.#session.forget(this);
  }
}
