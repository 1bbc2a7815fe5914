// Questions by number: each gets its own answer, a late one is nothing, and silence ends in time.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pending } from '../../src/base/pending.ts';

test('each question gets its own answer, in whatever order they come', async () => {
  const pending = new Pending<string>();
  const sent: number[] = [];
  const answers = [1, 2, 3].map(() => pending.ask(10_000, (id) => void sent.push(id)));
  for (const id of [...sent].reverse()) pending.settle(id, `answer ${id}`);
  assert.deepEqual(
    await Promise.all(answers),
    sent.map((id) => `answer ${id}`),
  );
});

test('silence is undefined, and what comes late or unasked is nothing', async () => {
  const pending = new Pending<string>();
  let asked = 0;
  const answer = await pending.ask(1, (id) => {
    asked = id;
  });
  assert.equal(answer, undefined);
  pending.settle(asked, 'late');
  pending.settle(99, 'unasked');
});
