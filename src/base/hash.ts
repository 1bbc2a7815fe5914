// Hashes for versions and tokens. Not for anything that needs a key.
import { createHash } from 'node:crypto';

/** SHA-256 of a text, hex. */
export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** A short version of any JSON value by its content: equal content, equal version. Key order counts, so build values the same way. */
export function contentVersion(value: unknown): string {
  return sha256(JSON.stringify(value)).slice(0, 12);
}
