// Conditions looked at again and again: each is told once when it begins and once when it ends. For `watch` and `up --on-alert`.
import { execFile } from 'node:child_process';
import { Fault, messageOf } from '../base/fault.ts';
import { splitCommand } from '../mesh/spec.ts';
import { type Condition, type Failing, failing } from '../signals/conditions.ts';
import type { Stat } from '../signals/golden.ts';

const EXEC_LIMIT_MS = 60_000;

export interface Alert extends Failing {
  readonly state: 'firing' | 'resolved';
  /** End of the window that it was seen in, RFC 3339. */
  readonly at: string;
}

export interface Lookout {
  readonly read: () => Promise<Stat>;
  readonly conditions: readonly Condition[];
  readonly intervalMs: number;
  /** Looks until it ends; without end when missing, and then a mesh that does not answer is said, not fatal. */
  readonly count?: number;
  readonly isOnce?: boolean;
  readonly stop: Promise<unknown>;
  readonly tell: (alert: Alert) => Promise<void>;
  readonly note: (text: string) => void;
}

/** True when any condition was met. */
export async function lookOut({ read, conditions, intervalMs, count, isOnce, stop, tell, note }: Lookout): Promise<boolean> {
  let active = new Map<string, Failing>();
  let wasMet = false;
  let stopped = false;
  const over = stop.then(() => {
    stopped = true;
  });
  for (let i = 0; !stopped && i < (count ?? Number.POSITIVE_INFINITY); i++) {
    if (i > 0) await pause(intervalMs, over);
    if (stopped) break;
    try {
      const stat = await read();
      const now = new Map(
        failing(stat, conditions)
          .filter(({ verdict }) => verdict === 'met')
          .map((each) => [`${each.row}\n${each.condition}`, each]),
      );
      for (const [key, each] of now) if (!active.has(key)) await tell({ ...each, state: 'firing', at: stat.window.to });
      for (const [key, each] of active) if (!now.has(key)) await tell({ ...each, state: 'resolved', at: stat.window.to });
      wasMet ||= now.size > 0;
      active = now;
      if (wasMet && isOnce === true) break;
    } catch (error) {
      // The mesh may be starting again: whoever ends then watches nothing.
      if (!(error instanceof Fault) || error.kind !== 'unavailable' || count !== undefined) throw error;
      if (!stopped) note(`meshctl: ${error.message}\n`);
    }
  }
  return wasMet;
}

async function pause(ms: number, over: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([
    over,
    new Promise((done) => {
      timer = setTimeout(done, ms);
    }),
  ]);
  clearTimeout(timer);
}

/** The words of a command as it was given for a flag. Throws USAGE. */
export function commandWords(flagName: string, command: string): readonly string[] {
  const words = splitCommand(command);
  if (words === undefined || words.length === 0)
    throw new Fault('USAGE', 'usage', `\`--${flagName} ${command}\` is no command: it is empty, or a quote is open`);
  return words;
}

/** Runs it without a shell, the alert as JSON on its stdin, and as MESHCTL_ALERT_* in its environment. A failure is noted. */
export async function runForAlert([program = '', ...args]: readonly string[], alert: Alert, note: (text: string) => void): Promise<void> {
  const variables = Object.fromEntries(
    Object.entries(alert).map(([name, value]) => [`MESHCTL_ALERT_${name.toUpperCase()}`, String(value)]),
  );
  try {
    await new Promise<void>((done, fail) => {
      const child = execFile(program, args, { timeout: EXEC_LIMIT_MS, env: { ...process.env, ...variables } }, (error) =>
        error === null ? done() : fail(error),
      );
      // A command that reads nothing of it is no failure.
      child.stdin?.on('error', () => undefined);
      child.stdin?.end(`${JSON.stringify(alert)}\n`);
    });
  } catch (error) {
    note(`meshctl: the command for an alert failed: ${messageOf(error)}\n`);
  }
}
