// One HTTP/1.1 connection to an upstream: carries one exchange at a time, and goes back to the pool when it can be used again.

import type { Socket } from 'node:net';
import { type Fields, hasToken } from '../codec/fields.ts';
import { chunkHead, encodeRequestHead, lastChunk } from '../codec/h1/encode.ts';
import type { Framing } from '../codec/h1/framing.ts';
import type { HeadError, ResponseHead } from '../codec/h1/head.ts';
import { ResponseParser } from '../codec/h1/parser.ts';
import { MAX_INTERIM } from '../codec/limits.ts';
import { countRead } from '../memory.ts';
import { type Channel, socketChannel } from '../net/channel.ts';
import type { Connected } from '../net/connect.ts';
import { Gather } from '../net/gather.ts';
import type { UpstreamConnection, UpstreamEvents, UpstreamRequest, UpstreamStream } from './stream.ts';

export interface H1Owner {
  /** Once after each exchange. */
  onReleased(connection: H1Connection, reusable: boolean): void;
  /** The connection closed while nobody used it. */
  onIdleClosed(connection: H1Connection): void;
}

export class H1Connection implements UpstreamConnection {
  readonly connected: Connected;
  readonly gather: Gather;
  readonly #socket: Socket;
  readonly #parser: ResponseParser;
  readonly #owner: H1Owner;
  #stream: H1Stream | undefined;
  #uses = 0;
  #closed = false;

  constructor(connected: Connected, owner: H1Owner) {
    this.connected = connected;
    this.#socket = connected.socket;
    this.gather = new Gather(connected.socket);
    this.#owner = owner;
    this.#parser = new ResponseParser({
      onHead: (head, framing) => this.#stream?.receiveHead(head, framing),
      onData: (bytes) => this.#stream?.receiveData(bytes),
      onEnd: (trailers) => this.#stream?.receiveEnd(trailers),
      onError: (error: HeadError) => this.#fail('upstream_invalid', error.why),
    });
    this.#socket.on('data', (bytes: Buffer) => {
      countRead(bytes.length);
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

  open(request: UpstreamRequest, events: UpstreamEvents): UpstreamStream {
    this.#parser.expect(request.head.method);
    const stream = new H1Stream(this, this.#socket, events, this.#uses > 0, request);
    this.#uses++;
    this.#stream = stream;
    return stream;
  }

  giveBack(): void {
    this.#owner.onReleased(this, this.isUsable);
  }

  /** Called by the stream when request and answer are both whole, or when it gave up. */
  release(reusable: boolean): void {
    this.#stream = undefined;
    if (this.#socket.isPaused()) this.#socket.resume();
    if (reusable) this.#parser.next();
    this.#owner.onReleased(this, reusable && this.isUsable);
  }

  /** Lets go of the socket: HTTP is over on it. It counts as in flight until it closes. */
  detach(): Channel {
    this.#stream = undefined;
    this.#closed = true;
    this.gather.flush();
    for (const event of ['data', 'end', 'drain', 'timeout', 'error', 'close']) this.#socket.removeAllListeners(event);
    this.#socket.on('error', () => undefined);
    this.#socket.setTimeout(0);
    this.#socket.pause();
    this.#socket.once('close', () => this.#owner.onReleased(this, false));
    return socketChannel(this.#socket, this.connected.reset, this.#parser.takeRest(), this.connected.expiresAtMs);
  }

  /** Closes the connection after `ms` without use. */
  closeWhenIdle(ms: number): void {
    if (this.#socket.timeout !== ms) this.#socket.setTimeout(ms);
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
  readonly #gather: Gather;
  readonly #chunked: boolean;
  readonly #upgrade: string | undefined;
  #sent: boolean;
  #received = false;
  #interims = 0;
  #keepAlive = true;
  #done = false;

  constructor(connection: H1Connection, socket: Socket, events: UpstreamEvents, reused: boolean, request: UpstreamRequest) {
    const { head, target, fields, framing, upgrade } = request;
    this.#connection = connection;
    this.#socket = socket;
    this.#gather = connection.gather;
    this.events = events;
    this.reused = reused;
    this.#upgrade = upgrade;
    this.#chunked = framing.kind === 'chunked';
    this.#sent = framing.kind === 'none';
    const framed = this.#chunked
      ? [...fields, 'transfer-encoding', 'chunked']
      : upgrade === undefined
        ? fields
        : [...fields, 'connection', 'Upgrade', 'upgrade', upgrade];
    this.#gather.text(encodeRequestHead(head.method, target, framed));
    if (this.#sent) this.#gather.flush();
  }

  write(bytes: Buffer): boolean {
    if (this.#chunked) this.#gather.text(chunkHead(bytes.length));
    const room = this.#gather.bytes(bytes);
    return this.#chunked ? this.#gather.text('\r\n') : room;
  }

  end(trailers: Fields): void {
    if (this.#chunked) this.#gather.text(lastChunk(trailers));
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
    // An interim answer and nothing after it is no answer.
    if (this.#interims > 0) this.events.onFault('upstream_invalid', 'the connection was closed after an interim answer', false);
    else this.events.onFault(refusal, why, false);
  }

  receiveHead(head: ResponseHead, framing: Framing): void {
    if (this.#done) return;
    if (head.status === 101 && this.#upgrade !== undefined && hasToken(head.fields, 'upgrade', this.#upgrade)) {
      this.#done = true;
      this.events.onUpgrade(head, this.#connection.detach());
      return;
    }
    if (head.status === 101) {
      this.#done = true;
      this.#connection.release(false);
      this.events.onFault('upstream_invalid', 'the service switched protocols, which nobody asked for', false);
      return;
    }
    if (head.status < 200) {
      if (++this.#interims > MAX_INTERIM) {
        this.#done = true;
        this.#connection.release(false);
        this.events.onFault('upstream_invalid', 'too many interim answers', false);
        return;
      }
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
