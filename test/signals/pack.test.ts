import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Amount, addAmount, emptyAmount, Packer, unpack } from '../../src/signals/pack.ts';

const amount = fc.record({
  count: fc.nat({ max: 2 ** 40 }),
  sumMs: fc.nat({ max: 10 ** 9 }).map((us) => us / 1000),
  maxMs: fc.nat({ max: 10 ** 8 }).map((us) => us / 1000),
  requestBytes: fc.maxSafeNat(),
  responseBytes: fc.nat({ max: 2 ** 50 }),
  buckets: fc.array(fc.nat({ max: 10 ** 6 }), { maxLength: 47 }),
});

const filled = ({ buckets }: Amount): [number, number][] => [...buckets.entries()].filter(([, count]) => (count ?? 0) > 0);

test('what is packed is what is unpacked', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat({ max: 2 ** 31 }), amount), { maxLength: 40 }), (entries) => {
      const packer = new Packer();
      for (const [series, each] of entries) packer.add(series, each);
      const got: [number, Amount][] = [];
      unpack(packer.take(), (series) => {
        got.push([series, emptyAmount()]);
        return got.at(-1)?.[1];
      });
      assert.deepEqual(
        got.map(([series, each]) => [series, { ...each, buckets: filled(each) }]),
        entries.map(([series, each]) => [series, { ...each, buckets: filled(each) }]),
      );
      assert.ok(packer.isEmpty);
    }),
  );
});

test('a body that is cut short gives whole entries only, and ends', () => {
  const packer = new Packer();
  for (let i = 0; i < 20; i++) packer.add(i + 1, { ...emptyAmount(), count: 300 + i, sumMs: 5, buckets: [1, 0, 70_000] });
  const body = packer.take();
  for (let length = 0; length < body.length; length++) {
    const got = new Map<number, Amount>();
    unpack(body.subarray(0, length), (series) => {
      const made = emptyAmount();
      got.set(series, made);
      return made;
    });
    for (const [series, each] of got)
      assert.deepEqual(
        [each.count, each.sumMs, filled(each)],
        [
          299 + series,
          5,
          [
            [0, 1],
            [2, 70_000],
          ],
        ],
      );
  }
});

test('entries of one series add up, and what is not wanted is passed over', () => {
  const packer = new Packer();
  packer.add(1, { ...emptyAmount(), count: 3, maxMs: 9, buckets: [3] });
  packer.add(2, { ...emptyAmount(), count: 100, buckets: [0, 100] });
  packer.add(1, { ...emptyAmount(), count: 4, maxMs: 5, buckets: [1, 0, 3] });
  const sum = emptyAmount();
  unpack(packer.take(), (series) => (series === 1 ? sum : undefined));
  assert.deepEqual([sum.count, sum.maxMs, sum.buckets], [7, 9, [4, 0, 3]]);
});

test('sums add up, and the largest stays the largest', () => {
  const into = emptyAmount();
  addAmount(into, { count: 2, sumMs: 10, maxMs: 7, requestBytes: 1, responseBytes: 2, buckets: [0, 2] });
  addAmount(into, { count: 1, sumMs: 5, maxMs: 5, requestBytes: 3, responseBytes: 4, buckets: [1] });
  assert.deepEqual(
    [into.count, into.sumMs, into.maxMs, into.requestBytes, into.responseBytes, filled(into)],
    [
      3,
      15,
      7,
      4,
      6,
      [
        [0, 1],
        [1, 2],
      ],
    ],
  );
});
