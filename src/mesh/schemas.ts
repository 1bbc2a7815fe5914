// Values that several files of the user hold, as schemas: a name, a duration.
import { z } from '../base/decode.ts';
import { parseDuration } from '../base/duration.ts';
import { NAME } from './identity.ts';

export const name = z.string().regex(NAME, 'a name is 1 to 63 of a-z, 0-9 and `-`, and starts and ends with a letter or digit');

const DURATION = 'a duration such as `10s`, `250ms` or `1h30m` is wanted';
/** Milliseconds. */
export const duration = z
  .string(DURATION)
  .refine((text) => parseDuration(text) !== undefined, DURATION)
  .transform((text) => parseDuration(text) ?? 0);
