import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assembleTrace } from '../../src/traces/assemble.ts';
import type { Span } from '../../src/traces/span.ts';
import { makeSpan } from '../support/span.ts';

function span(change: Partial<Span> & Pick<Span, 'spanId' | 'kind' | 'service'>): Span {
  return makeSpan({ instance: `${change.service}-0`, verdict: change.kind === 'server' ? 'allowed' : undefined, ...change });
}

const INGRESS = span({ spanId: 'a', kind: 'server', service: 'ingress', durationMs: 30 });
const CALL = span({ spanId: 'b', parentId: 'a', kind: 'client', service: 'ingress', peerService: 'web', startMs: 1001, durationMs: 28 });
const WEB = span({
  spanId: 'c',
  parentId: 'b',
  kind: 'server',
  service: 'web',
  peerService: 'ingress',
  peerId: 'spiffe://t/ns/d/sa/ingress',
  startMs: 1002,
  durationMs: 26,
});

test('joins the two sides of a hop, in whatever order spans came', () => {
  const trace = assembleTrace([WEB, INGRESS, CALL]);
  assert.equal(trace.complete, true);
  assert.deepEqual(
    trace.hops.map((hop) => [hop.depth, hop.from, hop.to, hop.instance, hop.callerId, hop.startMs, hop.durationMs]),
    [
      [0, 'outside', 'ingress', 'ingress-0', null, 0, 30],
      [1, 'ingress', 'web', 'web-0', 'spiffe://t/ns/d/sa/ingress', 1, 28],
    ],
  );
});

test('shows a call that nobody answered, with why', () => {
  const trace = assembleTrace([INGRESS, { ...CALL, status: undefined, refusal: 'no_endpoint' }]);
  assert.deepEqual(
    [trace.hops[1]?.to, trace.hops[1]?.instance, trace.hops[1]?.status, trace.hops[1]?.refusal],
    ['web', null, null, 'no_endpoint'],
  );
});

test('counts the attempts of one call as one hop, told by the last', () => {
  const first = { ...CALL, refusal: 'upstream_refused', status: undefined };
  const second = { ...CALL, spanId: 'b2', attempt: 2, startMs: 1005 };
  const trace = assembleTrace([INGRESS, first, second, { ...WEB, parentId: 'b2' }]);
  assert.deepEqual(
    trace.hops.map((hop) => [hop.to, hop.attempts, hop.status]),
    [
      ['ingress', 1, 200],
      ['web', 2, 200],
    ],
  );
});

test('keeps two calls to the same service apart', () => {
  const trace = assembleTrace([INGRESS, CALL, WEB, { ...CALL, spanId: 'd', startMs: 1010 }]);
  assert.equal(trace.hops.length, 3);
});

test('names a parent that is missing and still shows what hangs below it', () => {
  const trace = assembleTrace([INGRESS, WEB]);
  assert.equal(trace.complete, false);
  assert.deepEqual(trace.missing, ['b']);
  assert.deepEqual(
    trace.hops.map((hop) => hop.to),
    ['ingress', 'web'],
  );
});

test('does not call the trace incomplete because the outside has a span of its own', () => {
  assert.equal(assembleTrace([{ ...INGRESS, parentId: 'outside' }, CALL, WEB]).complete, true);
});

test('survives spans that name each other as parent', () => {
  const trace = assembleTrace([
    span({ spanId: 'x', parentId: 'y', kind: 'server', service: 'a' }),
    span({ spanId: 'y', parentId: 'x', kind: 'client', service: 'b' }),
  ]);
  assert.ok(trace.hops.length <= 2);
});

test('survives a trace of no spans', () => assert.deepEqual(assembleTrace([]).hops, []));
