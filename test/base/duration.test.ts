import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDuration, printDuration } from '../../src/base/duration.ts';

for (const [text, ms] of [
  ['0', 0],
  ['250ms', 250],
  ['30s', 30_000],
  ['1h30m', 5_400_000],
  ['1.5s', 1500],
  ['2d', 172_800_000],
] as const) {
  test(`reads \`${text}\` as ${ms} ms`, () => assert.equal(parseDuration(text), ms));
}

for (const text of ['', '30', 's', '1x', '-5s', '1 s', '1s 2', '1e3s', 'NaN', '99999999999s']) {
  test(`refuses \`${text}\` as a duration`, () => assert.equal(parseDuration(text), undefined));
}

for (const [ms, text] of [
  [0.123, '0.12ms'],
  [1.84, '1.8ms'],
  [240.4, '240ms'],
  [1234, '1.2s'],
  [65_000, '65s'],
  [3_600_000, '60m'],
  [86_400_000, '24h'],
  [9 * 86_400_000, '9d'],
  [-1500, '-1.5s'],
] as const) {
  test(`prints ${ms} ms as \`${text}\``, () => assert.equal(printDuration(ms), text));
}
