// What is said between the control plane and everyone who connects to it: one JSON message per frame (base/frames.ts).
// Unknown kinds are ignored by both sides; a higher protocol number is refused with a message.
import type { FaultRecord } from '../base/fault.ts';
import type { ProxySnapshot } from './snapshot.ts';
import type { TapEvent, TapFilter } from './tap.ts';

export const PROTOCOL = 1;

/** The first message of a proxy. Either a one-time join token, or the chain that it was given before (proved by `proof`). */
export interface Hello {
  readonly kind: 'hello';
  readonly protocol: number;
  readonly proxyId: string;
  /** Changes whenever the proxy process is a new one: its cumulative counters begin at zero. */
  readonly epoch: string;
  readonly token?: string;
  /** PEM chain, leaf first. */
  readonly svid?: string;
  readonly haveVersion?: string;
}

export type FromProxy =
  | Hello
  /** Signature over the nonce with the key of the SVID (base64, ECDSA P-256 with SHA-256). */
  | { readonly kind: 'proof'; readonly signature: string }
  | { readonly kind: 'ack'; readonly version: string }
  | { readonly kind: 'nack'; readonly version: string; readonly fault: FaultRecord }
  /** PKCS#10, DER, base64. */
  | { readonly kind: 'csr'; readonly request: string }
  | { readonly kind: 'metrics'; readonly at: number; readonly series: readonly SeriesSample[]; readonly gauges: Gauges }
  | { readonly kind: 'spans'; readonly spans: readonly unknown[] }
  | { readonly kind: 'dropped'; readonly what: 'spans' | 'metrics'; readonly count: number }
  /** The bundle of this sequence is in force. */
  | { readonly kind: 'trusts'; readonly sequence: number }
  | { readonly kind: 'tap'; readonly tap: number; readonly events: readonly TapEvent[]; readonly dropped: number }
  /** The answer to `command`. */
  | { readonly kind: 'result'; readonly id: number; readonly answer: ProxyAnswer };

export type ToProxy =
  | { readonly kind: 'challenge'; readonly nonce: string }
  | { readonly kind: 'refused'; readonly fault: FaultRecord }
  | { readonly kind: 'snapshot'; readonly snapshot: ProxySnapshot }
  /** Trust anchors as PEM; sent before the first snapshot and whenever they change. */
  | { readonly kind: 'bundle'; readonly sequence: number; readonly roots: readonly string[]; readonly federation: readonly ForeignBundle[] }
  /** PEM chain, leaf first; the answer to `csr`. */
  | { readonly kind: 'svid'; readonly chain: string }
  /** The other answer to `csr`: the identity is blocked. The session goes on. */
  | { readonly kind: 'withheld'; readonly fault: FaultRecord }
  | { readonly kind: 'command'; readonly id: number; readonly command: ProxyCommand };

/** Whom to trust for the identities of another trust domain, and for no others. PEM. */
export interface ForeignBundle {
  readonly trustDomain: string;
  readonly roots: readonly string[];
}

export type ProxyCommand =
  /** Every connection ends now whose other side proved this identity, or this serial (lower-case hex). */
  | { readonly kind: 'cut'; readonly identity?: string; readonly serial?: string }
  /** A new key and certificate now. */
  | { readonly kind: 'renew' }
  /** A whole handshake with each of these proxies, and an answer from it, with the certificate in use. */
  | { readonly kind: 'try'; readonly targets: readonly TrialTarget[] }
  /** Requests that fit are sent as they end, so many a second at most, for so long. */
  | { readonly kind: 'tap'; readonly tap: number; readonly filter: TapFilter; readonly perSecond: number; readonly forMs: number }
  | { readonly kind: 'untap'; readonly tap: number }
  /** Who is at the other end of its connections now. */
  | { readonly kind: 'peers' };

/** Connections to or from one certificate of another proxy. */
export interface PeerLink {
  readonly direction: 'inbound' | 'outbound';
  /** SPIFFE id that the other end proved. */
  readonly identity: string;
  readonly serial: string;
  readonly ownSerial: string;
  /** `TLSv1.3` and `TLS_AES_256_GCM_SHA384`. */
  readonly tls: string;
  readonly cipher: string;
  readonly connections: number;
}

export interface TrialTarget {
  readonly instance: string;
  readonly host: string;
  readonly port: number;
  /** SPIFFE id that has to be there. */
  readonly identity: string;
}

/** How far a trial came: `answer` is a byte of an answer, after both sides had verified each other. */
export interface Trial {
  readonly instance: string;
  readonly reached: 'nothing' | 'connection' | 'handshake' | 'answer';
  readonly why: string;
}

/** By the kind of the command. */
export interface ProxyAnswer {
  /** `cut`: connections that ended. */
  readonly ended?: number;
  /** `renew`: of the new certificate. */
  readonly serial?: string;
  /** `try`. */
  readonly trials?: readonly Trial[];
  /** `peers`. */
  readonly peers?: readonly PeerLink[];
}

/** One series, cumulative since the proxy's epoch. Those that did not grow since the last message may be left out. */
export interface SeriesSample {
  readonly direction: 'inbound' | 'outbound';
  /** Caller on the inbound side, callee on the outbound side; `-` for no identity. */
  readonly peer: string;
  readonly protocol: 'http' | 'tcp';
  /** `2xx`, …, `tcp`, or the refusal. */
  readonly outcome: string;
  /** `GET /orders/{id}`: a series of a route, over all callers. */
  readonly route?: string;
  readonly count: number;
  readonly sumMs: number;
  /** Of what was counted since the last message. */
  readonly maxMs: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** Pairs of index and count of the buckets of signals/metrics.ts that are not empty; not cumulative over bounds. */
  readonly buckets: readonly number[];
}

export interface Gauges {
  readonly inFlight: number;
  readonly openConnections: number;
  /** Share of the last interval in which the proxy's event loop was busy, 0 to 1. */
  readonly eventLoopUtilization: number;
  readonly identityExpired: number;
  /** Connections that were made with an earlier certificate of this proxy and are still open. */
  readonly staleConnections: number;
  /** Requests that wait for a connection to what the application calls, and how many may. */
  readonly queued: number;
  readonly queueLimit: number;
  /** Of each service that is called: requests under way over what its `circuit` allows; the highest, 0 to 1. */
  readonly circuit: number;
  /** CPU time of the proxy since it started, and what it holds. */
  readonly cpuMs: number;
  readonly memoryBytes: number;
}

/** The supervisor and the command line speak requests and answers; either side may ask. */
export type AdminMessage =
  | { readonly kind: 'admin'; readonly protocol: number; readonly role: 'supervisor' | 'cli' }
  | { readonly kind: 'request'; readonly id: number; readonly method: string; readonly params: unknown }
  | { readonly kind: 'response'; readonly id: number; readonly result?: unknown; readonly fault?: FaultRecord };

/** One instance as the supervisor knows it. */
export interface InstanceState {
  readonly service: string;
  /** `web-0`. */
  readonly instance: string;
  readonly state: 'starting' | 'ready' | 'stopping' | 'crashed' | 'stopped';
  readonly restarts: number;
  readonly pid: number | undefined;
  readonly proxyPid: number | undefined;
  readonly lastExit: string | undefined;
  /** Where its proxy is reached; loopback when it has no network of its own. */
  readonly host?: string;
  /** Inbound mTLS listeners of its proxy by port name. */
  readonly inbound: Readonly<Record<string, number>>;
  /** SHA-256 of join tokens that the supervisor has handed to this instance's proxy, hex. */
  readonly tokenHashes: readonly string[];
}

export interface ResourceSample {
  readonly service: string;
  readonly instance: string;
  /** CPU time used by the service's processes and children since they started. */
  readonly cpuMs: number;
  readonly memoryBytes: number;
  readonly processes: number;
  /** Of the cgroup that the service runs in; missing where nothing limits it. 100 is one core. */
  readonly cpuLimitPercent?: number;
  readonly memoryLimitBytes?: number;
}
