// One of many streams over one connection, with flow control: a request and its answer, or a raw TCP connection.
// What HTTP/2 and the tunnel have in common; how a frame is written is the session's business (flow/session.ts).
//
// A stream that nobody reads holds at most its window and stops its own sender only.
// INVARIANT: after a stream was closed nothing is said to its handler.
import type { Fields } from '../codec/fields.ts';
import type { Framing } from '../codec/h1/framing.ts';
import type { ResponseHead } from '../codec/h1/head.ts';

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

/** What a stream asks of its connection. */
export interface StreamOwner {
  /** How much of `wanted` bytes the connection takes now: at most one frame. */
  grant(wanted: number): number;
  /** The stream has something to send, and was not granted enough. */
  wait(stream: FlowStream): void;
  /** Bytes that a stream's user has taken: the other side may send as many more. */
  consume(bytes: number): void;
  /** The stream has ended on both sides, or was reset. */
  forget(stream: FlowStream): void;
  sendData(stream: number, bytes: Buffer, end: boolean): void;
  /** Ends this side of the stream. */
  sendTrailers(stream: number, trailers: Fields): void;
  sendReset(stream: number, reason: string): void;
  sendWindow(stream: number, more: number): void;
}

/** Bytes that either side may send on a stream before the other has given more. */
export interface Windows {
  readonly send: number;
  readonly receive: number;
  /** More than this given by the other side is a fault. */
  readonly sendLimit: number;
}

/** Most streams never queue anything: an array is made when one does. Never written to. */
const NONE: Buffer[] = [];

export class FlowStream {
  readonly id: number;
  handler: StreamHandler | undefined;
  readonly #session: StreamOwner;
  readonly #windows: Windows;
  #sendWindow: number;
  #queue: Buffer[] = NONE;
  #wantsDrain = false;
  /** Trailers that go out when the queue is empty. */
  #ending: Fields | undefined;
  #localEnded = false;
  #remoteEnded = false;
  #closed = false;
  #receiveWindow: number;
  #consumed = 0;
  #paused = false;
  #stopped = false;
  #held: Buffer[] = NONE;
  #heldEnd: Fields | undefined;

  constructor(session: StreamOwner, id: number, windows: Windows) {
    this.#session = session;
    this.id = id;
    this.#windows = windows;
    this.#sendWindow = windows.send;
    this.#receiveWindow = windows.receive;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Whether this side may still send. */
  get isSending(): boolean {
    return !this.#closed && !this.#localEnded;
  }

  /** Whether the other side has said that it is done. */
  get isReceived(): boolean {
    return this.#remoteEnded;
  }

  /** A head went out with which this side of the stream ends. */
  endWithHead(): void {
    this.#endLocal();
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
    else this.#send(bytes, false, true);
    if (this.#localEnded) return;
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
    this.#session.sendReset(this.id, reason);
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

  /** Bytes that were counted and are no content (padding). */
  skip(bytes: number): void {
    this.#take(bytes);
  }

  receiveHead(head: ResponseHead, framing: Framing, end: boolean): void {
    this.handler?.onHead(head, framing);
    if (end) this.receiveEnd([]);
  }

  receiveData(bytes: Buffer, end: boolean): void {
    if (bytes.length > 0) {
      if (this.#paused) this.#hold(bytes);
      else this.#deliver(bytes);
    }
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
    this.#queue = NONE;
    this.#held = NONE;
    this.handler?.onReset(reason);
  }

  /** False: more than a window can be. */
  widen(more: number): boolean {
    this.#sendWindow += more;
    if (this.#sendWindow > this.#windows.sendLimit) return false;
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
  #send(bytes: Buffer, one: boolean, last = false): void {
    let rest = bytes;
    for (;;) {
      const granted = this.#sendWindow > 0 ? this.#session.grant(Math.min(rest.length, this.#sendWindow)) : 0;
      if (granted === 0) break;
      this.#sendWindow -= granted;
      const whole = granted === rest.length;
      this.#session.sendData(this.id, whole ? rest : rest.subarray(0, granted), whole && last);
      if (whole && last) this.#endLocal();
      if (whole) return;
      rest = rest.subarray(granted);
      if (one) break;
    }
    if (this.#queue === NONE) this.#queue = [rest];
    else this.#queue.unshift(rest);
    if (this.#sendWindow > 0) this.#session.wait(this);
  }

  #sendEnd(): void {
    this.#session.sendTrailers(this.id, this.#ending ?? []);
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
    this.#take(bytes.length);
  }

  #hold(bytes: Buffer): void {
    if (this.#held === NONE) this.#held = [bytes];
    else this.#held.push(bytes);
  }

  #take(bytes: number): void {
    this.#session.consume(bytes);
    this.#consumed += bytes;
    if (this.#consumed < this.#windows.receive / 2 || this.#closed || this.#remoteEnded) return;
    this.#receiveWindow += this.#consumed;
    this.#session.sendWindow(this.id, this.#consumed);
    this.#consumed = 0;
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue = NONE;
    for (const bytes of this.#held) this.#session.consume(bytes.length);
    this.#held = NONE;
    this.#session.forget(this);
  }
}
