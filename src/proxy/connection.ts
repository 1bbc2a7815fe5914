// The story of one HTTP connection from a caller: in HTTP/1.1 requests one after the other, each an exchange. One that begins
// with the preface of HTTP/2 goes on in h2/serve.ts.
//
// Limits: a request head must be whole within HEAD_TIMEOUT_MS, an idle connection is closed after IDLE_TIMEOUT_MS.
// While an answer is under way the next pipelined request waits in the parser.

import type { Socket } from 'node:net';
import type { VerifiedPeer } from '../certs/peer.ts';
import { askedUpgrade, type Fields, hasToken } from './codec/fields.ts';
import { chunkHead, encodeResponseHead, lastChunk } from './codec/h1/encode.ts';
import type { Framing } from './codec/h1/framing.ts';
import type { HeadError, RequestHead, ResponseHead } from './codec/h1/head.ts';
import { RequestParser } from './codec/h1/parser.ts';
import { HEAD_TIMEOUT_MS, IDLE_TIMEOUT_MS, LINGER_MS, MAX_PIPELINED_BYTES } from './codec/limits.ts';
import { type Downstream, Exchange } from './exchange.ts';
import { type ServedH2, serveH2 } from './h2/serve.ts';
import { countRead } from './memory.ts';
import { type Channel, socketChannel } from './net/channel.ts';
import { Gather } from './net/gather.ts';
import { openTcp } from './net/open-tcp.ts';
import { answerFor } from './rescue.ts';
import { type Listener, matchTunnel } from './route/match.ts';
import type { Runtime } from './runtime.ts';

export interface Origin {
  readonly listener: Listener;
  /** Who proved to be at the other end; undefined on plain listeners. */
  readonly peer: VerifiedPeer | undefined;
  /** Ends the connection so that the caller does not take it for a proper end. */
  readonly reset: () => void;
}

export class HttpConnection implements Downstream {
  readonly #runtime: Runtime;
  readonly #origin: Origin;
  readonly #socket: Socket;
  readonly #gather: Gather;
  readonly #parser: RequestParser;
  #exchange: Exchange | undefined;
  #keepAlive = true;
  #requestEnded = false;
  /** No body follows the head of the request under way. */
  #bodyless = true;
  #responseEnded = false;
  #chunked = false;
  #headTimer: NodeJS.Timeout | undefined;
  #closed = false;
  /** Set when the caller shut down its sending side. */
  #peerEnded = false;
  #tunnelled = false;
  /** Nothing has come yet. */
  #fresh = true;
  #h2: ServedH2 | undefined;
  /** The caller sent too far ahead: it is not read until its request under way is answered. */
  #heldBack = false;

  constructor(runtime: Runtime, origin: Origin, socket: Socket) {
    this.#runtime = runtime;
    this.#origin = origin;
    this.#socket = socket;
    this.#gather = new Gather(socket);
    this.#parser = new RequestParser({
      onHead: (head, framing) => this.#begin(head, framing),
      onData: (bytes) => this.#exchange?.onBody(bytes),
      onEnd: (trailers) => this.#endRequest(trailers),
      onError: (error) => this.#refuseBytes(error),
    });
    socket.setNoDelay(true);
    socket.on('data', (bytes: Buffer) => this.#onData(bytes));
    // Idle for too long, or lingering after the last answer.
    socket.on('timeout', () => {
      if (this.#closed) socket.destroy();
      else if (this.isIdle) this.close();
    });
    socket.on('drain', () => this.#exchange?.onDownstreamDrain());
    socket.on('end', () => this.#onEnd());
    socket.on('error', () => this.close());
    socket.on('close', () => this.close());
    this.#armIdle();
  }

  get isIdle(): boolean {
    return this.#h2 === undefined ? this.#exchange === undefined && !this.#tunnelled : this.#h2.size === 0;
  }

  /** An idle connection closes now, a busy one after its answer. */
  drain(): void {
    if (this.#h2 !== undefined) this.#h2.retire();
    else if (this.isIdle && this.#parser.isIdle) this.close();
    else this.#keepAlive = false;
  }

  close(): void {
    if (this.#h2 !== undefined) return this.#h2.close();
    if (this.#closed || this.#tunnelled) return;
    this.#closed = true;
    clearTimeout(this.#headTimer);
    this.#socket.destroy();
    this.#exchange?.onDownstreamGone();
    this.#exchange = undefined;
  }

  interim(head: ResponseHead): void {
    if (!this.#closed && this.#minor === 1) this.#gather.text(encodeResponseHead(head.status, head.reason, head.fields));
  }

  upgrade(fields: Fields): Channel {
    this.#leaveHttp();
    this.#gather.text(encodeResponseHead(101, 'Switching Protocols', [...fields, 'connection', 'Upgrade', 'upgrade', 'websocket']));
    this.#gather.flush();
    return this.#channel();
  }

  head(status: number, reason: string, fields: Fields, framing: Framing): void {
    if (this.#closed) return;
    this.#chunked = framing.kind === 'chunked' || framing.kind === 'until-close';
    if (this.#runtime.draining) this.#keepAlive = false;
    // An HTTP/1.0 caller knows no chunks: its answer ends with the connection.
    if (this.#chunked && this.#minor === 0) {
      this.#chunked = false;
      this.#keepAlive = false;
    } else if (this.#chunked) fields.push('transfer-encoding', 'chunked');
    if (!this.#keepAlive) fields.push('connection', 'close');
    else if (this.#minor === 0) fields.push('connection', 'keep-alive');
    this.#gather.text(encodeResponseHead(status, reason, fields));
  }

  data(bytes: Buffer): boolean {
    if (this.#closed) return true;
    if (!this.#chunked) return this.#gather.bytes(bytes);
    this.#gather.text(chunkHead(bytes.length));
    this.#gather.bytes(bytes);
    return this.#gather.text('\r\n');
  }

  end(trailers: Fields): void {
    if (this.#closed) return;
    if (this.#chunked) this.#gather.text(lastChunk(trailers));
    this.#responseEnded = true;
    if (!this.#requestEnded && !this.#bodyless) this.#keepAlive = false;
    this.#next();
  }

  abort(): void {
    // The caller sees what there was, and that it broke off.
    if (!this.#closed) this.#gather.flush();
    this.close();
  }

  pauseBody(): void {
    if (!this.#closed && !this.#tunnelled) this.#socket.pause();
  }

  resumeBody(): void {
    if (!this.#closed && !this.#tunnelled && !this.#heldBack && this.#socket.isPaused()) this.#socket.resume();
  }

  #minor: 0 | 1 = 1;

  #onData(bytes: Buffer): void {
    countRead(bytes.length);
    if (this.#fresh) {
      this.#fresh = false;
      if (bytes[0] === 0x50 && isPreface(bytes)) return this.#becomeH2(bytes);
    }
    this.#parser.push(bytes);
    if (this.#tunnelled) return;
    if (this.#exchange !== undefined && this.#parser.heldBytes > MAX_PIPELINED_BYTES) {
      this.#heldBack = true;
      this.#socket.pause();
    }
    this.#armHead();
  }

  #begin(head: RequestHead, framing: Framing): void {
    clearTimeout(this.#headTimer);
    this.#headTimer = undefined;
    this.#minor = head.minor;
    this.#requestEnded = false;
    this.#bodyless = framing.kind === 'none' || (framing.kind === 'length' && framing.length === 0);
    this.#responseEnded = false;
    this.#chunked = false;
    this.#keepAlive = head.minor === 1 ? !hasToken(head.fields, 'connection', 'close') : hasToken(head.fields, 'connection', 'keep-alive');
    if (head.method === 'CONNECT') return this.#tunnel(head);
    this.#exchange = new Exchange(this.#runtime, this.#origin, this, head, framing, askedUpgrade(head.method, head.minor, head.fields));
    this.#exchange.run();
  }

  #endRequest(trailers: Fields): void {
    this.#requestEnded = true;
    this.#exchange?.onBodyEnd(trailers);
    this.#next();
  }

  /** When request and answer are both whole the next request may begin. */
  #next(): void {
    if (!this.#responseEnded || this.#tunnelled) return;
    // Refused while its head was being read: the parser says in a moment that the request is whole.
    if (!this.#requestEnded && this.#bodyless) return;
    if (!this.#requestEnded || !this.#keepAlive || (this.#peerEnded && this.#parser.isIdle)) {
      this.#exchange = undefined;
      this.#closeGently();
      return;
    }
    this.#exchange = undefined;
    this.#heldBack = false;
    if (this.#socket.isPaused()) this.#socket.resume();
    this.#parser.next();
    this.#armHead();
  }

  // The answer goes out whole; what the caller still sends is read and forgotten for a moment, so that it sees the answer and no reset.
  #closeGently(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#headTimer);
    this.#socket.removeAllListeners('data');
    this.#socket.on('data', () => undefined);
    this.#socket.resume();
    this.#socket.setTimeout(LINGER_MS);
    this.#socket.once('end', () => this.#socket.destroy());
    this.#gather.flush();
    this.#socket.end();
  }

  #refuseBytes(error: HeadError): void {
    if (this.#exchange !== undefined) {
      this.close();
      return;
    }
    this.#keepAlive = false;
    const answer = answerFor({ refusal: 'bad_request', why: error.why, status: error.status }, undefined);
    if (this.#origin.listener.kind === 'inbound' || this.#origin.listener.kind === 'ingress')
      this.#runtime.recorder.count('inbound', this.#origin.peer?.id.service ?? '-', 'http', 'bad_request', 0);
    this.head(answer.status, '', answer.fields, { kind: 'length', length: answer.body.length });
    this.data(answer.body);
    this.#closeGently();
  }

  #tunnel(head: RequestHead): void {
    const { listener } = this.#origin;
    const { tables } = this.#runtime;
    const upstream =
      listener.kind !== 'forward' || tables === undefined
        ? ({ refusal: 'bad_request', why: 'CONNECT is not taken here' } as const)
        : matchTunnel(tables, head.target);
    if ('refusal' in upstream) {
      const answer = answerFor(upstream, undefined);
      this.#keepAlive = false;
      this.head(answer.status, '', answer.fields, { kind: 'length', length: answer.body.length });
      this.data(answer.body);
      this.#responseEnded = true;
      this.#closeGently();
      return;
    }
    this.#leaveHttp();
    void openTcp(this.#runtime, upstream, this.#channel(), () => {
      this.#gather.text(encodeResponseHead(200, 'Connection established', []));
      this.#gather.flush();
    });
  }

  #channel(): Channel {
    const expiresAtMs = this.#origin.peer?.notAfterMs ?? Number.POSITIVE_INFINITY;
    return socketChannel(this.#socket, this.#origin.reset, this.#parser.takeRest(), expiresAtMs);
  }

  // A caller that knows that HTTP/2 is spoken here begins with it (RFC 9113 section 3.3).
  #becomeH2(bytes: Buffer): void {
    this.#leaveHttp();
    this.#socket.removeAllListeners('timeout');
    this.#socket.unshift(bytes);
    this.#h2 = serveH2(this.#runtime, this.#origin, this.#socket);
  }

  // From here on the socket belongs to whoever joins it with another.
  #leaveHttp(): void {
    this.#tunnelled = true;
    clearTimeout(this.#headTimer);
    this.#socket.setTimeout(0);
    this.#socket.removeAllListeners('data');
    this.#socket.removeAllListeners('end');
    this.#socket.removeAllListeners('drain');
    this.#socket.pause();
  }

  #onEnd(): void {
    this.#peerEnded = true;
    this.#parser.finish();
    // A caller that only shut down its sending side still gets the answer to what it asked.
    if (this.#exchange === undefined) this.#closeGently();
  }

  #armHead(): void {
    if (this.#closed || this.#exchange !== undefined || this.#headTimer !== undefined || this.#parser.isIdle || !this.#parser.awaitsHead)
      return;
    this.#headTimer = setTimeout(
      () => this.#refuseBytes({ status: 408, why: `the request head was not whole within ${HEAD_TIMEOUT_MS} ms` }),
      HEAD_TIMEOUT_MS,
    );
  }

  #armIdle(): void {
    this.#socket.setTimeout(IDLE_TIMEOUT_MS);
  }
}

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** Whether the bytes begin as HTTP/2 does; three are enough, since no method begins with `PRI`. */
export function isPreface(bytes: Buffer): boolean {
  const length = Math.min(bytes.length, PREFACE.length);
  return length >= 3 && bytes.compare(PREFACE, 0, length, 0, length) === 0;
}
