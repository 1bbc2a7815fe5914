import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { callAt } from '../../src/proxy/clock.ts';

const DAY_MS = 86_400_000;

test('does something at a moment beyond what a timer counts, once and not before', () => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 0 });
  try {
    let calls = 0;
    callAt(30 * DAY_MS, () => calls++);
    callAt(Number.POSITIVE_INFINITY, () => assert.fail('never'));
    callAt(40 * DAY_MS, () => assert.fail('canceled'))();
    for (let day = 0; day < 29; day++) mock.timers.tick(DAY_MS);
    assert.equal(calls, 0);
    for (let day = 29; day < 50; day++) mock.timers.tick(DAY_MS);
    assert.equal(calls, 1);
  } finally {
    mock.timers.reset();
  }
});
