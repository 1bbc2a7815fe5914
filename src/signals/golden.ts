// Windows of counters → rows of golden signals: latency, traffic, errors, saturation; one row a service, instance, edge or route.
// Inbound view (what a service's own proxies saw arrive) unless an edge is looked at from its caller's side.
import { quantile } from './histogram.ts';
import { isFailure } from './metrics.ts';
import { type Amount, addAmount, emptyAmount } from './pack.ts';

/** What one series grew by within the window. */
export interface WindowSeries extends Amount {
  readonly service: string;
  readonly instance: string;
  readonly direction: 'inbound' | 'outbound';
  /** Caller on the inbound side, callee on the outbound side. */
  readonly peer: string;
  readonly protocol: 'http' | 'tcp';
  readonly outcome: string;
  /** `GET /orders/{id}`; empty in the series of callers and callees. */
  readonly route: string;
}

export type SeriesLabels = Omit<WindowSeries, keyof Amount>;

/** Saturation of one instance, newest reading. Null where the platform does not tell. */
export interface InstanceLoad {
  readonly service: string;
  readonly instance: string;
  readonly cpuPercent: number | null;
  readonly memoryBytes: number | null;
  readonly inFlight: number | null;
  readonly ready: boolean;
  /** Of the service's cgroup; null where it has none. */
  readonly cpuLimitPercent?: number | null;
  readonly memoryLimitBytes?: number | null;
  readonly openConnections?: number | null;
  /** Requests of this instance that wait for a connection to what it calls, and how many may. */
  readonly queued?: number | null;
  readonly queueLimit?: number | null;
  /** Requests it has under way to what it calls, over what `circuit` allows: the fullest of them, in percent. */
  readonly circuitPercent?: number | null;
  /** Share of the proxy's event loop that was busy, in percent. */
  readonly proxyLoopPercent?: number | null;
  readonly proxyMemoryBytes?: number | null;
  readonly proxyCpuPercent?: number | null;
}

export interface StatRow {
  readonly service: string;
  readonly protocol: 'http' | 'tcp';
  /** Set in rows of instances, of edges (the other end), and of routes. */
  readonly instance?: string;
  readonly peer?: string;
  readonly route?: string;
  readonly instances: number;
  readonly instancesReady: number;
  readonly requestsPerSecond: number;
  readonly successPercent: number | null;
  readonly deniedPerSecond: number;
  /** By class or refusal, those above zero: what is behind successPercent. */
  readonly failuresPerSecond: Readonly<Record<string, number>>;
  readonly clientErrorsPerSecond: number;
  readonly p50Ms: number | null;
  readonly p95Ms: number | null;
  readonly p99Ms: number | null;
  readonly maxMs: number | null;
  readonly receivedBytesPerSecond: number;
  readonly sentBytesPerSecond: number;
  readonly cpuPercent: number | null;
  readonly cpuLimitPercent: number | null;
  readonly memoryBytes: number | null;
  readonly memoryLimitBytes: number | null;
  readonly inFlight: number | null;
  readonly openConnections: number | null;
  readonly queued: number | null;
  readonly queueLimit: number | null;
  readonly circuitPercent: number | null;
  readonly proxyLoopPercent: number | null;
  readonly proxyCpuPercent: number | null;
  readonly proxyMemoryBytes: number | null;
}

export type StatKind = 'service' | 'instance' | 'edge' | 'route' | 'caller';
export const STAT_KINDS: readonly StatKind[] = ['service', 'instance', 'edge', 'route', 'caller'];

export interface Stat {
  readonly by: StatKind;
  readonly view: 'inbound' | 'outbound';
  readonly window: { readonly from: string; readonly to: string; readonly seconds: number };
  readonly completeness: { readonly proxiesAnswered: number; readonly proxiesTotal: number; readonly samplesDropped: number };
  readonly rows: readonly StatRow[];
}

export interface KnownService {
  readonly name: string;
  readonly protocol: 'http' | 'tcp';
}

/**
 * Rows by service and instance stand there without traffic too (rates of 0 and nulls, never made-up figures); those by edge, route and caller
 * are what there was. `edge` is the callee's view (`peer` is the caller) unless `view` is outbound (`peer` is the callee).
 */
export function goldenRows(
  services: readonly KnownService[],
  series: readonly WindowSeries[],
  loads: readonly InstanceLoad[],
  seconds: number,
  by: StatKind = 'service',
  view: 'inbound' | 'outbound' = 'inbound',
): StatRow[] {
  const wanted = new Map(services.map((service) => [service.name, service]));
  const groups = new Map<string, Group>();
  const groupOf = (service: KnownService, labels: Pick<StatRow, 'instance' | 'peer' | 'route'>): Group => {
    const key = JSON.stringify([service.name, labels.instance, labels.peer, labels.route, by === 'edge' ? service.protocol : '']);
    const group = groups.get(key) ?? {
      service,
      labels,
      total: emptyAmount(),
      latency: emptyAmount(),
      denied: 0,
      failures: {},
      clientErrors: 0,
    };
    groups.set(key, group);
    return group;
  };
  if (by === 'service') for (const service of services) groupOf(service, {});
  if (by === 'instance')
    for (const { service, instance } of loads) {
      const known = wanted.get(service);
      if (known !== undefined) groupOf(known, { instance });
    }
  for (const one of series) {
    const known = wanted.get(one.service);
    if (known === undefined || !isCounted(one, by, view)) continue;
    const labels = {
      ...(by === 'instance' ? { instance: one.instance } : {}),
      ...(by === 'edge' || by === 'caller' ? { peer: one.peer } : {}),
      ...(by === 'route' ? { route: one.route } : {}),
    };
    addTo(groupOf(by === 'edge' ? { ...known, protocol: one.protocol } : known, labels), one);
  }
  const rows = [...groups.values()].map((group) => rowOf(group, loads, seconds));
  // Services stand in their order; of what there was, the busiest first.
  const weight = (row: StatRow): number => row.requestsPerSecond + row.deniedPerSecond;
  return by === 'service' || by === 'instance' ? rows : rows.sort((a, b) => weight(b) - weight(a));
}

/** Whether a series is part of these rows. */
export function isCounted({ direction, route }: SeriesLabels, by: StatKind, view: 'inbound' | 'outbound'): boolean {
  return direction === view && (route !== '') === (by === 'route');
}

interface Group {
  readonly service: KnownService;
  readonly labels: Pick<StatRow, 'instance' | 'peer' | 'route'>;
  readonly total: Amount;
  /** HTTP only: a TCP connection's time is no latency. */
  readonly latency: Amount;
  denied: number;
  readonly failures: Record<string, number>;
  clientErrors: number;
}

const CLIENT_ERRORS = new Set(['4xx', 'bad_request', 'rate_limited']);

function addTo(group: Group, one: WindowSeries): void {
  if (one.outcome === 'denied') {
    group.denied += one.count;
    return;
  }
  addAmount(group.total, one);
  if (isFailure(one.outcome)) group.failures[one.outcome] = (group.failures[one.outcome] ?? 0) + one.count;
  if (CLIENT_ERRORS.has(one.outcome)) group.clientErrors += one.count;
  if (one.protocol === 'http') addAmount(group.latency, one);
}

function rowOf(
  { service, labels, total, latency, denied, failures, clientErrors }: Group,
  loads: readonly InstanceLoad[],
  seconds: number,
): StatRow {
  const own =
    labels.peer !== undefined || labels.route !== undefined
      ? []
      : loads.filter((load) => load.service === service.name && (labels.instance === undefined || load.instance === labels.instance));
  const failed = Object.values(failures).reduce((a, b) => a + b, 0);
  const all = (value: (load: InstanceLoad) => number | null | undefined, digits = 0): number | null => sum(own, value, digits);
  return {
    service: service.name,
    protocol: service.protocol,
    ...labels,
    instances: own.length,
    instancesReady: own.filter((load) => load.ready).length,
    requestsPerSecond: round(total.count / seconds, 2),
    successPercent: total.count === 0 ? null : round(((total.count - failed) / total.count) * 100, 2),
    deniedPerSecond: round(denied / seconds, 2),
    failuresPerSecond: Object.fromEntries(Object.entries(failures).map(([outcome, count]) => [outcome, round(count / seconds, 2)])),
    clientErrorsPerSecond: round(clientErrors / seconds, 2),
    p50Ms: quantile(latency.buckets, 0.5),
    p95Ms: quantile(latency.buckets, 0.95),
    p99Ms: quantile(latency.buckets, 0.99),
    maxMs: latency.count === 0 ? null : round(latency.maxMs, 2),
    receivedBytesPerSecond: Math.round(total.requestBytes / seconds),
    sentBytesPerSecond: Math.round(total.responseBytes / seconds),
    cpuPercent: all((load) => load.cpuPercent, 1),
    cpuLimitPercent: all((load) => load.cpuLimitPercent),
    memoryBytes: all((load) => load.memoryBytes),
    memoryLimitBytes: all((load) => load.memoryLimitBytes),
    inFlight: all((load) => load.inFlight),
    openConnections: all((load) => load.openConnections),
    queued: all((load) => load.queued),
    queueLimit: all((load) => load.queueLimit),
    circuitPercent: highest(own, (load) => load.circuitPercent),
    proxyLoopPercent: highest(own, (load) => load.proxyLoopPercent),
    proxyCpuPercent: all((load) => load.proxyCpuPercent, 1),
    proxyMemoryBytes: all((load) => load.proxyMemoryBytes),
  };
}

type Value = (load: InstanceLoad) => number | null | undefined;

function known(loads: readonly InstanceLoad[], value: Value): number[] {
  return loads.map(value).filter((each): each is number => each !== null && each !== undefined);
}

function sum(loads: readonly InstanceLoad[], value: Value, digits: number): number | null {
  const values = known(loads, value);
  return values.length === 0
    ? null
    : round(
        values.reduce((a, b) => a + b, 0),
        digits,
      );
}

function highest(loads: readonly InstanceLoad[], value: Value): number | null {
  const values = known(loads, value);
  return values.length === 0 ? null : Math.max(...values);
}

function round(value: number, digits: number): number {
  const factor = 10 ** digits;
  return Math.round(value * factor) / factor;
}
