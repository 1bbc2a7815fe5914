// Files that a command was given, `-` for stdin. One that cannot be read is a usage fault with its name.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { codeOf, Fault, messageOf } from '../base/fault.ts';
import type { Context } from './context.ts';

export function readBytes(context: Context, name: string): Buffer {
  try {
    return name === '-' ? readFileSync(0) : readFileSync(resolve(context.cwd, name));
  } catch (cause) {
    const why = codeOf(cause) === 'ENOENT' ? 'there is no such file' : codeOf(cause) === 'EISDIR' ? 'it is a directory' : messageOf(cause);
    throw new Fault('FILE_UNREADABLE', 'usage', `cannot read \`${name}\`: ${why}`, { cause });
  }
}

/** UTF-8 text; findings show stdin as `<stdin>`. */
export function readTexts(context: Context, names: readonly string[]): { file: string; text: string }[] {
  return names.map((name) => ({ file: name === '-' ? '<stdin>' : name, text: readBytes(context, name).toString('utf8') }));
}
