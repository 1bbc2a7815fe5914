import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, test } from 'node:test';
import type { SeriesSample } from '../../src/mesh/messages.ts';
import { LocalStore } from '../../src/platform/local/store.ts';

import type { Span } from '../../src/traces/span.ts';
import { makeSpan } from '../support/span.ts';

let directory = '';
let store: LocalStore;
const HOUR = 3_600_000;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'meshctl-store-'));
  store = new LocalStore(directory, () => HOUR);
});

afterEach(() => {
  store.close();
  rmSync(directory, { recursive: true });
});

function reopen(): void {
  store.close();
  store = new LocalStore(directory, () => HOUR);
}

const span = (traceId: string, requestId: string, startMs = Date.now(), change: Partial<Span> = {}): Span =>
  makeSpan({ traceId, requestId, startMs, ...change });

const sample = (count: number): SeriesSample => {
  return {
    direction: 'inbound',
    peer: 'ingress',
    protocol: 'http',
    outcome: '2xx',
    count,
    sumMs: count,
    maxMs: 1,
    requestBytes: 10 * count,
    responseBytes: 20 * count,
    buckets: [3, count],
  };
};
const total = (): number => store.window(0).reduce((sum, series) => sum + series.count, 0);

const PROXY = { id: 'web-0', epoch: 'e1', service: 'web', instance: 'web-0' };

test('both databases are for their owner only', () => {
  for (const name of ['control.db', 'telemetry.db']) assert.equal((statSync(join(directory, name)).mode & 0o777).toString(8), '600');
});

test('counts growth, whatever the order of samples, restarts of control and of the proxy', () => {
  store.addSamples(PROXY, Date.now(), [sample(5)]);
  assert.equal(total(), 5);
  store.addSamples(PROXY, Date.now(), [sample(5)]);
  assert.equal(total(), 5);
  reopen();
  store.addSamples(PROXY, Date.now(), [sample(8)]);
  assert.equal(total(), 8);
  store.addSamples(PROXY, Date.now(), [sample(6)]);
  assert.equal(total(), 8, 'a sample that came late takes nothing back');
  store.addSamples({ ...PROXY, epoch: 'e2' }, Date.now(), [sample(3)]);
  assert.equal(total(), 11, 'a new process begins at zero');
  assert.equal(
    store.window(0).reduce((sum, series) => sum + (series.buckets[3] ?? 0), 0),
    11,
  );
});

test('looks only at the window', () => {
  const now = Date.now();
  store.addSamples(PROXY, now - 60_000, [sample(5)]);
  store.addSamples(PROXY, now, [sample(7)]);
  assert.equal(store.window(now - 10_000)[0]?.count, 2);
});

test('finds a trace by trace id, request id, and prefixes of both', () => {
  store.addSpans([span('aaaa1111', 'req-1'), span('aaaa1111', 'req-1'), span('aaaa2222', 'req-2')]);
  assert.deepEqual(store.findTraces('aaaa1111', 10), [{ traceId: 'aaaa1111', requestId: 'req-1' }]);
  assert.equal(store.findTraces('req-2', 10)[0]?.traceId, 'aaaa2222');
  assert.equal(store.findTraces('aaaa', 10).length, 2);
  assert.equal(store.findTraces('req-', 10).length, 2);
  assert.deepEqual(store.findTraces('bbbb', 10), []);
  for (const odd of ['%', "' OR 1=1 --", '_', '\uffff']) assert.deepEqual(store.findTraces(odd, 10), []);
  assert.equal(store.spansOf('aaaa1111').length, 2);
});

test('gives the newest traces, and the newest denials', () => {
  store.addSpans([span('t1', 'r1'), span('t2', 'r2', Date.now(), { verdict: 'denied', peerId: 'spiffe://a/b' }), span('t3', 'r3')]);
  assert.deepEqual(
    store.recentTraces({ denied: false, limit: 10 }).map((each) => each.traceId),
    ['t3', 't1'],
  );
  assert.deepEqual(
    store.recentTraces({ denied: true, limit: 10 }).map((each) => each.traceId),
    ['t2'],
  );
});

test('forgets what is older than the retention and keeps the rest', () => {
  const now = Date.now();
  store.addSpans([span('old', 'r1', now - 2 * HOUR), span('new', 'r2', now)]);
  // Counters have ages of their own: a week by the minute.
  store.addSamples(PROXY, now - 8 * 24 * HOUR, [sample(5)]);
  store.addSamples({ ...PROXY, epoch: 'e2' }, now, [sample(3)]);
  store.flush();
  store.prune(now);
  assert.deepEqual([store.findTraces('old', 1).length, store.findTraces('new', 1).length, total()], [0, 1, 3]);
});

test('keeps what it had after being closed', () => {
  store.addSpans([span('t1', 'r1')]);
  store.savePolicy({
    revision: 1,
    hash: 'h',
    appliedAtMs: 1,
    user: 'u',
    message: 'm',
    origin: 'apply',
    audit: 'none',
    files: [{ file: 'f', text: 't' }],
  });
  reopen();
  assert.equal(store.findTraces('t1', 1).length, 1);
  assert.equal(store.newestPolicy()?.files[0]?.text, 't');
});

test('a token works once', () => assert.deepEqual([store.useToken('x'), store.useToken('x'), store.useToken('y')], [true, false, true]));

test('refuses a database of a later version instead of guessing', () => {
  store.close();
  const other = new DatabaseSync(join(directory, 'telemetry.db'));
  other.exec('PRAGMA user_version = 99');
  other.close();
  assert.throws(() => new LocalStore(directory, () => HOUR), { code: 'STORE_NEWER' });
  const mend = new DatabaseSync(join(directory, 'telemetry.db'));
  mend.exec('PRAGMA user_version = 4');
  mend.close();
  store = new LocalStore(directory, () => HOUR);
});

test('a store of version 1 is migrated: its revisions are enforced, and new ones may audit', () => {
  store.close();
  const old = new DatabaseSync(join(directory, 'control.db'));
  old.exec('DROP TABLE policies; PRAGMA user_version = 1');
  old.exec(
    'CREATE TABLE policies (revision INTEGER PRIMARY KEY, hash TEXT NOT NULL, applied_at INTEGER NOT NULL, user TEXT NOT NULL, message TEXT NOT NULL, origin TEXT NOT NULL, files TEXT NOT NULL) STRICT',
  );
  old.exec("INSERT INTO policies VALUES (1, 'h', 1, 'u', 'm', 'apply', '[]')");
  old.close();
  store = new LocalStore(directory, () => 1e12);
  assert.equal(store.newestPolicy()?.audit, 'none');
  store.savePolicy({ revision: 2, hash: 'h', appliedAtMs: 1, user: 'u', message: 'm', origin: 'apply', audit: 'all', files: [] });
  reopen();
  assert.deepEqual(
    store.policies().map(({ audit }) => audit),
    ['none', 'all'],
  );
});
