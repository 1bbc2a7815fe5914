// `kill -9` at every write of every operation on an authority leaves the state before or the state after, never one in between.
// Random moments in great number: `npm run kill`.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertUsable, finish, serialsIn, work } from '../support/authority-kills.ts';

for (const order of ['init', 'issue', 'revoke', 'root', 'intermediate'])
  test(`${order}: killed before and after each of its writes`, async () => {
    const home = mkdtempSync(join(tmpdir(), 'meshctl-kill-'));
    try {
      const directory = join(home, 'ca');
      const given: string[] = [];
      let steps = 0;
      for (const side of ['before', 'after'])
        for (let at = 1; ; at++) {
          // `init` begins anew each time; the others go on with what the killed one left.
          const where = order === 'init' ? join(home, `${side}-${at}`) : directory;
          const { killed, text } = await finish(work(where, order, at, side));
          given.push(...serialsIn(text));
          await assertUsable(where, order === 'init' ? [] : given);
          if (!killed) break;
          steps++;
        }
      assert.ok(steps >= (order === 'issue' ? 2 : 4), `${steps} moments`);
    } finally {
      rmSync(home, { recursive: true });
    }
  });
