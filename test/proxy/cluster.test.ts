// Choice of an endpoint, ejection, retry budget, token bucket: values and a clock that the test moves.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Upstream } from '../../src/mesh/snapshot.ts';
import { DEFAULT_TRAFFIC, type Traffic } from '../../src/mesh/traffic.ts';
import { permitOutbound } from '../../src/proxy/permit.ts';
import { RateLimits, TokenBucket } from '../../src/proxy/rate-limit.ts';
import { chooseFault, chooseSplit, trafficFor } from '../../src/proxy/route/traffic.ts';
import type { Tables } from '../../src/proxy/tables.ts';
import { Cluster, type EndpointState, RetryBudget } from '../../src/proxy/upstream/cluster.ts';

function upstream(ports: readonly number[], traffic: Partial<Traffic> = {}): Upstream {
  return {
    service: 's',
    portName: 'http',
    protocol: 'http',
    spiffeId: 'spiffe://a/b',
    endpoints: ports.map((port) => ({ instance: `s-${port}`, host: '127.0.0.1', port })),
    traffic: { ...DEFAULT_TRAFFIC, ...traffic },
    trafficRoutes: [],
  };
}

function clusterOf(ports: readonly number[], traffic: Partial<Traffic> = {}) {
  const cluster = new Cluster();
  const known = upstream(ports, traffic);
  cluster.update(known);
  const pick = (tried?: ReadonlySet<string>, now = 0): EndpointState | undefined =>
    cluster.pick(permitOutbound(known), known.traffic, tried, now);
  const at = (port: number): EndpointState => cluster.endpoints.find((endpoint) => endpoint.port === port) as EndpointState;
  const counts = (times: number, now = 0): Record<number, number> => {
    const seen: Record<number, number> = {};
    for (let i = 0; i < times; i++) {
      const { port = 0 } = pick(undefined, now) ?? {};
      seen[port] = (seen[port] ?? 0) + 1;
    }
    return seen;
  };
  return { cluster, pick, at, counts };
}

test('picks the less busy of two endpoints, and one that was not tried', () => {
  const { pick, at } = clusterOf([1, 2]);
  at(1).inFlight = 5;
  for (let i = 0; i < 50; i++) assert.equal(pick()?.port, 2);
  assert.equal(pick(new Set(['127.0.0.1:2']))?.port, 1);
  assert.equal(pick(new Set(['127.0.0.1:1', '127.0.0.1:2']))?.port, 2, 'when all were tried, the less busy again');
  assert.equal(clusterOf([]).pick(), undefined);
});

test('spreads requests over endpoints that are equally busy', () => {
  const seen = clusterOf([1, 2, 3]).counts(3000);
  for (const port of [1, 2, 3]) assert.ok(Math.abs((seen[port] ?? 0) - 1000) < 200, JSON.stringify(seen));
});

function zoned(zones: readonly string[], traffic: Partial<Traffic> = {}, own: string | null = 'a') {
  const known = upstream(
    zones.map((_, i) => i + 1),
    traffic,
  );
  const cluster = new Cluster();
  cluster.update(
    { ...known, endpoints: known.endpoints.map((endpoint, i) => ({ ...endpoint, zone: zones[i] as string })) },
    own ?? undefined,
  );
  const seen = (tried?: ReadonlySet<string>): string => {
    const ports = new Set<number>();
    for (let i = 0; i < 200; i++) ports.add(cluster.pick(permitOutbound(known), known.traffic, tried, 0)?.port ?? 0);
    return [...ports].sort().join(' ');
  };
  const eject = (...ports: number[]): void => {
    for (const endpoint of cluster.endpoints) if (ports.includes(endpoint.port)) endpoint.ejectedUntilMs = 1000;
  };
  return { cluster, seen, eject };
}

test('endpoints of the own zone are preferred, and a retry goes elsewhere when all of them were tried', () => {
  const { seen } = zoned(['a', 'b', 'a', 'b']);
  assert.equal(seen(), '1 3');
  assert.equal(seen(new Set(['127.0.0.1:1'])), '3');
  assert.equal(seen(new Set(['127.0.0.1:1', '127.0.0.1:3'])), '2 4');
});

test('when less than half of the own zone is fit, every zone is used', () => {
  const { seen, eject } = zoned(['a', 'a', 'a', 'b', 'b', 'b']);
  eject(1);
  assert.equal(seen(), '2 3');
  eject(1, 2);
  assert.equal(seen(), '3 4 5 6');
});

for (const [title, zones, traffic, own] of [
  ['a zone without endpoints', ['b', 'b'], {}, 'a'],
  ['a caller that knows no zone of its own', ['a', 'b'], {}, null],
  ['`zone: ignore`', ['a', 'b'], { zone: 'ignore' }, 'a'],
] as const) {
  test(`${title} uses every endpoint`, () => assert.equal(zoned(zones, traffic, own).seen(), '1 2'));
}

test('a change of zone is taken over', () => {
  const { cluster, seen } = zoned(['a', 'b']);
  assert.equal(seen(), '1');
  const known = cluster.upstream as Upstream;
  cluster.update({ ...known, endpoints: known.endpoints.map((endpoint) => ({ ...endpoint, zone: endpoint.port === 1 ? 'b' : 'a' })) }, 'a');
  assert.equal(seen(), '2');
  cluster.update(cluster.upstream as Upstream, 'b');
  assert.equal(seen(), '1');
});

test('a slow endpoint gets less, and is forgiven when nothing is heard of it for a while', () => {
  const { cluster, at, counts } = clusterOf([1, 2]);
  cluster.settle(at(1), true, 500, 1000);
  cluster.settle(at(2), true, 10, 1000);
  assert.equal(counts(100, 1000)[2], 100);
  at(2).inFlight = 60;
  assert.equal(counts(100, 1000)[1], 100, 'but not when the fast one has sixty times the work');
  at(2).inFlight = 0;
  const later = counts(1000, 61_000);
  assert.ok((later[1] ?? 0) > 300, JSON.stringify(later));
});

test('in turn, and by requests alone', () => {
  const robin = clusterOf([1, 2, 3], { balance: 'roundRobin' });
  assert.deepEqual(robin.counts(300), { 1: 100, 2: 100, 3: 100 });
  const least = clusterOf([1, 2], { balance: 'leastRequests' });
  least.cluster.settle(least.at(1), true, 9000, 0);
  least.at(2).inFlight = 1;
  assert.equal(least.counts(50)[1], 50);
});

test('five failures in a row eject an endpoint for a time that grows, and a success between them does not', () => {
  const { cluster, at, counts } = clusterOf([1, 2, 3]);
  for (let i = 0; i < 4; i++) cluster.settle(at(1), false, 1, 0);
  cluster.settle(at(1), true, 1, 0);
  for (let i = 0; i < 4; i++) cluster.settle(at(1), false, 1, 0);
  assert.ok(at(1).isFit(0));
  cluster.settle(at(1), false, 1, 0);
  assert.equal(counts(300)[1], undefined);
  assert.ok(!at(1).isFit(29_999) && at(1).isFit(30_000));
  for (let i = 0; i < 5; i++) cluster.settle(at(1), false, 1, 30_000);
  assert.ok(!at(1).isFit(89_999) && at(1).isFit(90_000), 'the second time for twice as long');
});

test('never ejects more than the share, nor the only endpoint', () => {
  const ten = clusterOf([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  for (const endpoint of ten.cluster.endpoints) for (let i = 0; i < 9; i++) ten.cluster.settle(endpoint, false, 1, 0);
  assert.equal(ten.cluster.endpoints.filter((endpoint) => !endpoint.isFit(1)).length, 1);
  const half = clusterOf([1, 2, 3, 4], { outliers: { ...DEFAULT_TRAFFIC.outliers, maxEjectionPercent: 50 } });
  for (const endpoint of half.cluster.endpoints) for (let i = 0; i < 9; i++) half.cluster.settle(endpoint, false, 1, 0);
  assert.equal(half.cluster.endpoints.filter((endpoint) => !endpoint.isFit(1)).length, 2);
  const one = clusterOf([1]);
  for (let i = 0; i < 50; i++) one.cluster.settle(one.at(1), false, 1, 0);
  assert.equal(one.pick()?.port, 1);
});

test('when less than half are fit, all are used', () => {
  const { cluster, at, counts } = clusterOf([1, 2, 3]);
  at(1).down = true;
  assert.equal(counts(300)[1], undefined);
  at(2).down = true;
  assert.equal(Object.keys(counts(300)).length, 3);
  assert.equal(cluster.endpoints.length, 3);
});

test('health checks take an endpoint out after three failures and back after two answers', () => {
  const health = { path: undefined, intervalMs: 1000, timeoutMs: 100, healthy: 2, unhealthy: 3 };
  const { cluster, at } = clusterOf([1, 2], { health });
  const check = (...answers: boolean[]): boolean => {
    for (const ok of answers) cluster.checked(at(1), ok);
    return at(1).down;
  };
  assert.equal(check(false, false, true, false, false), false);
  assert.equal(check(false), true);
  assert.equal(check(true, false, true), true);
  assert.equal(check(true), false);
});

test('what is known of an endpoint stays when the snapshot changes around it, and goes with its identity', () => {
  const { cluster, at } = clusterOf([1, 2]);
  at(1).inFlight = 3;
  cluster.update(upstream([1, 3]));
  assert.deepEqual(
    cluster.endpoints.map(({ port, inFlight }) => [port, inFlight]),
    [
      [1, 3],
      [3, 0],
    ],
  );
  cluster.update({ ...upstream([1, 3]), spiffeId: 'spiffe://a/other' });
  assert.equal(at(1).inFlight, 0);
});

test('retries are a share of the requests of ten seconds and ten a second more', () => {
  const { retries } = DEFAULT_TRAFFIC;
  const budget = new RetryBudget();
  for (let i = 0; i < 1000; i++) budget.request(50_000);
  let granted = 0;
  for (let i = 0; i < 1000; i++) if (budget.retry(retries, 50_500)) granted++;
  assert.equal(granted, 300);
  assert.equal(budget.retry(retries, 59_999), false);
  assert.equal(budget.retry(retries, 60_500), true, 'the window has moved on');
  const none = new RetryBudget();
  assert.equal(none.retry({ ...retries, minPerSecond: 0 }, 1000), false);
  none.request(1000);
  assert.equal(none.retry({ ...retries, minPerSecond: 0, budget: 0 }, 1000), false);
});

test('a token bucket gives its burst at once and then so many a second', () => {
  const bucket = new TokenBucket(10, 5, 0);
  const take = (now: number, times: number): number => Array.from({ length: times }, () => bucket.take(now)).filter(Boolean).length;
  assert.equal(take(0, 20), 5);
  assert.equal(take(99, 5), 0);
  assert.equal(take(200, 5), 2);
  assert.equal(take(60_000, 20), 5);
});

test('a limit goes on when the same configuration comes again, and begins anew when it changes', () => {
  const limits = new RateLimits();
  const limit = { scope: '', requestsPerSecond: 1, burst: 2 };
  assert.deepEqual([limits.take({ ...limit }, 0), limits.take({ ...limit }, 0), limits.take({ ...limit }, 0)], [true, true, false]);
  assert.equal(limits.take({ ...limit, scope: 'GET /x' }, 0), true);
  assert.equal(limits.take({ ...limit, burst: 3 }, 0), true);
});

test('the first route that fits says how a request is treated', () => {
  const slow = { ...DEFAULT_TRAFFIC, timeouts: { ...DEFAULT_TRAFFIC.timeouts, requestMs: 1 } };
  const any = { ...DEFAULT_TRAFFIC, timeouts: { ...DEFAULT_TRAFFIC.timeouts, requestMs: 2 } };
  const known: Upstream = {
    ...upstream([1]),
    trafficRoutes: [
      { path: '/a/**', methods: ['GET'], traffic: slow },
      { path: '/a/b', methods: undefined, traffic: any },
    ],
  };
  assert.equal(trafficFor(known, 'GET', '/a/b'), slow);
  assert.equal(trafficFor(known, 'POST', '/a/b'), any);
  assert.equal(trafficFor(known, 'POST', '/a/c'), known.traffic);
});

test('splits by weight, and goes to the service itself when nothing weighs', () => {
  const v1 = { ...upstream([1]), service: 'v1' };
  const v2 = { ...upstream([2]), service: 'v2' };
  const named = upstream([3]);
  const tables = {
    upstreams: new Map([
      ['v1', v1],
      ['v2', v2],
    ]),
  } as unknown as Tables;
  const split = [
    { service: 'v1', weight: 9 },
    { service: 'v2', weight: 1 },
  ];
  const at = (share: number): string => chooseSplit(tables, named, { ...DEFAULT_TRAFFIC, split }, () => share).service;
  assert.deepEqual([at(0), at(0.89), at(0.9), at(0.999)], ['v1', 'v1', 'v2', 'v2']);
  assert.equal(
    chooseSplit(tables, named, { ...DEFAULT_TRAFFIC, split: [{ service: 'v1', weight: 0 }] }, () => 0),
    named,
  );
  assert.equal(
    chooseSplit(tables, named, { ...DEFAULT_TRAFFIC, split: [{ service: 'gone', weight: 1 }] }, () => 0),
    named,
  );
});

test('faults are for the callers that they name, in their share', () => {
  const fault = { from: ['web'], percent: 50, delayMs: 0, abort: 503 };
  assert.equal(
    chooseFault([fault], 'web', () => 0.49),
    fault,
  );
  assert.equal(
    chooseFault([fault], 'web', () => 0.5),
    undefined,
  );
  assert.equal(
    chooseFault([fault], 'other', () => 0),
    undefined,
  );
  assert.equal(chooseFault([{ ...fault, from: undefined }], 'other', () => 0)?.abort, 503);
});
