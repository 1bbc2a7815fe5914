// One connection that carries many streams: what HTTP/2 (h2/session.ts) and the tunnel (tunnel/session.ts) have in common.
//
// Each stream has a window and the connection has one. While the connection takes no more, streams wait in a ring and are served
// one frame each. A connection that was silent is asked whether it lives.
import type { Socket } from 'node:net';
import type { Fields } from '../codec/fields.ts';
import { LINGER_MS, PING_EVERY_MS } from '../codec/limits.ts';
import { countRead } from '../memory.ts';
import { type FrameLayout, Outbox } from './outbox.ts';
import type { FlowStream, StreamOwner } from './stream.ts';
import { StreamTable } from './stream-table.ts';

/** What a connection begins with. */
export interface SessionLimits {
  readonly layout: FrameLayout;
  /** Bytes of content that either side may send before the other has given more. */
  readonly sendWindow: number;
  readonly receiveWindow: number;
  /** More than this given by the other side is a fault. */
  readonly sendLimit: number;
  /** Content of one frame. */
  readonly maxDataBytes: number;
}

/** So much that was read is given back to the connection at once. */
const CONNECTION_RETURN_BYTES = 128 * 1024;
/** More than this waiting in the socket, and streams wait for their turn. */
const CLOGGED_BYTES = 256 * 1024;
/** Frames that ask for an answer come although nothing is read: whoever does that is not served. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;
/** With so few streams, batching would only delay. */
const QUIET_STREAMS = 2;

export abstract class FlowSession<Stream extends FlowStream> implements StreamOwner {
  protected readonly socket: Socket;
  readonly outbox: Outbox;
  protected readonly streams = new StreamTable<Stream>();
  protected isClosed = false;
  /** No new streams: one side said so. */
  protected goingAway = false;
  readonly #maxDataBytes: number;
  readonly #sendLimit: number;
  #sendWindow: number;
  #receiveWindow: number;
  #consumed = 0;
  /** Streams with something to send that wait for room, served in turn. */
  readonly #waiting = new Set<FlowStream>();
  #pumping = false;
  #heard = true;
  #pinged = false;
  readonly #timer: NodeJS.Timeout;

  constructor(socket: Socket, limits: SessionLimits) {
    this.socket = socket;
    this.#sendWindow = limits.sendWindow;
    this.#receiveWindow = limits.receiveWindow;
    this.#sendLimit = limits.sendLimit;
    this.#maxDataBytes = limits.maxDataBytes;
    this.outbox = new Outbox(
      socket,
      limits.layout,
      () => this.#pump(),
      () => this.streams.size <= QUIET_STREAMS,
    );
    socket.on('data', (bytes: Buffer) => {
      countRead(bytes.length);
      this.#heard = true;
      if (this.isClosed) return;
      this.receive(bytes);
      if (this.outbox.waiting > MAX_WAITING_BYTES + CLOGGED_BYTES) this.close();
    });
    socket.on('drain', () => this.#pump());
    socket.on('error', () => this.close());
    socket.on('end', () => this.onEnd());
    socket.on('close', () => this.close());
    this.#timer = setInterval(() => this.#look(), PING_EVERY_MS);
    this.#timer.unref();
  }

  /** Streams that are open. */
  get size(): number {
    return this.streams.size;
  }

  get isOpen(): boolean {
    return !this.isClosed && !this.goingAway && !this.socket.destroyed && this.socket.writable;
  }

  /** Bytes of the other side. */
  protected abstract receive(bytes: Buffer): void;
  /** Asks whether the other side lives. False: it is not asked. */
  protected abstract sendPing(): boolean;
  /** Every PING_EVERY_MS, whether or not something came. */
  protected abstract onInterval(): void;
  /** The last stream ended, and new ones may come. */
  protected abstract onEmpty(): void;
  /** Everything is over; called once. */
  protected abstract onGone(): void;
  abstract sendData(stream: number, bytes: Buffer, end: boolean): void;
  abstract sendTrailers(stream: number, trailers: Fields): void;
  abstract sendReset(stream: number, reason: string): void;
  abstract sendWindow(stream: number, more: number): void;

  /** The other side sends nothing more. */
  protected onEnd(): void {
    this.close();
  }

  /** Ends the connection and every stream on it, now. `reason` is what the streams' users hear. */
  close(reason = 'upstream_reset'): void {
    if (this.isClosed) return;
    this.socket.destroy();
    this.#gone(reason);
  }

  /** The same, but what was written still goes out; what comes is read and forgotten for a moment, so that the other side sees it and no reset. */
  protected closeGently(): void {
    if (this.isClosed) return;
    this.socket.end();
    setTimeout(() => this.socket.destroy(), LINGER_MS).unref();
    this.#gone('upstream_reset');
  }

  #gone(reason: string): void {
    this.isClosed = true;
    clearInterval(this.#timer);
    for (const stream of this.streams.all()) stream.abandon(reason);
    this.streams.clear();
    this.#waiting.clear();
    this.onGone();
  }

  /** What was said goes out; then the connection ends. */
  protected end(): void {
    this.outbox.flush();
    this.socket.end();
    // The other side ends too; what never does is found by the timer.
  }

  grant(wanted: number): number {
    if (this.outbox.waiting > CLOGGED_BYTES) return 0;
    const granted = Math.min(wanted, this.#sendWindow, this.#maxDataBytes);
    if (granted <= 0) return 0;
    this.#sendWindow -= granted;
    return granted;
  }

  wait(stream: FlowStream): void {
    this.#waiting.add(stream);
  }

  consume(bytes: number): void {
    this.#consumed += bytes;
    // Given back early: what streams that nobody reads hold must not keep the last of the window from the others.
    if (this.#consumed < CONNECTION_RETURN_BYTES || this.isClosed) return;
    this.#receiveWindow += this.#consumed;
    this.sendWindow(0, this.#consumed);
    this.#consumed = 0;
  }

  forget(stream: FlowStream): void {
    if (!this.streams.delete(stream)) return;
    this.#waiting.delete(stream);
    if (this.streams.size > 0) return;
    if (this.goingAway) this.end();
    else this.onEmpty();
  }

  /** Counts content that comes against the connection's window. False: the other side sends more than it may. */
  protected expect(bytes: number): boolean {
    this.#receiveWindow -= bytes;
    return this.#receiveWindow >= 0;
  }

  /** The other side gives more for the connection. False: more than a window can be. */
  protected widen(more: number): boolean {
    this.#sendWindow += more;
    if (this.#sendWindow > this.#sendLimit) return false;
    this.#pump();
    return true;
  }

  // One frame each, in turn, for as long as the connection takes them.
  #pump(): void {
    if (this.#pumping || this.#waiting.size === 0) return;
    this.#pumping = true;
    while (this.#waiting.size > 0 && this.#sendWindow > 0 && this.outbox.waiting <= CLOGGED_BYTES && !this.isClosed) {
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
    this.onInterval();
    if (this.#heard) {
      this.#heard = false;
      this.#pinged = false;
      return;
    }
    if (this.#pinged) return this.close();
    this.#pinged = this.sendPing();
  }
}
