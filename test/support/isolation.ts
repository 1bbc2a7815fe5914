// Whether tests that make network namespaces can run here: Linux, root, and the tools.
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { dirname } from 'node:path';

/** Why not, as a word for the report; false when they can. */
export function isolationSkip(): string | false {
  if (process.platform !== 'linux') return 'network namespaces are Linux';
  if (process.getuid?.() !== 0) return 'root is needed to make a network namespace';
  for (const [tool, flag] of [
    ['ip', '-V'],
    ['nft', '-v'],
    ['setpriv', '--version'],
    ['nsenter', '--version'],
  ] as const) {
    try {
      execFileSync(tool, [flag], { stdio: 'ignore' });
    } catch {
      return `\`${tool}\` is not on this machine`;
    }
  }
  const closed = closedAbove(process.execPath);
  if (closed !== undefined) return `the users of isolated services cannot enter ${closed}, where this checkout is`;
  const name = `mctl-try-${process.pid}`;
  try {
    execFileSync('ip', ['netns', 'add', name], { stdio: 'ignore' });
    try {
      execFileSync('ip', ['netns', 'exec', name, 'nft', 'add table ip try; add chain ip try c { type nat hook output priority -100; }'], {
        stdio: 'ignore',
      });
    } finally {
      execFileSync('ip', ['netns', 'del', name], { stdio: 'ignore' });
    }
  } catch {
    return 'this machine lets nobody make network namespaces with nftables';
  }
  return false;
}

/** The nearest directory above a file that other users cannot enter. */
function closedAbove(file: string): string | undefined {
  const directory = dirname(file);
  if ((statSync(directory).mode & 0o001) === 0) return directory;
  return directory === dirname(directory) ? undefined : closedAbove(directory);
}
