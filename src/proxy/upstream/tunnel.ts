// Requests and TCP connections as streams of a tunnel: what the calling proxy sees of it.
import { callAt } from '../clock.ts';
import { TUNNEL_IDLE_MS } from '../codec/limits.ts';
import { StreamChannel } from '../flow/channel.ts';
import type { Channel } from '../net/channel.ts';
import type { Connected } from '../net/connect.ts';
import { encodeOpen, OPEN_TCP } from '../tunnel/frame.ts';
import { TunnelSession } from '../tunnel/session.ts';
import { RequestStream } from './request-stream.ts';
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
    const { head, target, fields, framing, upgrade } = request;
    const carried = new RequestStream(request, events, this.connected.expiresAtMs);
    const version = head.major === 2 ? '2' : head.minor === 0 ? '1.0' : '1.1';
    const text = encodeOpen(version, framing, upgrade, head.method, target, fields);
    carried.carrier = this.#session.open(text, carried.isEmpty, carried);
    return carried;
  }

  giveBack(): void {}

  /** A raw TCP connection as a stream. */
  openTcp(): Channel {
    return new StreamChannel(this.#session.open(OPEN_TCP, false, undefined), this.connected.expiresAtMs);
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
