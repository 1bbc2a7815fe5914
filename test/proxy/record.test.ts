// What the proxy keeps is bounded: series fold, spans drop and are counted.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_BUFFERED_SPANS, MAX_REMEMBERED_REQUESTS, MAX_SERIES } from '../../src/proxy/codec/limits.ts';
import { Recorder } from '../../src/proxy/record.ts';
import { RequestMemory } from '../../src/proxy/request-memory.ts';
import type { Span } from '../../src/traces/span.ts';

test('spans beyond the buffer are dropped and counted once', () => {
  const recorder = new Recorder();
  for (let i = 0; i < MAX_BUFFERED_SPANS + 7; i++) recorder.span({} as Span);
  assert.equal(recorder.takeSpans().length, MAX_BUFFERED_SPANS);
  assert.equal(recorder.takeDropped(), 7);
  assert.equal(recorder.takeDropped(), 0);
  assert.equal(recorder.takeSpans().length, 0);
});

test('label sets beyond the limit fold into one, and nothing is lost', () => {
  const recorder = new Recorder();
  for (let i = 0; i < MAX_SERIES + 500; i++) recorder.count('inbound', `peer-${i}`, 'http', '2xx', 1);
  const series = recorder.series(true);
  assert.equal(series.length, MAX_SERIES + 1);
  assert.equal(series.find((each) => each.peer === '__other__')?.count, 500);
  assert.equal(
    series.reduce((sum, each) => sum + each.count, 0),
    MAX_SERIES + 500,
  );
});

test('a copy of the counters does not change afterwards', () => {
  const recorder = new Recorder();
  recorder.count('inbound', 'a', 'http', '2xx', 1);
  const before = recorder.series(true);
  recorder.count('inbound', 'a', 'http', '2xx', 1);
  assert.equal(before[0]?.count, 1);
  assert.equal(before[0]?.buckets[1], 1);
});

test('remembers the newest requests only', () => {
  const memory = new RequestMemory();
  const tracing = { requestId: '', traceId: 't', serverSpanId: 's', parentId: undefined, sampled: true, random: true, continued: false };
  for (let i = 0; i <= MAX_REMEMBERED_REQUESTS; i++) memory.remember(`r${i}`, tracing, i);
  assert.equal(memory.recall('r0'), undefined);
  assert.equal(memory.deadlineOf('r0'), Number.POSITIVE_INFINITY);
  assert.deepEqual(memory.recall(`r${MAX_REMEMBERED_REQUESTS}`), { traceId: 't', spanId: 's', sampled: true, random: true });
  assert.equal(memory.deadlineOf(`r${MAX_REMEMBERED_REQUESTS}`), MAX_REMEMBERED_REQUESTS);
});
