// What one proxy knows of one service that it calls: which endpoints are fit, how long they take, how much is under way,
// how many retries are left. Needs a permit to name an endpoint.
//
//   fit        not ejected for failures in a row, not down by health checks; when less than half are fit, all are (Envoy's panic)
//   zone       those of the own zone first, as long as half of them are fit and one is left to try
//   choice     power of two choices by peak EWMA × requests in flight (Finagle, Linkerd), by requests in flight, or in turn
//   ejection   after so many failures in a row, for a time that grows, never more than a share of the endpoints
import { addressKey, type Endpoint, type Upstream, upstreamKey } from '../../mesh/snapshot.ts';
import type { Retries, Traffic } from '../../mesh/traffic.ts';
import type { Permit } from '../permit.ts';

export interface Destination {
  /** `host:port`, the key of pools and counts. */
  readonly key: string;
  readonly host: string;
  readonly port: number;
  readonly instance: string | undefined;
  /** The identity that the other end must prove; undefined for the own application, which is reached in plain text. */
  readonly spiffeId: string | undefined;
  readonly connectTimeoutMs: number;
  /** What the own application speaks; to another proxy both agree on something. */
  readonly speaks: 'http1' | 'http2';
}

const DECAY_MS = 10_000;
/** Latencies under this are all the same, and so are two of which neither is twice the other: a handful of fast answers is noise. */
const SAME_MS = 5;
const SAME_FACTOR = 2;
const PANIC_SHARE = 0.5;
const APP_CONNECT_MS = 5000;

export class EndpointState implements Destination {
  readonly key: string;
  readonly host: string;
  readonly port: number;
  readonly instance: string;
  readonly zone: string | undefined;
  readonly spiffeId: string;
  connectTimeoutMs = 5000;
  readonly speaks = 'http1';
  inFlight = 0;
  #latencyMs = 0;
  #latencyAtMs = 0;
  failures = 0;
  ejections = 0;
  ejectedUntilMs = 0;
  /** By active health checks. */
  down = false;
  checksInARow = 0;

  constructor({ host, port, instance, zone }: Endpoint, spiffeId: string) {
    this.zone = zone;
    this.key = addressKey({ host, port });
    this.host = host;
    this.port = port;
    this.instance = instance;
    this.spiffeId = spiffeId;
  }

  isFit(now: number): boolean {
    return !this.down && this.ejectedUntilMs <= now;
  }

  /** A peak is believed at once, what is faster only by and by: the average decays over ten seconds. */
  observe(ms: number, now: number): void {
    if (ms >= this.#latencyMs) this.#latencyMs = ms;
    else {
      const weight = Math.exp((this.#latencyAtMs - now) / DECAY_MS);
      this.#latencyMs = this.#latencyMs * weight + ms * (1 - weight);
    }
    this.#latencyAtMs = now;
  }

  /** An endpoint that nothing was heard of for a while is forgiven by and by. */
  latency(now: number): number {
    return Math.max(SAME_MS, this.#latencyMs * Math.exp((this.#latencyAtMs - now) / DECAY_MS));
  }
}

/** The less loaded of two. */
function lighter(a: EndpointState, b: EndpointState, balance: Traffic['balance'], now: number, random: () => number): EndpointState {
  let ours = a.inFlight;
  let theirs = b.inFlight;
  if (balance === 'peakEwma') {
    const mine = a.latency(now);
    const other = b.latency(now);
    if (Math.max(mine, other) > Math.min(mine, other) * SAME_FACTOR) {
      ours = mine * (ours + 1);
      theirs = other * (theirs + 1);
    }
  }
  if (ours === theirs) return random() < 0.5 ? a : b;
  return ours < theirs ? a : b;
}

/**
 * The endpoints among which is chosen: fit, and untried as long as one of them is left. When too few are fit, or all were tried: undefined
 * where there are others to turn to, else those that are there.
 */
function choosable(
  all: readonly EndpointState[],
  tried: ReadonlySet<string> | undefined,
  now: number,
  others: boolean,
): readonly EndpointState[] | undefined {
  let fit: readonly EndpointState[] = all.filter((endpoint) => endpoint.isFit(now));
  if (fit.length < all.length * PANIC_SHARE) {
    if (others) return undefined;
    fit = all;
  }
  if (tried === undefined || tried.size === 0) return fit;
  const fresh = fit.filter((endpoint) => !tried.has(endpoint.key));
  return fresh.length > 0 ? fresh : others ? undefined : fit;
}

/** The own application, which is reached in plain text; `major` is what the caller speaks. Undefined for a permit that means a service. */
export function appDestination({ target }: Permit, major: 1 | 2): Destination | undefined {
  if (target.kind !== 'app') return undefined;
  const { host, port, protocol } = target;
  const http2 = protocol === 'http2' || protocol === 'grpc' || (protocol === 'detect' && major === 2);
  return {
    key: `app:${port}`,
    host,
    port,
    instance: undefined,
    spiffeId: undefined,
    connectTimeoutMs: APP_CONNECT_MS,
    speaks: http2 ? 'http2' : 'http1',
  };
}

export class Cluster {
  readonly #endpoints = new Map<string, EndpointState>();
  #list: readonly EndpointState[] = [];
  /** Those in the zone of this proxy. */
  #near: readonly EndpointState[] = [];
  #known: Upstream | undefined;
  #zone: string | undefined;
  #turn = 0;
  readonly budget = new RetryBudget();
  /** HTTP requests in flight, requests waiting for a connection, TCP connections. */
  requests = 0;
  pending = 0;
  connections = 0;

  get upstream(): Upstream | undefined {
    return this.#known;
  }

  get endpoints(): readonly EndpointState[] {
    return this.#list;
  }

  /** Takes over what the snapshot says; endpoints that stay keep what is known of them. */
  update(upstream: Upstream, zone?: string): void {
    if (this.#known === upstream && this.#zone === zone) return;
    this.#known = upstream;
    this.#zone = zone;
    this.#list = upstream.endpoints.map((endpoint) => {
      const old = this.#endpoints.get(addressKey(endpoint));
      const state =
        old?.spiffeId === upstream.spiffeId && old.instance === endpoint.instance && old.zone === endpoint.zone
          ? old
          : new EndpointState(endpoint, upstream.spiffeId);
      state.connectTimeoutMs = upstream.traffic.timeouts.connectMs;
      return state;
    });
    this.#endpoints.clear();
    for (const state of this.#list) this.#endpoints.set(state.key, state);
    this.#near = zone === undefined ? [] : this.#list.filter((state) => state.zone === zone);
  }

  /** An endpoint that is fit and, as far as there is one, not in `tried`. Undefined when the service has no endpoint. */
  pick(
    permit: Permit,
    traffic: Traffic,
    tried: ReadonlySet<string> | undefined,
    now: number,
    random: () => number = Math.random,
  ): EndpointState | undefined {
    if (permit.target.kind !== 'service') return undefined;
    if (this.#list.length <= 1) return this.#list[0];
    const near = traffic.zone === 'prefer' && this.#near.length > 0 ? choosable(this.#near, tried, now, true) : undefined;
    const from = near ?? choosable(this.#list, tried, now, false) ?? [];
    if (from.length === 1) return from[0];
    if (traffic.balance === 'roundRobin') return from[this.#turn++ % from.length];
    const first = Math.floor(random() * from.length);
    const second = (first + 1 + Math.floor(random() * (from.length - 1))) % from.length;
    const a = from[first] as EndpointState;
    const b = from[second] as EndpointState;
    return lighter(a, b, traffic.balance, now, random);
  }

  /** Whether an endpoint is there that was not tried. */
  hasUntried(tried: ReadonlySet<string>): boolean {
    return this.#list.some((endpoint) => !tried.has(endpoint.key));
  }

  /** How a try ended: feeds the choice and the ejection. Undefined tells nothing of the endpoint. */
  settle(endpoint: EndpointState, ok: boolean | undefined, ms: number, now: number): void {
    if (ok === undefined) return;
    if (ok) {
      endpoint.observe(ms, now);
      endpoint.failures = 0;
      return;
    }
    endpoint.failures++;
    const outliers = this.#known?.traffic.outliers;
    if (outliers === undefined || outliers.consecutive === 0 || endpoint.failures < outliers.consecutive) return;
    this.#eject(endpoint, now);
  }

  /** One active health check. */
  checked(endpoint: EndpointState, ok: boolean): void {
    const health = this.#known?.traffic.health;
    if (health === undefined) return;
    endpoint.checksInARow = ok === endpoint.down ? endpoint.checksInARow + 1 : 0;
    if (endpoint.checksInARow < (ok ? health.healthy : health.unhealthy)) return;
    endpoint.down = !ok;
    endpoint.checksInARow = 0;
    if (ok) endpoint.ejectedUntilMs = 0;
  }

  #eject(endpoint: EndpointState, now: number): void {
    const outliers = this.#known?.traffic.outliers;
    if (outliers === undefined || endpoint.ejectedUntilMs > now || this.#list.length < 2) return;
    const out = this.#list.filter((each) => each.ejectedUntilMs > now).length;
    if (out >= Math.max(1, Math.floor((this.#list.length * outliers.maxEjectionPercent) / 100))) return;
    endpoint.ejections++;
    endpoint.failures = 0;
    endpoint.ejectedUntilMs = now + Math.min(outliers.maxEjectionMs, outliers.ejectionMs * endpoint.ejections);
  }
}

const BUDGET_SECONDS = 10;

/** Retries are a share of the requests of the last ten seconds, and a few more (Finagle's and Linkerd's retry budget). */
export class RetryBudget {
  readonly #requests = new Array<number>(BUDGET_SECONDS).fill(0);
  readonly #retries = new Array<number>(BUDGET_SECONDS).fill(0);
  #second = 0;

  request(now: number): void {
    const slot = this.#advance(now);
    this.#requests[slot] = (this.#requests[slot] ?? 0) + 1;
  }

  /** Whether one more retry may be made; it counts then. */
  retry({ budget, minPerSecond }: Retries, now: number): boolean {
    const slot = this.#advance(now);
    const sum = (counts: readonly number[]): number => counts.reduce((a, b) => a + b, 0);
    if (sum(this.#retries) >= sum(this.#requests) * budget + minPerSecond * BUDGET_SECONDS) return false;
    this.#retries[slot] = (this.#retries[slot] ?? 0) + 1;
    return true;
  }

  #advance(now: number): number {
    const second = Math.floor(now / 1000);
    for (let gone = Math.max(this.#second + 1, second - BUDGET_SECONDS + 1); gone <= second; gone++) {
      this.#requests[gone % BUDGET_SECONDS] = 0;
      this.#retries[gone % BUDGET_SECONDS] = 0;
    }
    this.#second = Math.max(second, this.#second);
    return second % BUDGET_SECONDS;
  }
}

/** One cluster a port of a service, kept while snapshots come and go. */
export class Clusters {
  readonly #clusters = new Map<string, Cluster>();

  of(upstream: Upstream, zone: string | undefined): Cluster {
    const key = upstreamKey(upstream);
    let cluster = this.#clusters.get(key);
    if (cluster === undefined) {
      cluster = new Cluster();
      this.#clusters.set(key, cluster);
    }
    cluster.update(upstream, zone);
    return cluster;
  }

  all(): IterableIterator<Cluster> {
    return this.#clusters.values();
  }

  /** Forgets what the snapshot has no more. */
  prune(upstreams: Iterable<Upstream>, zone: string | undefined): void {
    const kept = new Set<string>();
    for (const upstream of upstreams) {
      const key = upstreamKey(upstream);
      kept.add(key);
      this.#clusters.get(key)?.update(upstream, zone);
    }
    for (const key of this.#clusters.keys()) if (!kept.has(key)) this.#clusters.delete(key);
  }
}
