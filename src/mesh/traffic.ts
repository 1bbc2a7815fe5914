// How a service is called: balancing, timeouts, retries, limits, faults. Values only; the reader is mesh/traffic-spec.ts.
// The defaults are those of Envoy and Linkerd where they agree; docs/traffic.md says where each comes from.

export const BALANCERS = ['peakEwma', 'leastRequests', 'roundRobin'] as const;
export const ZONE_RULES = ['prefer', 'ignore'] as const;

export interface Timeouts {
  /** From the end of the request to the head of the answer, all tries together. */
  readonly requestMs: number;
  /** The same for one try; 0 for none of its own. */
  readonly perTryMs: number;
  readonly connectMs: number;
  /** A request body or an answer in which nothing moves for so long ends it; 0 for never. */
  readonly idleMs: number;
}

export interface Retries {
  /** Tries after the first; 0 for none. */
  readonly attempts: number;
  /** Retries over requests within ten seconds. */
  readonly budget: number;
  /** Retries that are allowed whatever the budget says. */
  readonly minPerSecond: number;
  /** Full jitter between 0 and the base, doubled each time up to the maximum. */
  readonly backoffMs: number;
  readonly maxBackoffMs: number;
}

export interface Circuit {
  /** TCP connections at once. */
  readonly maxConnections: number;
  /** Requests that wait for a connection. */
  readonly maxPending: number;
  /** Requests in flight. */
  readonly maxRequests: number;
}

export interface Outliers {
  /** Failures in a row that eject an endpoint; 0 for never. */
  readonly consecutive: number;
  /** For so long, times the number of its ejections. */
  readonly ejectionMs: number;
  readonly maxEjectionMs: number;
  /** Never more than this share of the endpoints, but always at least one when there are two. */
  readonly maxEjectionPercent: number;
}

export interface Health {
  /** GET of this path; any answer below 500 is healthy. Undefined: a connection is enough. */
  readonly path: string | undefined;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Answers in a row that bring an endpoint back, and that take it out. */
  readonly healthy: number;
  readonly unhealthy: number;
}

export interface InjectedFault {
  /** Calling services; undefined for every one. */
  readonly from: readonly string[] | undefined;
  readonly percent: number;
  readonly delayMs: number;
  /** Status that the caller gets instead of an answer; undefined to delay only. */
  readonly abort: number | undefined;
}

export interface RateLimit {
  /** Which requests share it: empty for the service's, else the route's methods and path. */
  readonly scope: string;
  readonly requestsPerSecond: number;
  readonly burst: number;
}

export interface Traffic {
  readonly balance: (typeof BALANCERS)[number];
  /** Endpoints in the caller's own zone first, as long as half of those are fit. */
  readonly zone: (typeof ZONE_RULES)[number];
  readonly timeouts: Timeouts;
  readonly retries: Retries;
  readonly circuit: Circuit;
  readonly outliers: Outliers;
  readonly health: Health | undefined;
  /** What the service takes, counted by each of its own proxies. */
  readonly rateLimit: RateLimit | undefined;
  readonly faults: readonly InjectedFault[];
  /** A copy of this share of the requests; what becomes of it changes nothing. */
  readonly mirror: { readonly service: string; readonly percent: number } | undefined;
  /** Shares by weight; empty for the service itself. */
  readonly split: readonly { readonly service: string; readonly weight: number }[];
}

/** Requests that differ from the rest of the service: the first that fits. */
export interface TrafficRoute {
  /** A pattern as in policies: `*` one segment, a last `**` the rest. */
  readonly path: string;
  readonly methods: readonly string[] | undefined;
  readonly traffic: Traffic;
}

export const DEFAULT_TRAFFIC: Traffic = {
  balance: 'peakEwma',
  zone: 'prefer',
  timeouts: { requestMs: 30_000, perTryMs: 0, connectMs: 5000, idleMs: 300_000 },
  retries: { attempts: 2, budget: 0.2, minPerSecond: 10, backoffMs: 25, maxBackoffMs: 250 },
  circuit: { maxConnections: 10_000, maxPending: 1024, maxRequests: 1024 },
  outliers: { consecutive: 5, ejectionMs: 30_000, maxEjectionMs: 300_000, maxEjectionPercent: 10 },
  health: undefined,
  rateLimit: undefined,
  faults: [],
  mirror: undefined,
  split: [],
};
