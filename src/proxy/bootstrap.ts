// How a proxy is started and what it answers: frames (base/frames.ts) on descriptor 3, inherited from the supervisor;
// or one file, for a proxy on its own.
// The join token comes this way and no other: never in argv or environment.
//
// The decoder is hand-written because the proxy loads no package.
import { Fault, type FaultRecord } from '../base/fault.ts';
import type { Protocol, ProxySnapshot } from '../mesh/snapshot.ts';

export interface InboundListener {
  readonly portName: string;
  readonly protocol: Protocol;
  /** Where to listen for mTLS (loopback when no host is given); 0 for any free port. */
  readonly host?: string;
  readonly port: number;
  /** Where the application listens, on loopback when no host is given. */
  readonly appHost?: string;
  readonly appPort: number;
}

export interface OutboundListener {
  readonly service: string;
  readonly protocol: Protocol;
  readonly host?: string;
  readonly port: number;
}

/** `forward`: the listener behind HTTP_PROXY. `capture`: for connections that the kernel redirects here. */
export interface PlainListener {
  readonly kind: 'forward' | 'ingress' | 'capture';
  readonly host?: string;
  readonly port: number;
}

export interface Listeners {
  readonly inbound: readonly InboundListener[];
  readonly outbound: readonly OutboundListener[];
  readonly plain: readonly PlainListener[];
}

/** The start of a proxy that follows a control plane. */
export interface Bootstrap extends Listeners {
  readonly kind: 'bootstrap';
  readonly proxyId: string;
  readonly service: string;
  readonly instance: string;
  readonly controlSocket: string;
  readonly token: string;
}

/** The start of a proxy on its own (`meshctl proxy run`): everything is here, or in files that are read again when they change. */
export interface Standalone extends Listeners {
  readonly kind: 'standalone';
  readonly service: string;
  readonly spiffeId: string;
  readonly identity: { readonly certFile: string; readonly keyFile: string; readonly bundleFile: string };
  readonly snapshot: ProxySnapshot;
  /** Files whose change means a new snapshot. */
  readonly watch: readonly string[];
  /** Command that prints this message anew from its file. */
  readonly reload?: readonly string[];
}

/** What the supervisor may send after the bootstrap: a fresh join token for a live instance. */
export interface TokenMessage {
  readonly kind: 'token';
  readonly token: string;
}

/** Asks whether the application answers on a port; the answer is `probed`. */
export interface ProbeMessage {
  readonly kind: 'probe';
  readonly id: number;
  readonly port: number;
  readonly path?: string;
}

/** What the proxy reports on the same descriptor. */
export type ProxyReport =
  | {
      readonly kind: 'listening';
      readonly inbound: Record<string, number>;
      readonly outbound: Record<string, number>;
      readonly forward: number | undefined;
      readonly ingress: number | undefined;
      readonly capture: number | undefined;
    }
  /** It has a certificate and a snapshot. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'probed'; readonly id: number; readonly ok: boolean }
  | { readonly kind: 'failed'; readonly fault: FaultRecord };

/** Checks the first frame on descriptor 3. Throws PROXY_BOOTSTRAP. */
export function parseBootstrap(value: unknown): Bootstrap {
  if (typeof value !== 'object' || value === null) throw wrong('no object');
  const raw = value as Record<string, unknown>;
  if (raw['kind'] !== 'bootstrap') throw wrong('no bootstrap message');
  for (const key of ['proxyId', 'service', 'instance', 'controlSocket', 'token']) {
    if (typeof raw[key] !== 'string' || raw[key] === '') throw wrong(`\`${key}\` is missing`);
  }
  for (const key of ['inbound', 'outbound', 'plain']) if (!Array.isArray(raw[key])) throw wrong(`\`${key}\` is no list`);
  return value as Bootstrap;
}

function wrong(why: string): Fault {
  return new Fault('PROXY_BOOTSTRAP', 'config', `the proxy's start message is unusable: ${why}`);
}
