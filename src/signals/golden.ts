// Windows of counters → rows of golden signals: latency, traffic, errors, saturation; one row a service.
// Inbound view: what the service's own proxies saw arrive.
import { addBuckets, quantile } from './histogram.ts';
import { isFailure } from './metrics.ts';

/** What one inbound series grew by within the window. */
export interface WindowSeries {
  readonly service: string;
  readonly instance: string;
  readonly peer: string;
  readonly protocol: 'http' | 'tcp';
  readonly outcome: string;
  readonly count: number;
  readonly buckets: readonly number[];
}

/** Saturation of one instance, newest reading. Null where the platform does not tell. */
export interface InstanceLoad {
  readonly service: string;
  readonly instance: string;
  readonly cpuPercent: number | null;
  readonly memoryBytes: number | null;
  readonly inFlight: number | null;
  readonly ready: boolean;
}

export interface StatRow {
  readonly service: string;
  readonly protocol: 'http' | 'tcp';
  readonly instances: number;
  readonly instancesReady: number;
  readonly requestsPerSecond: number;
  readonly successPercent: number | null;
  readonly deniedPerSecond: number;
  readonly p50Ms: number | null;
  readonly p95Ms: number | null;
  readonly p99Ms: number | null;
  readonly cpuPercent: number | null;
  readonly memoryBytes: number | null;
  readonly inFlight: number | null;
}

export interface Stat {
  readonly window: { readonly from: string; readonly to: string; readonly seconds: number };
  readonly completeness: { readonly proxiesAnswered: number; readonly proxiesTotal: number; readonly samplesDropped: number };
  readonly rows: readonly StatRow[];
}

/** Rows in the order of `services`; a service without traffic has rates of 0 and nulls, never made-up figures. */
export function goldenRows(
  services: readonly { readonly name: string; readonly protocol: 'http' | 'tcp' }[],
  series: readonly WindowSeries[],
  loads: readonly InstanceLoad[],
  seconds: number,
): StatRow[] {
  return services.map(({ name, protocol }) => {
    let total = 0;
    let failures = 0;
    let denied = 0;
    const buckets: number[] = [];
    for (const one of series) {
      if (one.service !== name) continue;
      if (one.outcome === 'denied') {
        denied += one.count;
        continue;
      }
      total += one.count;
      if (isFailure(one.outcome)) failures += one.count;
      if (one.protocol === 'http') addBuckets(buckets, one.buckets);
    }
    const own = loads.filter((load) => load.service === name);
    return {
      service: name,
      protocol,
      instances: own.length,
      instancesReady: own.filter((load) => load.ready).length,
      requestsPerSecond: round(total / seconds, 2),
      successPercent: total === 0 ? null : round(((total - failures) / total) * 100, 2),
      deniedPerSecond: round(denied / seconds, 2),
      p50Ms: quantile(buckets, 0.5),
      p95Ms: quantile(buckets, 0.95),
      p99Ms: quantile(buckets, 0.99),
      cpuPercent: sum(own, (load) => load.cpuPercent, 1),
      memoryBytes: sum(own, (load) => load.memoryBytes, 0),
      inFlight: sum(own, (load) => load.inFlight, 0),
    };
  });
}

function sum(loads: readonly InstanceLoad[], value: (load: InstanceLoad) => number | null, digits: number): number | null {
  const known = loads.map(value).filter((each) => each !== null);
  return known.length === 0
    ? null
    : round(
        known.reduce((a, b) => a + b, 0),
        digits,
      );
}

function round(value: number, digits: number): number {
  const factor = 10 ** digits;
  return Math.round(value * factor) / factor;
}
