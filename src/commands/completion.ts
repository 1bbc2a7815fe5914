// `meshctl completion SHELL`
import { Fault } from '../base/fault.ts';
import { didYouMean } from '../base/suggest.ts';
import { COMPLETIONS } from '../views/completion.ts';
import { CATALOGUE, GROUPS } from './catalogue.ts';
import type { Run } from './context.ts';
import { textArgument } from './input.ts';

export const run: Run = async (context, input) => {
  const shell = textArgument(input, 0) ?? '';
  const print = COMPLETIONS.get(shell);
  if (print === undefined)
    throw new Fault('USAGE', 'usage', `there is no completion for \`${shell}\`${didYouMean(shell, COMPLETIONS.keys())}`, {
      hint: `${[...COMPLETIONS.keys()].join(', ')} are known`,
    });
  context.print(print(CATALOGUE, GROUPS));
  return 0;
};
