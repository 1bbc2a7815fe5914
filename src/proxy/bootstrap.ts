// How a proxy is started and what it answers: frames (base/frames.ts) on descriptor 3, inherited from the supervisor.
// The join token comes this way and no other: never in argv or environment.
//
// The decoder is hand-written because the proxy loads no package.
import { Fault, type FaultRecord } from '../base/fault.ts';
import type { Protocol } from '../mesh/spec.ts';

export interface InboundListener {
  readonly portName: string;
  readonly protocol: Protocol;
  /** Where to listen for mTLS; 0 for any free port. */
  readonly port: number;
  /** Where the application listens, on loopback. */
  readonly appPort: number;
}

export interface OutboundListener {
  readonly service: string;
  readonly protocol: Protocol;
  readonly port: number;
}

export interface Bootstrap {
  readonly kind: 'bootstrap';
  readonly proxyId: string;
  readonly service: string;
  readonly instance: string;
  readonly controlSocket: string;
  readonly token: string;
  readonly inbound: readonly InboundListener[];
  readonly outbound: readonly OutboundListener[];
  /** The listener behind HTTP_PROXY; undefined for none. */
  readonly forwardPort: number | undefined;
  /** The ingress listener; undefined for a sidecar. */
  readonly ingressPort: number | undefined;
}

/** What the supervisor may send after the bootstrap: a fresh join token for a live instance. */
export interface TokenMessage {
  readonly kind: 'token';
  readonly token: string;
}

/** What the proxy reports on the same descriptor. */
export type ProxyReport =
  | {
      readonly kind: 'listening';
      readonly inbound: Record<string, number>;
      readonly outbound: Record<string, number>;
      readonly forward: number | undefined;
      readonly ingress: number | undefined;
    }
  /** It has a certificate and a snapshot. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly fault: FaultRecord };

/** Checks the first frame on descriptor 3. Throws PROXY_BOOTSTRAP. */
export function parseBootstrap(value: unknown): Bootstrap {
  if (typeof value !== 'object' || value === null) throw wrong('no object');
  const raw = value as Record<string, unknown>;
  if (raw['kind'] !== 'bootstrap') throw wrong('no bootstrap message');
  for (const key of ['proxyId', 'service', 'instance', 'controlSocket', 'token']) {
    if (typeof raw[key] !== 'string' || raw[key] === '') throw wrong(`\`${key}\` is missing`);
  }
  for (const key of ['inbound', 'outbound']) if (!Array.isArray(raw[key])) throw wrong(`\`${key}\` is no list`);
  return value as Bootstrap;
}

function wrong(why: string): Fault {
  return new Fault('PROXY_BOOTSTRAP', 'config', `the proxy's start message is unusable: ${why}`);
}
