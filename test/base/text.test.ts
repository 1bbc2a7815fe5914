// Words near other words, and text that must not steer a terminal.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printBytes } from '../../src/base/bytes.ts';
import { printable } from '../../src/base/printable.ts';
import { didYouMean, nearest } from '../../src/base/suggest.ts';

const SERVICES = ['web', 'orders', 'payments', 'inventory'];

test('suggests the nearest known word', () => {
  assert.equal(nearest('paymnets', SERVICES), 'payments');
  assert.equal(nearest('wbe', SERVICES), 'web');
  assert.equal(didYouMean('order', SERVICES), ' (did you mean `orders`?)');
});

test('suggests nothing when no word is near', () => {
  assert.equal(nearest('ledger', SERVICES), undefined);
  assert.equal(didYouMean('', SERVICES), '');
  assert.equal(nearest('c', ['a', 'b']), undefined);
});

for (const [name, text] of [
  ['an escape sequence', 'a\u001b[2Jb'],
  ['a title change', '\u001b]0;x\u0007'],
  ['a carriage return', 'ok\rbad'],
  ['a C1 control', 'a\u009b31mb'],
  ['a bidirectional override', 'a\u202eb'],
  ['a zero-width space', 'a\u200bb'],
  ['a lone surrogate', 'a\ud800b'],
] as const) {
  test(`escapes ${name}`, () => {
    const shown = printable(text);
    assert.match(shown, /^[\x20-\x7e]*$/);
    assert.notEqual(shown, text);
  });
}

test('leaves ordinary text of any language alone', () => assert.equal(printable('größe 大 🙂'), 'größe 大 🙂'));

test('prints bytes with a unit', () =>
  assert.deepEqual([0, 1023, 1024, 1536, 48 * 1024 ** 2, 3 * 1024 ** 3].map(printBytes), [
    '0B',
    '1023B',
    '1KiB',
    '1.5KiB',
    '48MiB',
    '3GiB',
  ]));
