// `meshctl watch --fail-if …`: looks again and again, and says when a condition begins and ends; a command may be run each time.
import { Fault } from '../base/fault.ts';
import { SYMBOL } from '../views/theme.ts';
import { type Alert, commandWords, lookOut, runForAlert } from './alerts.ts';
import type { Run } from './context.ts';
import { documentLine } from './document.ts';
import { durationOption, flag, numberOption, outputOption, textOption, withMesh } from './input.ts';
import { readConditions, readQuery } from './stat.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const query = readQuery(context, input);
  const conditions = readConditions(input);
  if (conditions.length === 0)
    throw new Fault('USAGE', 'usage', 'what should be watched for?', { hint: "give --fail-if 'success<99%', once or more" });
  const count = numberOption(input, 'count', 'count', 1, 1_000_000);
  const command = textOption(input, 'exec');
  const words = command === undefined ? undefined : commandWords('exec', command);
  const note = (text: string): void => context.note(text);
  const wasMet = await lookOut({
    read: () => withMesh(context, input, (mesh) => mesh.request('stat', query)),
    conditions,
    intervalMs: Math.max(1000, durationOption(input, 'interval', 'interval') ?? 5000),
    ...(count === undefined ? {} : { count }),
    isOnce: flag(input, 'once'),
    stop: context.interrupted,
    tell: async (alert) => {
      context.print(format === 'json' ? documentLine('Alert', alert) : alertLine(alert));
      if (words !== undefined) await runForAlert(words, alert, note);
    },
    note,
  });
  return wasMet ? 1 : 0;
};

function alertLine({ at, state, row, condition }: Alert): string {
  return `${at}  ${state === 'firing' ? SYMBOL.bad : SYMBOL.good} ${state.padEnd(8)} ${row}: ${condition}\n`;
}
