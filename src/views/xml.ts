// Text inside XML and SVG.
import { printable } from '../base/printable.ts';

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** For text and for values in quotes; controls, which XML has no place for, made visible. */
export function forXml(text: string): string {
  return printable(text).replace(/[&<>"']/g, (each) => ESCAPES[each] ?? each);
}
