// W3C Trace Context level 2, sections 3.2 and 3.4: what is continued, and what restarts the trace.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSampled, makeSpanId, makeTraceId, parseTraceparent, printTraceparent } from '../../src/traces/context.ts';

const T = '4bf92f3577b34da6a3ce929d0e0e4736';
const S = '00f067aa0ba902b7';

for (const [title, value, flags] of [
  ['version 00', `00-${T}-${S}-01`, '01'],
  ['not sampled', `00-${T}-${S}-00`, '00'],
  ['the random flag kept', `00-${T}-${S}-03`, '03'],
  ['unknown flags dropped', `00-${T}-${S}-ff`, '03'],
  ['blanks around it', ` \t00-${T}-${S}-01 `, '01'],
  ['a higher version', `cc-${T}-${S}-01`, '01'],
  ['a higher version with more fields', `01-${T}-${S}-01-what-the-future`, '01'],
] as const) {
  test(`continues ${title}`, () => {
    const context = parseTraceparent([value]);
    assert.ok(context);
    assert.equal(printTraceparent(context), `00-${T}-${S}-${flags}`);
  });
}

for (const [title, ...values] of [
  ['nothing'],
  ['two headers', `00-${T}-${S}-01`, `00-${T}-${S}-01`],
  ['an empty value', ''],
  ['version ff', `ff-${T}-${S}-01`],
  ['version 00 with more', `00-${T}-${S}-01-x`],
  ['version 00 with a trailing dash', `00-${T}-${S}-01-`],
  ['a higher version with junk behind the flags', `cc-${T}-${S}-01.x`],
  ['an all-zero trace id', `00-${'0'.repeat(32)}-${S}-01`],
  ['an all-zero parent id', `00-${T}-${'0'.repeat(16)}-01`],
  ['upper case', `00-${T.toUpperCase()}-${S}-01`],
  ['a short trace id', `00-${T.slice(1)}-${S}-01`],
  ['a long parent id', `00-${T}-${S}0-01`],
  ['characters that are no hex', `00-${T.replace('4', 'g')}-${S}-01`],
  ['one-digit flags', `00-${T}-${S}-1`],
  ['a version of one digit', `0-${T}-${S}-01`],
  ['underscores', `00_${T}_${S}_01`],
] as const) {
  test(`restarts on ${title}`, () => assert.equal(parseTraceparent(values as readonly string[]), undefined));
}

test('makes ids of the right form, and never the same', () => {
  const traces = new Set(Array.from({ length: 2000 }, makeTraceId));
  const spans = new Set(Array.from({ length: 2000 }, makeSpanId));
  assert.equal(traces.size + spans.size, 4000);
  for (const id of traces) assert.match(id, /^[0-9a-f]{32}$/);
  for (const id of spans) assert.match(id, /^[0-9a-f]{16}$/);
});

test('samples the share that is asked for, always the same for one id', () => {
  const ids = Array.from({ length: 4000 }, makeTraceId);
  const kept = ids.filter((id) => isSampled(id, 0.25));
  assert.ok(kept.length > 800 && kept.length < 1200, `${kept.length} of 4000`);
  assert.ok(kept.every((id) => isSampled(id, 0.25) && isSampled(id, 0.5)));
  assert.ok(!ids.some((id) => isSampled(id, 0)));
  assert.ok(ids.every((id) => isSampled(id, 1)));
});
