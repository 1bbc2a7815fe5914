// Counters over time: nothing is counted twice, coarser tables say what the finer ones said, a gap stays a gap.
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import type { SeriesSample } from '../../src/mesh/messages.ts';
import { POINTS_SCHEMA, Points } from '../../src/platform/local/points.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const START = 1_800_000_000_000;
const PROXY = { id: 'web-0', epoch: 'e1', service: 'web', instance: 'web-0' };
const sample = (count: number, change: Partial<SeriesSample> = {}): SeriesSample => ({
  direction: 'inbound',
  peer: 'ingress',
  protocol: 'http',
  outcome: '2xx',
  count,
  sumMs: count * 2,
  maxMs: 5,
  requestBytes: count,
  responseBytes: count * 10,
  buckets: [5, count],
  ...change,
});

function fresh(): { database: DatabaseSync; points: Points } {
  const database = new DatabaseSync(':memory:');
  database.exec(POINTS_SCHEMA);
  return { database, points: new Points(database) };
}

const total = (points: Points, from: number, to: number, now: number): number =>
  points.window(from, to, now).reduce((sum, { count }) => sum + count, 0);

test('a week of one request a second is kept as seconds, tens and minutes, and every window adds up', () => {
  const { database, points } = fresh();
  let now = START;
  // Two hours by the second, with the store tended as it runs.
  for (let second = 1; second <= 2 * 3600; second++) {
    now = START + second * 1000;
    points.add(PROXY, now, [sample(second)]);
    if (second % 10 === 0) points.tend(now);
  }
  for (const [ms, slack] of [
    [10_000, 0],
    [5 * MINUTE, 0],
    [30 * MINUTE, 10],
    [2 * HOUR, 10],
  ] as const)
    assert.ok(Math.abs(total(points, now - ms, now, now) - ms / 1000) <= slack, `${ms / 1000} s: ${total(points, now - ms, now, now)}`);
  const rows = (table: string): number => Number((database.prepare(`SELECT count(*) AS n FROM ${table}`).get() as { n: number }).n);
  assert.ok(rows('points1') <= 610, `${rows('points1')} rows by the second`);
  assert.ok(rows('points10') > 700 && rows('points60') >= 118);
  const [row] = points.window(now - HOUR, now, now);
  assert.deepEqual([row?.maxMs, row?.direction, row?.route], [5, 'inbound', '']);
  assert.ok(Math.abs((row?.buckets[5] ?? 0) - 3600) <= 10);
});

test('what is tended twice, or by another process after a crash, is not there twice', () => {
  const { database, points } = fresh();
  for (let second = 1; second <= 1200; second++) points.add(PROXY, START + second * 1000, [sample(second)]);
  const now = START + 1200 * 1000;
  for (let i = 0; i < 5; i++) points.tend(now);
  const again = new Points(database);
  for (let i = 0; i < 5; i++) again.tend(now);
  assert.ok(Math.abs(total(again, START, now, now) - 1200) <= 10, `${total(again, START, now, now)}`);
});

test('a proxy that began anew, a sample that came twice and one that came late count once', () => {
  const { database, points } = fresh();
  points.add(PROXY, START, [sample(5)]);
  points.add(PROXY, START + 1000, [sample(5)]);
  new Points(database).add(PROXY, START + 2000, [sample(8)]);
  const third = new Points(database);
  third.add(PROXY, START + 3000, [sample(6)]);
  third.add({ ...PROXY, epoch: 'e2' }, START + 4000, [sample(3)]);
  assert.equal(total(third, START - 1, START + 5000, START + 5000), 11);
  assert.deepEqual(
    third.totals(['web-0', 'gone-0']).map(({ count }) => count),
    [3],
    'totals are of the process that runs',
  );
});

test('a timeline has steps where somebody said something, and none where nobody did', () => {
  const { points } = fresh();
  points.add(PROXY, START + 500, [sample(10)]);
  points.add(PROXY, START + 2500, [sample(25)]);
  const steps = points.timeline(START, START + 5000, 1000, START + 5000);
  assert.deepEqual(
    [...steps].map(([step, series]) => [step, series[0]?.count]),
    [
      [0, 10],
      [2, 15],
    ],
  );
});

test('series of routes and callers do not mix, and no label is lost', () => {
  const { points } = fresh();
  points.add(PROXY, START, [
    sample(5),
    sample(5, { peer: '-', route: 'GET /orders/{id}' }),
    sample(2, { direction: 'outbound', peer: 'orders', outcome: 'timeout' }),
  ]);
  assert.deepEqual(
    points.window(START - 1, START, START).map(({ direction, peer, outcome, route, count }) => [direction, peer, outcome, route, count]),
    [
      ['inbound', 'ingress', '2xx', '', 5],
      ['inbound', '-', '2xx', 'GET /orders/{id}', 5],
      ['outbound', 'orders', 'timeout', '', 2],
    ],
  );
});
