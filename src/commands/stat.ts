// `meshctl stat`
import { completenessLine, goldenTable } from '../views/golden.ts';
import { paint } from '../views/theme.ts';
import type { Run } from './context.ts';
import { document } from './document.ts';
import { durationOption, outputOption, textArgument, withMesh } from './input.ts';

export const DEFAULT_WINDOW_MS = 10_000;

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const windowMs = Math.max(1000, durationOption(input, 'window', 'window') ?? DEFAULT_WINDOW_MS);
  const service = textArgument(input, 0);
  const stat = await withMesh(context, input, (mesh) => mesh.request('stat', { windowMs, ...(service === undefined ? {} : { service }) }));
  context.print(format === 'json' ? document('Stat', stat) : `${goldenTable(stat)}${paint('dim', completenessLine(stat))}\n`);
  return 0;
};
