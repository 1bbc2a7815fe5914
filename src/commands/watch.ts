// `meshctl watch --fail-if …`: looks again and again, and says when a condition begins and ends; a command may be run each time.
import { execFile } from 'node:child_process';
import { Fault, messageOf } from '../base/fault.ts';
import { splitCommand } from '../mesh/spec.ts';
import { type Failing, failing } from '../signals/conditions.ts';
import { SYMBOL } from '../views/theme.ts';
import type { Context, Run } from './context.ts';
import { documentLine } from './document.ts';
import { durationOption, flag, numberOption, outputOption, textOption, withMesh } from './input.ts';
import { readConditions, readQuery } from './stat.ts';

const EXEC_LIMIT_MS = 60_000;

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const query = readQuery(context, input);
  const conditions = readConditions(input);
  if (conditions.length === 0)
    throw new Fault('USAGE', 'usage', 'what should be watched for?', { hint: "give --fail-if 'success<99%', once or more" });
  const intervalMs = Math.max(1000, durationOption(input, 'interval', 'interval') ?? 5000);
  const count = numberOption(input, 'count', 'count', 1, 1_000_000) ?? Number.POSITIVE_INFINITY;
  const command = textOption(input, 'exec');
  const words = command === undefined ? undefined : splitCommand(command);
  if (command !== undefined && words === undefined)
    throw new Fault('USAGE', 'usage', `\`--exec ${command}\` is no command: a quote is open`);
  let active = new Map<string, Failing>();
  let code = 0;
  const stop = context.interrupted;
  for (let i = 0; i < count; i++) {
    if (i > 0 && (await Promise.race([stop, sleep(intervalMs)])) !== undefined) break;
    try {
      const stat = await withMesh(context, input, (mesh) => mesh.request('stat', query));
      const now = new Map(
        failing(stat, conditions)
          .filter(({ verdict }) => verdict === 'met')
          .map((each) => [`${each.row}\n${each.condition}`, each]),
      );
      for (const [key, each] of now)
        if (!active.has(key)) await tell(context, format, words, { ...each, state: 'firing', at: stat.window.to });
      for (const [key, each] of active)
        if (!now.has(key)) await tell(context, format, words, { ...each, state: 'resolved', at: stat.window.to });
      if (now.size > 0) code = 1;
      active = now;
      if (code === 1 && flag(input, 'once')) return 1;
    } catch (error) {
      // The mesh may be starting again: a watch that ends then watches nothing.
      if (!(error instanceof Fault) || error.kind !== 'unavailable' || count !== Number.POSITIVE_INFINITY) throw error;
      context.note(`meshctl: ${error.message}\n`);
    }
  }
  return code;
};

interface Alert extends Failing {
  readonly state: 'firing' | 'resolved';
  readonly at: string;
}

async function tell(context: Context, format: string, words: readonly string[] | undefined, alert: Alert): Promise<void> {
  context.print(
    format === 'json'
      ? documentLine('Alert', alert)
      : `${alert.at}  ${alert.state === 'firing' ? SYMBOL.bad : SYMBOL.good} ${alert.state.padEnd(8)} ${alert.row}: ${alert.condition}\n`,
  );
  if (words !== undefined)
    await runAlertCommand(words, alert).catch((error: unknown) => context.note(`meshctl: the command failed: ${messageOf(error)}\n`));
}

/** The alert as JSON on the command's stdin, and as MESHCTL_ALERT_* in its environment. */
export function runAlertCommand([program = '', ...args]: readonly string[], alert: object): Promise<void> {
  const variables = Object.fromEntries(
    Object.entries(alert).map(([name, value]) => [`MESHCTL_ALERT_${name.toUpperCase()}`, String(value)]),
  );
  return new Promise((done, fail) => {
    const child = execFile(program, args, { timeout: EXEC_LIMIT_MS, env: { ...process.env, ...variables } }, (error) =>
      error === null ? done() : fail(error),
    );
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(`${JSON.stringify(alert)}\n`);
  });
}

function sleep(ms: number): Promise<undefined> {
  return new Promise((done) => setTimeout(() => done(undefined), ms));
}
