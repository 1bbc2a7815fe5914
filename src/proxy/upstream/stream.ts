// The seam between an exchange and whatever carries it: one request and its answer as a stream of events.
// Today one pooled connection per request in flight (upstream/h1.ts); a tunnel would implement the same.
import type { Refusal } from '../../mesh/refusal.ts';
import type { Fields } from '../codec/fields.ts';
import type { Framing } from '../codec/h1/framing.ts';
import type { ResponseHead } from '../codec/h1/head.ts';

export interface UpstreamEvents {
  /** 1xx, before the answer. */
  onInterim(head: ResponseHead): void;
  onHead(head: ResponseHead, framing: Framing): void;
  onData(bytes: Buffer): void;
  onEnd(trailers: Fields): void;
  /** The stream failed; no other event follows. */
  onFault(refusal: Refusal, why: string): void;
  onDrain(): void;
}

export interface UpstreamStream {
  /** The connection had carried other requests before: it may have been closed under our feet. */
  readonly reused: boolean;
  send(method: string, target: string, fields: Fields, framing: Framing): void;
  /** False: wait for onDrain. */
  write(bytes: Buffer): boolean;
  end(trailers: Fields): void;
  pause(): void;
  resume(): void;
  /** Gives up; no event follows. */
  abort(): void;
}
