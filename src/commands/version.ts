// `meshctl version`
import type { Run } from './context.ts';
import { document } from './document.ts';
import { outputOption } from './input.ts';
import { VERSION } from './version-number.ts';

export const run: Run = async (context, input) => {
  const body = { client: VERSION, node: process.versions.node, platform: `${process.platform}-${process.arch}` };
  if (outputOption(input, ['table', 'json']) === 'json') context.print(document('Version', body));
  else context.print(`meshctl ${body.client} (Node ${body.node}, ${body.platform})\n`);
  return 0;
};
