// `--header NAME=VALUE`, as often as it was given.
import { Fault } from '../../base/fault.ts';

/** Every value of each field, by its name in lower case. */
export function readHeaders(texts: readonly string[]): Map<string, string[]> {
  const headers = new Map<string, string[]>();
  for (const text of texts) {
    const at = text.search(/[:=]/);
    if (at <= 0) throw new Fault('USAGE', 'usage', `\`--header ${text}\`: NAME=VALUE is wanted`);
    const name = text.slice(0, at).trim().toLowerCase();
    headers.set(name, [...(headers.get(name) ?? []), text.slice(at + 1).trim()]);
  }
  return headers;
}
