// `npm run kill -- --times 200`: an authority at work is killed at random moments, and has to be one afterwards each time.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assertUsable, finish, serialsIn, work } from '../support/authority-kills.ts';

const at = process.argv.indexOf('--times');
const times = at < 0 ? 200 : Number(process.argv[at + 1]);
/** A process needs about this long to start; then it works until it is killed. */
const START_MS = 150;
const SPREAD_MS = 400;

const home = mkdtempSync(join(tmpdir(), 'meshctl-kill-'));
const directory = join(home, 'ca');
const given: string[] = [];
let midway = 0;
for (let i = 0; i < times; i++) {
  const child = work(directory, 'loop');
  setTimeout(() => child.kill('SIGKILL'), START_MS + Math.random() * SPREAD_MS);
  const { text } = await finish(child);
  const serials = serialsIn(text);
  if (serials.length > 0) midway++;
  given.push(...serials);
  await assertUsable(directory, given.slice(-500));
}
rmSync(home, { recursive: true });
process.stdout.write(
  `killed ${times} times, ${midway} of them at work; ${given.length} certificates given out, each on record; the authority is whole\n`,
);
