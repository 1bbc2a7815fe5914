// argv → exit code. The only caller of process.exit in the command line.

import { exitCodeFor } from '../base/exit.ts';
import { Fault } from '../base/fault.ts';
import { complain } from './complain.ts';
import { makeContext } from './context.ts';
import { runProgram } from './program.ts';

const argv = process.argv.slice(2);
applyColor(argv);

try {
  const code = await runProgram(argv, makeContext());
  await exit(code);
} catch (error) {
  const fault = Fault.from(error);
  process.stderr.write(complain(fault, argv.includes('--debug')));
  await exit(exitCodeFor(fault.kind));
}

// What was written must be out before the process ends: pipes are written asynchronously.
async function exit(code: number): Promise<void> {
  process.exitCode = code;
  await Promise.all([process.stdout, process.stderr].map((stream) => new Promise<void>((done) => stream.write('', () => done()))));
  process.exit(code);
}

// Chalk and ink look at the environment when they load, which is after this.
function applyColor(words: readonly string[]): void {
  const at = words.indexOf('--color');
  const when = at >= 0 ? words[at + 1] : words.find((word) => word.startsWith('--color='))?.slice('--color='.length);
  const off =
    words.includes('--no-color') ||
    when === 'never' ||
    (when !== 'always' && (process.env['NO_COLOR'] ?? '') !== '') ||
    process.env['TERM'] === 'dumb';
  if (when === 'always') process.env['FORCE_COLOR'] = '1';
  else if (off) process.env['FORCE_COLOR'] = '0';
}
