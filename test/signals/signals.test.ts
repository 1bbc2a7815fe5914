import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { REFUSALS } from '../../src/mesh/refusal.ts';
import { goldenRows, type InstanceLoad, type WindowSeries } from '../../src/signals/golden.ts';
import { quantile } from '../../src/signals/histogram.ts';
import { BUCKET_BOUNDS_MS, BUCKET_COUNT, bucketOf, isFailure, outcomeOf } from '../../src/signals/metrics.ts';

test("holds all of OpenTelemetry's stable boundaries", () => {
  for (const seconds of [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10])
    assert.ok(BUCKET_BOUNDS_MS.includes(seconds * 1000), `${seconds}`);
});

test('no bucket is more than twice as wide as the one before, and 1.5 times in the middle', () => {
  BUCKET_BOUNDS_MS.forEach((bound, i) => {
    const before = BUCKET_BOUNDS_MS[i - 1] ?? bound;
    assert.ok(bound <= before * (bound > 0.5 && bound <= 30_000 ? 1.5 : 2), `${before} to ${bound}`);
  });
});

test('puts a duration into the bucket whose bounds hold it', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 100_000, noNaN: true }), (ms) => {
      const bucket = bucketOf(ms);
      assert.ok(bucket === 0 || ms > (BUCKET_BOUNDS_MS[bucket - 1] ?? 0));
      assert.ok(bucket === BUCKET_COUNT - 1 || ms <= (BUCKET_BOUNDS_MS[bucket] ?? 0));
    }),
  );
});

test('estimates a quantile within the bucket that holds the true one', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0, max: 50_000, noNaN: true }), { minLength: 1, maxLength: 300 }),
      fc.constantFrom(0.5, 0.95, 0.99),
      (values, q) => {
        const buckets = new Array<number>(BUCKET_COUNT).fill(0);
        for (const value of values) buckets[bucketOf(value)] = (buckets[bucketOf(value)] ?? 0) + 1;
        const sorted = [...values].sort((a, b) => a - b);
        const exact = sorted[Math.max(0, Math.ceil(q * values.length) - 1)] ?? 0;
        const estimate = quantile(buckets, q) ?? -1;
        const bucket = bucketOf(exact);
        // Printed to a hundredth of a millisecond.
        assert.ok(
          estimate >= (BUCKET_BOUNDS_MS[bucket - 1] ?? 0) - 0.01 && estimate <= (BUCKET_BOUNDS_MS[bucket] ?? 60_000) + 0.01,
          `${estimate} for ${exact}`,
        );
      },
    ),
  );
});

test('gives no quantile without data', () => assert.equal(quantile([], 0.5), null));

test('names the class of a status, or the refusal', () => {
  assert.deepEqual(
    [outcomeOf(200, undefined), outcomeOf(404, undefined), outcomeOf(503, 'no_endpoint'), outcomeOf(0, undefined)],
    ['2xx', '4xx', 'no_endpoint', 'upstream_invalid'],
  );
});

test('counts what the service or the mesh did wrong as failure, not what the caller did', () => {
  const blameless = new Set(['denied', 'bad_request', 'rate_limited']);
  for (const refusal of REFUSALS) assert.equal(isFailure(refusal), !blameless.has(refusal), refusal);
  assert.deepEqual(['2xx', '3xx', '4xx', '5xx', 'tcp', 'canceled'].map(isFailure), [false, false, false, true, false, false]);
});

const series = (outcome: string, count: number, ms: number): WindowSeries => {
  const buckets = new Array<number>(BUCKET_COUNT).fill(0);
  buckets[bucketOf(ms)] = count;
  return {
    service: 'web',
    instance: 'web-0',
    direction: 'inbound',
    peer: 'ingress',
    protocol: 'http',
    outcome,
    route: '',
    count,
    sumMs: count * ms,
    maxMs: ms,
    requestBytes: count * 10,
    responseBytes: count * 100,
    buckets,
  };
};
const load = (change: Partial<InstanceLoad>): InstanceLoad => ({
  service: 'web',
  instance: 'web-0',
  cpuPercent: 10,
  memoryBytes: 100,
  inFlight: 1,
  ready: true,
  ...change,
});

test('adds up a service over its instances and outcomes', () => {
  const [row] = goldenRows(
    [{ name: 'web', protocol: 'http' }],
    [series('2xx', 90, 10), series('5xx', 10, 200), series('denied', 20, 1)],
    [load({}), load({ instance: 'web-1', cpuPercent: 5.04, ready: false })],
    10,
  );
  assert.deepEqual(
    { ...row },
    {
      service: 'web',
      protocol: 'http',
      instances: 2,
      instancesReady: 1,
      requestsPerSecond: 10,
      successPercent: 90,
      deniedPerSecond: 2,
      failuresPerSecond: { '5xx': 1 },
      clientErrorsPerSecond: 0,
      p50Ms: 9.11,
      p95Ms: 175,
      p99Ms: 195,
      maxMs: 200,
      receivedBytesPerSecond: 100,
      sentBytesPerSecond: 1000,
      cpuPercent: 15,
      cpuLimitPercent: null,
      memoryBytes: 200,
      memoryLimitBytes: null,
      inFlight: 2,
      openConnections: null,
      queued: null,
      queueLimit: null,
      circuitPercent: null,
      proxyLoopPercent: null,
      proxyCpuPercent: null,
      proxyMemoryBytes: null,
    },
  );
});

test('says null where there is no data, never zero', () => {
  const [row] = goldenRows([{ name: 'web', protocol: 'http' }], [], [load({ cpuPercent: null, memoryBytes: null, inFlight: null })], 10);
  assert.deepEqual(
    [row?.requestsPerSecond, row?.successPercent, row?.p50Ms, row?.cpuPercent, row?.memoryBytes, row?.inFlight],
    [0, null, null, null, null, null],
  );
});
