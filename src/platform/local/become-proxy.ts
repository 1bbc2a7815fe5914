// Turns this process into the bundled proxy: same pid, nothing of the command line left in memory.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Standalone } from '../../proxy/bootstrap.ts';
import { programArguments } from '../node/programs.ts';

/** Hands the start message over in a file that the proxy removes as soon as it has read it; it holds no key. Does not return. */
export function becomeProxy(start: Standalone): never {
  const file = join(mkdtempSync(join(tmpdir(), 'meshctl-proxy-')), 'start.json');
  writeFileSync(
    file,
    JSON.stringify({ ...start, reload: [process.execPath, ...programArguments('cli'), ...dryRun(process.argv.slice(2))] }),
    {
      mode: 0o600,
    },
  );
  process.execve?.(process.execPath, [process.execPath, ...programArguments('proxy'), file], process.env as Record<string, string>);
  throw new Error('this platform cannot replace a process');
}

function dryRun(words: readonly string[]): string[] {
  return [...words, '--dry-run', '-o', 'json'];
}
