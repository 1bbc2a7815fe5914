// What the proxy counts and what `top` reads, declared once.
//
// Latency goes into fixed buckets from 0.25 ms to 60 s, none more than twice the one before, 1.5 times from 0.5 ms to 30 s:
// a quantile that is interpolated within its bucket is off by less than that. All of OpenTelemetry's stable boundaries (5 ms to 10 s) are among them, so an export loses nothing.

/** Upper bounds in milliseconds, inclusive; one more bucket holds what is longer. */
export const BUCKET_BOUNDS_MS: readonly number[] = [
  0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12.5, 15, 20, 25, 30, 40, 50, 60, 75, 100, 125, 150, 200, 250, 300, 400, 500, 600, 750,
  1000, 1250, 1500, 2000, 2500, 3000, 4000, 5000, 6000, 7500, 10_000, 15_000, 20_000, 30_000, 60_000,
];

export const BUCKET_COUNT = BUCKET_BOUNDS_MS.length + 1;

/** The bucket of a duration. Binary search: the table has 46 bounds. */
export function bucketOf(ms: number): number {
  let low = 0;
  let high = BUCKET_BOUNDS_MS.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ms <= (BUCKET_BOUNDS_MS[middle] as number)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** How a request ended, as a metric label: the class of its status, or why the proxy refused it. */
export function outcomeOf(status: number, refusal: string | undefined): string {
  if (refusal !== undefined) return refusal;
  return status >= 100 && status <= 599 ? `${Math.floor(status / 100)}xx` : 'upstream_invalid';
}

// `canceled`: the caller went away. `tcp`: a connection that ended by itself.
export const NO_FAILURE: ReadonlySet<string> = new Set([
  '1xx',
  '2xx',
  '3xx',
  '4xx',
  'tcp',
  'canceled',
  'denied',
  'bad_request',
  'rate_limited',
]);

/** Whether an outcome counts against the service's success rate. Denials and what the caller did wrong do not. */
export function isFailure(outcome: string): boolean {
  return !NO_FAILURE.has(outcome);
}
