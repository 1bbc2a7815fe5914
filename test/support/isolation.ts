// Whether tests that make network namespaces can run here: Linux, root, and the tools.
import { execFileSync } from 'node:child_process';

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
