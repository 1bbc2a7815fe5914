// The callee's side of one request on a stream of a connection that carries many, whether a tunnel's or HTTP/2's: it is an exchange.
import { BodyCount } from '../codec/body-count.ts';
import type { Fields } from '../codec/fields.ts';
import type { Framing } from '../codec/h1/framing.ts';
import type { RequestHead, ResponseHead } from '../codec/h1/head.ts';
import type { Origin } from '../connection.ts';
import { type Downstream, Exchange } from '../exchange.ts';
import type { Channel } from '../net/channel.ts';
import type { Runtime } from '../runtime.ts';
import { StreamChannel } from './channel.ts';
import type { FlowStream, StreamHandler } from './stream.ts';

const NO_BODY: Framing = { kind: 'none' };

export abstract class ServedStream<Stream extends FlowStream> implements Downstream, StreamHandler {
  protected readonly stream: Stream;
  readonly #exchange: Exchange;
  readonly #expiresAtMs: number;
  /** What the caller may still send. */
  readonly #request: BodyCount;
  /** What is left of an answer whose length is known; its last byte ends the stream. */
  #left = -1;
  readonly #upgrading: boolean;
  #requestEnded = false;

  constructor(
    runtime: Runtime,
    origin: Origin,
    stream: Stream,
    head: RequestHead,
    framing: Framing,
    upgrade: string | undefined,
    expiresAtMs: number,
  ) {
    this.stream = stream;
    this.#expiresAtMs = expiresAtMs;
    this.#request = new BodyCount(framing);
    this.#upgrading = upgrade !== undefined;
    stream.handler = this;
    this.#exchange = new Exchange(runtime, origin, this, head, framing, upgrade);
  }

  protected abstract sendHead(status: number, reason: string, fields: Fields, framing: Framing, end: boolean): void;

  run(): void {
    this.#exchange.run();
    // The stream stays open for what may come after a 101; the request is whole all the same.
    if (this.#upgrading) this.#exchange.onBodyEnd([]);
  }

  interim({ status, reason, fields }: ResponseHead): void {
    this.sendHead(status, reason, fields, NO_BODY, false);
  }

  upgrade(fields: Fields): Channel {
    this.sendHead(101, '', fields, NO_BODY, false);
    return new StreamChannel(this.stream, this.#expiresAtMs);
  }

  head(status: number, reason: string, fields: Fields, framing: Framing): void {
    this.#left = framing.kind === 'length' ? framing.length : -1;
    this.sendHead(status, reason, fields, framing, framing.kind === 'none');
  }

  data(bytes: Buffer): boolean {
    if (this.#left < 0) return this.stream.write(bytes);
    this.#left -= bytes.length;
    if (this.#left > 0) return this.stream.write(bytes);
    this.stream.finish(bytes);
    return true;
  }

  end(trailers: Fields): void {
    this.stream.end(trailers);
    // What the caller still sends has nowhere to go.
    if (!this.#requestEnded) this.stream.stop();
  }

  abort(): void {
    this.stream.reset('upstream_reset');
  }

  pauseBody(): void {
    this.stream.pause();
  }

  resumeBody(): void {
    this.stream.resume();
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
    this.stream.reset('bad_request');
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
