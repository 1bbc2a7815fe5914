// The callee's side of a tunnel: each HTTP stream is an exchange, each TCP stream is judged and joined with the application.
import type { Socket } from 'node:net';
import type { Fields } from '../codec/fields.ts';
import type { Framing } from '../codec/h1/framing.ts';
import type { ResponseHead } from '../codec/h1/head.ts';
import type { Origin } from '../connection.ts';
import { type Downstream, Exchange } from '../exchange.ts';
import type { Channel } from '../net/channel.ts';
import type { Runtime } from '../runtime.ts';
import { TunnelChannel } from '../upstream/tunnel.ts';
import { BodyCount, encodeHead, FRAME, type Opening } from './frame.ts';
import { type StreamHandler, TunnelSession, type TunnelStream } from './session.ts';

export interface ServedTunnel {
  readonly size: number;
  /** No new streams; the connection ends with its last one. */
  retire(): void;
  close(reason: string): void;
}

/** `serveTcp` gets the raw TCP streams. */
export function serveTunnel(runtime: Runtime, origin: Origin, socket: Socket, serveTcp: (channel: Channel) => void): ServedTunnel {
  const expiresAtMs = origin.peer?.notAfterMs ?? Number.POSITIVE_INFINITY;
  return new TunnelSession(socket, 'server', {
    onOpen: (stream, opening) => {
      if (opening.kind === 'tcp') {
        serveTcp(new TunnelChannel(stream, expiresAtMs));
      } else new ServedStream(runtime, origin, stream, opening, expiresAtMs).run(opening);
    },
    onGoaway: () => undefined,
    onIdle: () => undefined,
    onClosed: () => undefined,
  });
}

type HttpOpening = Extract<Opening, { kind: 'http' }>;

class ServedStream implements Downstream, StreamHandler {
  readonly #stream: TunnelStream;
  readonly #exchange: Exchange;
  readonly #expiresAtMs: number;
  /** What the caller may still send. */
  readonly #request: BodyCount;
  /** What is left of an answer whose length is known; its last byte ends the stream. */
  #left = -1;
  #requestEnded = false;

  constructor(runtime: Runtime, origin: Origin, stream: TunnelStream, { head, framing, upgrade }: HttpOpening, expiresAtMs: number) {
    this.#stream = stream;
    this.#expiresAtMs = expiresAtMs;
    this.#request = new BodyCount(framing);
    stream.handler = this;
    this.#exchange = new Exchange(runtime, origin, this, head, framing, upgrade);
  }

  run({ upgrade }: HttpOpening): void {
    this.#exchange.run();
    // The stream stays open for what may come after a 101; the request is whole all the same.
    if (upgrade !== undefined) this.#exchange.onBodyEnd([]);
  }

  interim(head: ResponseHead): void {
    this.#stream.begin(FRAME.head, encodeHead(head.status, { kind: 'none' }, head.reason, head.fields), false);
  }

  upgrade(fields: Fields): Channel {
    this.#stream.begin(FRAME.head, encodeHead(101, { kind: 'none' }, '', fields), false);
    return new TunnelChannel(this.#stream, this.#expiresAtMs);
  }

  head(status: number, reason: string, fields: Fields, framing: Framing): void {
    this.#left = framing.kind === 'length' ? framing.length : -1;
    this.#stream.begin(FRAME.head, encodeHead(status, framing, reason, fields), framing.kind === 'none');
  }

  data(bytes: Buffer): boolean {
    if (this.#left < 0) return this.#stream.write(bytes);
    this.#left -= bytes.length;
    if (this.#left > 0) return this.#stream.write(bytes);
    this.#stream.finish(bytes);
    return true;
  }

  end(trailers: Fields): void {
    this.#stream.end(trailers);
    // What the caller still sends has nowhere to go.
    if (!this.#requestEnded) this.#stream.stop();
  }

  abort(): void {
    this.#stream.reset('upstream_reset');
  }

  pauseBody(): void {
    this.#stream.pause();
  }

  resumeBody(): void {
    this.#stream.resume();
  }

  onHead(): void {}

  // A caller whose body is not as long as its head says would have its rest read as another request behind this proxy.
  onData(bytes: Buffer): void {
    if (this.#request.take(bytes.length)) this.#exchange.onBody(bytes);
    else this.#break();
  }

  onEnd(trailers: Fields): void {
    if (!this.#request.isWhole) return this.#break();
    this.#requestEnded = true;
    this.#exchange.onBodyEnd(trailers);
  }

  #break(): void {
    this.#stream.reset('bad_request');
    this.#exchange.onDownstreamGone();
  }

  onReset(): void {
    this.#exchange.onDownstreamGone();
  }

  onFinished(): void {}

  onDrain(): void {
    this.#exchange.onDownstreamDrain();
  }
}
