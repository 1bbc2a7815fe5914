// The seam between an exchange and whatever carries it: one request and its answer as a stream of events.
// Behind it: a stream of a tunnel (upstream/tunnel.ts), or a pooled HTTP/1.1 connection (upstream/h1.ts).
import type { Refusal } from '../../mesh/refusal.ts';
import type { Fields } from '../codec/fields.ts';
import type { Framing } from '../codec/h1/framing.ts';
import type { RequestHead, ResponseHead } from '../codec/h1/head.ts';
import type { Channel } from '../net/channel.ts';

export interface UpstreamEvents {
  /** 1xx, before the answer. */
  onInterim(head: ResponseHead): void;
  onHead(head: ResponseHead, framing: Framing): void;
  /** 101 to a request that asked for it: from here on the channel is the caller's. */
  onUpgrade(head: ResponseHead, channel: Channel): void;
  onData(bytes: Buffer): void;
  onEnd(trailers: Fields): void;
  /** The stream failed; no other event follows. `unseen`: the other end has certainly not looked at the request. */
  onFault(refusal: Refusal, why: string, unseen: boolean): void;
  onDrain(): void;
}

/** What a stream asks for; `fields` are as they go out, without those of the connection. */
export interface UpstreamRequest {
  readonly head: RequestHead;
  readonly target: string;
  readonly fields: Fields;
  readonly framing: Framing;
  /** The protocol that the caller asks to switch to, if any. */
  readonly upgrade: string | undefined;
}

export interface UpstreamStream {
  /** The connection had carried other requests before: it may have been closed under our feet. */
  readonly reused: boolean;
  /** False: wait for onDrain. */
  write(bytes: Buffer): boolean;
  end(trailers: Fields): void;
  pause(): void;
  resume(): void;
  /** Gives up; no event follows. */
  abort(): void;
}

/** A connection that is ready for one request, or for many. */
export interface UpstreamConnection {
  /** Sends the head. Events may come before this returns only if the connection is gone. */
  open(request: UpstreamRequest, events: UpstreamEvents): UpstreamStream;
  /** The request that it was made for is gone: others may have it. */
  giveBack(): void;
}
