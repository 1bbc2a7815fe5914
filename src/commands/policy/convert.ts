// `meshctl policy convert FILE --to long|short`: the rules in their other form, everything else as it was.
import { Fault } from '../../base/fault.ts';
import { mergeShort, toLong, toShort } from '../../policy/forms.ts';
import type { Run } from '../context.ts';
import { textArgument, textOption } from '../input.ts';
import { readTexts } from '../read-files.ts';
import { rewriteRules } from './rewrite.ts';

export const run: Run = async (context, input) => {
  const to = textOption(input, 'to');
  if (to !== 'long' && to !== 'short') throw new Fault('USAGE', 'usage', '`--to long` or `--to short` is wanted');
  const [source] = readTexts(context, [textArgument(input, 0) ?? '-']);
  if (source === undefined) return 2;
  context.print(rewriteRules(source.file, source.text, to === 'long' ? { replace: toLong } : { replace: toShort, merge: mergeShort }));
  return 0;
};
