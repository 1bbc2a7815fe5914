// The seam between an exchange and whatever carries it: one request and its answer as a stream of events.
// Today one pooled connection per request in flight (upstream/h1.ts); a tunnel would implement the same.
import type { Refusal } from '../../mesh/refusal.ts';
import type { Fields } from '../codec/fields.ts';
import type { Framing } from '../codec/h1/framing.ts';
import type { ResponseHead } from '../codec/h1/head.ts';
import type { Resettable } from '../net/join.ts';

export interface UpstreamEvents {
  /** 1xx, before the answer. */
  onInterim(head: ResponseHead): void;
  onHead(head: ResponseHead, framing: Framing): void;
  /** 101 to a request that asked for it: from here on the connection is the caller's, beginning with `first`. */
  onUpgrade(head: ResponseHead, connection: UpgradedConnection): void;
  onData(bytes: Buffer): void;
  onEnd(trailers: Fields): void;
  /** The stream failed; no other event follows. */
  onFault(refusal: Refusal, why: string): void;
  onDrain(): void;
}

export interface UpgradedConnection extends Resettable {
  readonly first: Buffer;
  readonly expiresAtMs: number;
}

export interface UpstreamStream {
  /** The connection had carried other requests before: it may have been closed under our feet. */
  readonly reused: boolean;
  /** `upgrade` is the protocol that the caller asks to switch to, if any. */
  send(method: string, target: string, fields: Fields, framing: Framing, upgrade: string | undefined): void;
  /** False: wait for onDrain. */
  write(bytes: Buffer): boolean;
  end(trailers: Fields): void;
  pause(): void;
  resume(): void;
  /** Gives up; no event follows. */
  abort(): void;
}
