// Field lists ↔ what node:http2 takes and gives.
import type { OutgoingHttpHeaders } from 'node:http2';
import { type Fields, isValidName } from '../codec/fields.ts';

const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

export function isFitValue(value: string): boolean {
  return VALUE.test(value);
}

/** Names and values as they came, or undefined when one is malformed. */
export function fieldsFromRaw(raw: readonly string[]): Fields | undefined {
  const fields: Fields = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? '';
    const value = raw[i + 1] ?? '';
    if (name.startsWith(':')) continue;
    if (!isValidName(name) || !isFitValue(value)) return undefined;
    fields.push(name, value);
  }
  return fields;
}

/** An object with a list for what comes more than once. */
export function headersFrom(fields: Fields): OutgoingHttpHeaders {
  const headers: Record<string, string | string[]> = {};
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    const value = fields[i + 1] as string;
    const known = headers[name];
    if (known === undefined) headers[name] = value;
    else if (typeof known === 'string') headers[name] = [known, value];
    else known.push(value);
  }
  return headers;
}
