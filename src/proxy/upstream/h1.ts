// One HTTP/1.1 connection to an upstream: carries one exchange at a time, and goes back to the pool when it can be used again.
import type { Socket } from 'node:net';
import { type Fields, hasToken } from '../codec/fields.ts';
import { encodeRequestHead, lastChunk } from '../codec/h1/encode.ts';
import type { Framing } from '../codec/h1/framing.ts';
import type { HeadError, ResponseHead } from '../codec/h1/head.ts';
import { ResponseParser } from '../codec/h1/parser.ts';
import type { Connected } from '../net/connect.ts';
import { writeChunk } from '../net/write-chunk.ts';
import type { UpgradedConnection, UpstreamEvents, UpstreamStream } from './stream.ts';

export interface H1Owner {
  /** Once after each exchange. */
  onReleased(connection: H1Connection, reusable: boolean): void;
  /** The connection closed while nobody used it. */
  onIdleClosed(connection: H1Connection): void;
}

export class H1Connection {
  readonly connected: Connected;
  readonly #socket: Socket;
  readonly #parser: ResponseParser;
  readonly #owner: H1Owner;
  #stream: H1Stream | undefined;
  #uses = 0;
  #closed = false;

  constructor(connected: Connected, owner: H1Owner) {
    this.connected = connected;
    this.#socket = connected.socket;
    this.#owner = owner;
    this.#parser = new ResponseParser({
      onHead: (head, framing) => this.#stream?.receiveHead(head, framing),
      onData: (bytes) => this.#stream?.receiveData(bytes),
      onEnd: (trailers) => this.#stream?.receiveEnd(trailers),
      onError: (error: HeadError) => this.#fail('upstream_invalid', error.why),
    });
    this.#socket.on('data', (bytes: Buffer) => {
      // Bytes that no request asked for: the connection cannot be trusted with the next one.
      if (this.#stream === undefined) this.close();
      else this.#parser.push(bytes);
    });
    this.#socket.on('timeout', () => {
      if (this.#stream === undefined) this.close();
    });
    this.#socket.on('drain', () => this.#stream?.events.onDrain());
    this.#socket.on('error', () => this.#fail('upstream_reset', 'the connection broke'));
    this.#socket.on('end', () => {
      this.#parser.finish();
      this.#fail('upstream_reset', 'the connection was closed before the answer was whole');
    });
    this.#socket.on('close', () => this.#fail('upstream_reset', 'the connection was closed before the answer was whole'));
  }

  get isUsable(): boolean {
    return !this.#closed && !this.#socket.destroyed && this.#socket.writable && this.#parser.isIdle;
  }

  open(method: string, events: UpstreamEvents): UpstreamStream {
    this.#parser.expect(method);
    const stream = new H1Stream(this, this.#socket, events, this.#uses > 0);
    this.#uses++;
    this.#stream = stream;
    this.#socket.setTimeout(0);
    return stream;
  }

  /** Called by the stream when request and answer are both whole, or when it gave up. */
  release(reusable: boolean): void {
    this.#stream = undefined;
    this.#socket.resume();
    if (reusable) this.#parser.next();
    this.#owner.onReleased(this, reusable && this.isUsable);
  }

  /** Lets go of the socket: HTTP is over on it. It counts as in flight until it closes. */
  detach(): UpgradedConnection {
    this.#stream = undefined;
    this.#closed = true;
    for (const event of ['data', 'end', 'drain', 'timeout', 'error', 'close']) this.#socket.removeAllListeners(event);
    this.#socket.on('error', () => undefined);
    this.#socket.pause();
    this.#socket.once('close', () => this.#owner.onReleased(this, false));
    return { socket: this.#socket, reset: this.connected.reset, first: this.#parser.takeRest(), expiresAtMs: this.connected.expiresAtMs };
  }

  /** Closes the connection after `ms` without use. */
  closeWhenIdle(ms: number): void {
    this.#socket.setTimeout(ms);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.destroy();
    this.#owner.onIdleClosed(this);
  }

  #fail(refusal: 'upstream_reset' | 'upstream_invalid', why: string): void {
    const stream = this.#stream;
    this.#stream = undefined;
    if (stream !== undefined) this.#owner.onReleased(this, false);
    this.close();
    stream?.fail(refusal, why);
  }
}

class H1Stream implements UpstreamStream {
  readonly events: UpstreamEvents;
  readonly reused: boolean;
  readonly #connection: H1Connection;
  readonly #socket: Socket;
  #chunked = false;
  #upgrade: string | undefined;
  #sent = false;
  #received = false;
  #keepAlive = true;
  #done = false;

  constructor(connection: H1Connection, socket: Socket, events: UpstreamEvents, reused: boolean) {
    this.#connection = connection;
    this.#socket = socket;
    this.events = events;
    this.reused = reused;
  }

  send(method: string, target: string, fields: Fields, framing: Framing, upgrade: string | undefined): void {
    this.#upgrade = upgrade;
    this.#chunked = framing.kind === 'chunked';
    const framed = [
      ...fields,
      ...(this.#chunked ? ['transfer-encoding', 'chunked'] : []),
      ...(upgrade === undefined ? [] : ['connection', 'Upgrade', 'upgrade', upgrade]),
    ];
    this.#socket.write(encodeRequestHead(method, target, framed), 'latin1');
  }

  write(bytes: Buffer): boolean {
    if (!this.#chunked) return this.#socket.write(bytes);
    return writeChunk(this.#socket, bytes);
  }

  end(trailers: Fields): void {
    if (this.#chunked) this.#socket.write(lastChunk(trailers), 'latin1');
    this.#sent = true;
    this.#finish();
  }

  // A stream that is done has given its connection back: it may carry another one's answer already.
  pause(): void {
    if (!this.#done) this.#socket.pause();
  }

  resume(): void {
    if (!this.#done) this.#socket.resume();
  }

  abort(): void {
    if (this.#done) return;
    this.#done = true;
    this.#connection.release(false);
  }

  fail(refusal: 'upstream_reset' | 'upstream_invalid', why: string): void {
    if (this.#done) return;
    this.#done = true;
    this.events.onFault(refusal, why);
  }

  receiveHead(head: ResponseHead, framing: Framing): void {
    if (head.status === 101 && this.#upgrade !== undefined && hasToken(head.fields, 'upgrade', this.#upgrade)) {
      this.#done = true;
      this.events.onUpgrade(head, this.#connection.detach());
      return;
    }
    if (head.status === 101) {
      this.#done = true;
      this.#connection.release(false);
      this.events.onFault('upstream_invalid', 'the service switched protocols, which nobody asked for');
      return;
    }
    if (head.status < 200) {
      this.events.onInterim(head);
      return;
    }
    this.#keepAlive =
      framing.kind !== 'until-close' &&
      (head.minor === 1 ? !hasToken(head.fields, 'connection', 'close') : hasToken(head.fields, 'connection', 'keep-alive'));
    this.events.onHead(head, framing);
  }

  receiveData(bytes: Buffer): void {
    if (!this.#done) this.events.onData(bytes);
  }

  receiveEnd(trailers: Fields): void {
    if (this.#done) return;
    this.#received = true;
    this.events.onEnd(trailers);
    this.#finish();
  }

  // An answer that is whole before the request is: the rest of the request has nowhere to go.
  #finish(): void {
    if (this.#done || !this.#received) return;
    this.#done = true;
    this.#connection.release(this.#sent && this.#keepAlive);
  }
}
