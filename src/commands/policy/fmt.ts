// `meshctl policy fmt PATH…`: policies in one shape, comments kept. `--check` only says which are not.
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { writeAtomic } from '../../platform/node/files.ts';
import { canonical } from '../../policy/forms.ts';
import type { Run } from '../context.ts';
import { flag, listArgument } from '../input.ts';
import { rewriteRules } from './rewrite.ts';
import { readPolicyTexts } from './subject.ts';

export const run: Run = async (context, input) => {
  const files = readPolicyTexts(context, listArgument(input, 0));
  let changed = 0;
  for (const { file, text } of files) {
    const formatted = rewriteRules(file, text, { replace: canonical });
    if (file === '<stdin>') {
      if (!flag(input, 'check')) context.print(formatted);
    } else if (formatted !== text) {
      const path = resolve(context.cwd, file);
      if (!flag(input, 'check')) writeAtomic(path, formatted, statSync(path).mode & 0o777);
      context.print(`${file}\n`);
    }
    if (formatted !== text) changed++;
  }
  context.note(`${changed} of ${files.length} ${flag(input, 'check') ? 'would change' : 'changed'}\n`);
  return flag(input, 'check') && changed > 0 ? 1 : 0;
};
