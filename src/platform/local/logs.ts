// Log files of services and proxies. Children write to them directly, so they outlive the supervisor; rotation copies and cuts.
import { copyFileSync, openSync, readdirSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import type { StateDir } from './state-dir.ts';

const MAX_LOG_BYTES = 10 * 1024 * 1024;

export function logPath(state: StateDir, name: string): string {
  return join(state.logs, `${name}.log`);
}

/** A descriptor that appends, so that cutting the file while it is open is safe. */
export function openLog(state: StateDir, name: string): number {
  return openSync(logPath(state, name), 'a', 0o600);
}

/** Log files over the cap: the older half goes to `.1`, which is replaced. Lines written in between the copy and the cut may be lost. */
export function rotateLogs(state: StateDir): void {
  for (const name of readdirSync(state.logs)) {
    if (!name.endsWith('.log')) continue;
    const path = join(state.logs, name);
    if (statSync(path).size < MAX_LOG_BYTES) continue;
    copyFileSync(path, `${path}.1`);
    truncateSync(path);
  }
}
