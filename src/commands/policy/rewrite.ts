// The rules of a native policy rewritten, its other text kept.
import { Fault, messageOf } from '../../base/fault.ts';
import { type Change, mapLists } from '../../base/rewrite.ts';

/** Throws FILE_UNREADABLE for text that is not YAML. */
export function rewriteRules(file: string, text: string, change: Change): string {
  try {
    return mapLists(text, ['allow', 'deny'], change);
  } catch (cause) {
    throw new Fault('FILE_UNREADABLE', 'usage', `${file} is not YAML: ${messageOf(cause)}`, {
      cause,
      hint: '`meshctl policy lint` says where',
    });
  }
}
