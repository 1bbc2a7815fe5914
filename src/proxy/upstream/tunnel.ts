// Requests and TCP connections as streams of a tunnel: what the calling proxy sees of it.
import { isRefusal, type Refusal } from '../../mesh/refusal.ts';
import { callAt } from '../clock.ts';
import type { Fields } from '../codec/fields.ts';
import { type Framing, isBodiless } from '../codec/h1/framing.ts';
import type { ResponseHead } from '../codec/h1/head.ts';
import { MAX_INTERIM, TUNNEL_IDLE_MS } from '../codec/limits.ts';
import type { Channel, ChannelEvents } from '../net/channel.ts';
import type { Connected } from '../net/connect.ts';
import { BodyCount, encodeOpen, OPEN_TCP } from '../tunnel/frame.ts';
import { type StreamHandler, TunnelSession, type TunnelStream } from '../tunnel/session.ts';
import type { UpstreamConnection, UpstreamEvents, UpstreamRequest, UpstreamStream } from './stream.ts';

export class Tunnel implements UpstreamConnection {
  readonly connected: Connected;
  readonly #session: TunnelSession;
  readonly #cancelExpiry: () => void;
  #idle: NodeJS.Timeout | undefined;

  /** `onGone` is called when it takes no new streams any more, and when it is closed. */
  constructor(connected: Connected, onGone: () => void, onExpired: (streams: number) => void) {
    this.connected = connected;
    this.#session = new TunnelSession(connected.socket, 'client', {
      onOpen: (stream) => stream.reset('bad_request'),
      onGoaway: onGone,
      onIdle: () => this.#armIdle(),
      onClosed: () => {
        this.#cancelExpiry();
        clearTimeout(this.#idle);
        onGone();
      },
    });
    this.#cancelExpiry = callAt(connected.expiresAtMs, () => {
      onExpired(this.#session.size);
      this.#session.close('identity_expired');
    });
    this.#armIdle();
  }

  get isUsable(): boolean {
    return this.#session.isOpen && Date.now() < this.connected.retireAtMs;
  }

  open(request: UpstreamRequest, events: UpstreamEvents): UpstreamStream {
    return new HttpStream(this.#session, request, events, this.connected.expiresAtMs);
  }

  giveBack(): void {}

  /** A raw TCP connection as a stream. */
  openTcp(): Channel {
    return new TunnelChannel(this.#session.open(OPEN_TCP, false, undefined), this.connected.expiresAtMs);
  }

  /** Streams that are open finish; then the connection ends. */
  retire(): void {
    this.#session.retire();
  }

  close(): void {
    this.#session.close();
  }

  #armIdle(): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      if (this.#session.size === 0) this.#session.retire();
    }, TUNNEL_IDLE_MS).unref();
  }
}

const NO_BODY: Framing = { kind: 'none' };

class HttpStream implements UpstreamStream, StreamHandler {
  readonly reused = false;
  readonly #events: UpstreamEvents;
  readonly #stream: TunnelStream;
  readonly #expiresAtMs: number;
  #ended: boolean;
  /** Asks to switch protocols: this side of the stream stays open until that is refused. */
  #upgrading: boolean;
  readonly #method: string;
  /** What may still come of the answer; undefined before its head. */
  #answer: BodyCount | undefined;
  #interims = 0;
  #done = false;

  constructor(session: TunnelSession, request: UpstreamRequest, events: UpstreamEvents, expiresAtMs: number) {
    const { head, framing, upgrade } = request;
    const version = head.major === 2 ? '2' : head.minor === 0 ? '1.0' : '1.1';
    const text = encodeOpen(version, framing, upgrade, head.method, request.target, request.fields);
    const empty = framing.kind === 'none' && upgrade === undefined;
    this.#method = head.method;
    this.#events = events;
    this.#ended = empty;
    this.#upgrading = upgrade !== undefined;
    this.#expiresAtMs = expiresAtMs;
    this.#stream = session.open(text, empty, this);
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
      this.#events.onUpgrade(head, new TunnelChannel(this.#stream, this.#expiresAtMs));
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

/** A tunnel's stream as a channel; used by both sides. What comes before start() waits. */
export class TunnelChannel implements Channel, StreamHandler {
  readonly expiresAtMs: number;
  readonly #stream: TunnelStream;
  #events: ChannelEvents | undefined;

  constructor(stream: TunnelStream, expiresAtMs: number) {
    this.expiresAtMs = expiresAtMs;
    this.#stream = stream;
    stream.handler = this;
    stream.pause();
  }

  start(events: ChannelEvents): void {
    this.#events = events;
    if (this.#stream.isClosed) events.onClosed(true);
    else this.#stream.resume();
  }

  write(bytes: Buffer): boolean {
    return this.#stream.write(bytes);
  }

  end(): void {
    this.#stream.end([]);
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  reset(reason: string): void {
    this.#stream.reset(reason);
  }

  onHead(): void {}

  onData(bytes: Buffer): void {
    this.#events?.onData(bytes);
  }

  onEnd(): void {
    this.#events?.onEnd();
  }

  onReset(): void {
    this.#events?.onClosed(true);
  }

  onFinished(): void {
    this.#events?.onClosed(false);
  }

  onDrain(): void {
    this.#events?.onDrain();
  }
}
