// `meshctl policy import PATH…`: policies of other meshes as a native one, and what could not be carried over.
import { Fault } from '../../base/fault.ts';
import { importForeign } from '../../policy/import.ts';
import { paint, SYMBOL } from '../../views/theme.ts';
import type { Run } from '../context.ts';
import { document } from '../document.ts';
import { listArgument, outputOption, textOption } from '../input.ts';
import { loadForeign, readPolicyTexts } from './subject.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['yaml', 'json']);
  const names = listArgument(input, 0);
  const rootNamespace = textOption(input, 'rootNamespace');
  const trustDomain = textOption(input, 'trustDomain');
  const mesh = loadForeign(context, readPolicyTexts(context, names), names.join(' '), {
    ...(rootNamespace === undefined ? {} : { rootNamespace }),
    ...(trustDomain === undefined ? {} : { trustDomain }),
  });
  if (mesh === undefined)
    throw new Fault('POLICY_MISSING', 'usage', `${names.join(' ')} holds no policy of Istio, Linkerd or Kuma`, {
      hint: 'name the files or directories with them',
    });
  const { text, rules, left, notes } = importForeign(mesh);
  if (format === 'json') context.print(document('ImportedPolicy', { policy: text, rules, left, notes }));
  else {
    context.print(text);
    for (const note of notes) context.note(`${paint('dim', 'i')} ${note}\n`);
    for (const { resource, place, what } of left) context.note(`${paint('warn', SYMBOL.warn)} ${place}  ${resource}: ${what}\n`);
    context.note(`${rules} rules; ${left.length} could not be carried over\n`);
  }
  return left.length > 0 ? 1 : 0;
};
