// A lock file with pid and start time of its owner: one that a dead process left is taken over.
import { existsSync, linkSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { codeOf } from '../../base/fault.ts';
import { readIfThere, readJsonIfThere } from './files.ts';
import { isAlive, type ProcessRecord, recordOf } from './proc.ts';

export interface LockOwner extends ProcessRecord {
  /** It will not give it back in a moment. */
  readonly isKept: boolean;
}

/** Gives the function that frees the lock, or the live process that has it. `isKept` tells others that waiting is no use. */
export function takeLockAt(lock: string, isKept: boolean): (() => void) | LockOwner {
  const own = JSON.stringify({ ...recordOf(process.pid), isKept } satisfies LockOwner);
  const temporary = `${lock}.${process.pid}`;
  for (;;) {
    writeFileSync(temporary, own, { mode: 0o600 });
    try {
      // link() fails when the lock exists, and never shows a half-written one.
      linkSync(temporary, lock);
      unlinkSync(temporary);
      return () => {
        if (readIfThere(lock) === own) unlinkSync(lock);
      };
    } catch (error) {
      unlinkSync(temporary);
      if (codeOf(error) !== 'EEXIST') throw error;
    }
    const text = readIfThere(lock);
    if (text === undefined) continue;
    const owner = readJsonIfThere(lock) as LockOwner | undefined;
    if (owner !== undefined && isAlive(owner)) return owner;
    // Of several that see the stale lock one wins the rename; if it took away a fresh one it is put back.
    const aside = `${lock}.stale-${process.pid}`;
    try {
      renameSync(lock, aside);
    } catch {
      continue;
    }
    if (readIfThere(aside) !== text && !existsSync(lock)) renameSync(aside, lock);
    else rmSync(aside, { force: true });
  }
}
