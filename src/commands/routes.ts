// `meshctl routes SERVICE`: golden signals by route; ids in paths are folded to `{id}`.

import { failing } from '../signals/conditions.ts';
import { completenessLine, goldenTable } from '../views/golden.ts';
import { paint } from '../views/theme.ts';
import type { Run } from './context.ts';
import { document } from './document.ts';
import { outputOption, withMesh } from './input.ts';
import { codeOf, failedText, readConditions, readQuery } from './stat.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'wide', 'json']);
  const conditions = readConditions(input);
  const stat = await withMesh(context, input, (mesh) => mesh.request('stat', { ...readQuery(context, input), by: 'route' }));
  const failed = failing(stat, conditions);
  if (format === 'json') context.print(document('Stat', { ...stat, ...(conditions.length === 0 ? {} : { failing: failed }) }));
  else context.print(`${goldenTable(stat, format === 'wide')}${paint('dim', completenessLine(stat))}\n${failedText(failed)}`);
  return codeOf(stat, conditions, failed);
};
