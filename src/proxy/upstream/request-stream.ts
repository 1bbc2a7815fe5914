// A request and its answer on a stream of a connection that carries many, whether a tunnel's or HTTP/2's: what the calling side sees of it.
import { isRefusal, type Refusal } from '../../mesh/refusal.ts';
import { BodyCount } from '../codec/body-count.ts';
import type { Fields } from '../codec/fields.ts';
import { type Framing, isBodiless } from '../codec/h1/framing.ts';
import type { ResponseHead } from '../codec/h1/head.ts';
import { MAX_INTERIM } from '../codec/limits.ts';
import { StreamChannel } from '../flow/channel.ts';
import type { FlowStream, StreamHandler } from '../flow/stream.ts';
import type { UpstreamEvents, UpstreamRequest, UpstreamStream } from './stream.ts';

const NO_BODY: Framing = { kind: 'none' };

export class RequestStream implements UpstreamStream, StreamHandler {
  readonly reused = false;
  readonly #events: UpstreamEvents;
  #stream!: FlowStream;
  readonly #expiresAtMs: number;
  #ended: boolean;
  /** Asks to switch protocols: this side of the stream stays open until that is refused. */
  #upgrading: boolean;
  readonly #method: string;
  /** What may still come of the answer; undefined before its head. */
  #answer: BodyCount | undefined;
  #interims = 0;
  #done = false;

  constructor({ head, framing, upgrade }: UpstreamRequest, events: UpstreamEvents, expiresAtMs: number) {
    this.#method = head.method;
    this.#events = events;
    this.#upgrading = upgrade !== undefined;
    this.#ended = framing.kind === 'none' && upgrade === undefined;
    this.#expiresAtMs = expiresAtMs;
  }

  /** Nothing follows the head of the request. */
  get isEmpty(): boolean {
    return this.#ended;
  }

  /** Set before anything else is done with it. */
  set carrier(stream: FlowStream) {
    this.#stream = stream;
  }

  write(bytes: Buffer): boolean {
    return this.#stream.write(bytes);
  }

  end(trailers: Fields): void {
    if (this.#ended || this.#upgrading) return;
    this.#ended = true;
    this.#stream.end(trailers);
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  abort(): void {
    if (this.#done) return;
    this.#done = true;
    this.#stream.reset('canceled');
  }

  onHead(head: ResponseHead, framing: Framing): void {
    if (this.#done) return;
    if (head.status === 101) {
      if (!this.#upgrading) return this.#break('a switch of protocols that nobody asked for');
      this.#done = true;
      this.#events.onUpgrade(head, new StreamChannel(this.#stream, this.#expiresAtMs));
      return;
    }
    if (head.status < 200) {
      if (++this.#interims > MAX_INTERIM) return this.#break('too many interim answers');
      return this.#events.onInterim(head);
    }
    if (this.#upgrading) {
      this.#upgrading = false;
      this.end([]);
    }
    // A second head, or a body where there can be none.
    if (this.#answer !== undefined) return this.#break('a second head');
    const framed = isBodiless(this.#method, head.status) ? NO_BODY : framing;
    this.#answer = new BodyCount(framed);
    this.#events.onHead(head, framed);
  }

  onData(bytes: Buffer): void {
    if (this.#done) return;
    if (this.#answer?.take(bytes.length) === true) this.#events.onData(bytes);
    else this.#break('more of an answer than its head says');
  }

  // An answer that is whole before the request is: the rest of the request has nowhere to go.
  onEnd(trailers: Fields): void {
    if (this.#done) return;
    if (this.#answer?.isWhole !== true) return this.#break('an answer that ended before it was whole');
    this.#done = true;
    if (!this.#ended) this.#stream.reset('canceled');
    this.#events.onEnd(trailers);
  }

  // The other end is authenticated, not trusted: what does not fit its head would be read as another answer behind this proxy.
  #break(why: string): void {
    this.#done = true;
    this.#stream.reset('upstream_invalid');
    this.#events.onFault('upstream_invalid', why, false);
  }

  onReset(reason: string): void {
    if (this.#done) return;
    this.#done = true;
    this.#events.onFault(refusalOf(reason), 'the stream was reset before the answer was whole', reason === 'draining');
  }

  onFinished(): void {}

  onDrain(): void {
    if (!this.#done) this.#events.onDrain();
  }
}

function refusalOf(reason: string): Refusal {
  return isRefusal(reason) ? reason : 'upstream_reset';
}
