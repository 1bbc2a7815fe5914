// Whom a trust domain trusts, as SPIFFE tools read it: a JWKS with one key for each root.
// Source: SPIFFE Trust Domain and Bundle section 4, X509-SVID.md section 6; RFC 7517.
import { createPublicKey } from 'node:crypto';
import type { Certificate } from './x509/read.ts';

const MIN_HINT_SECONDS = 60;
const MAX_HINT_SECONDS = 86_400;
/** A reader should come back this often within the life of the shortest root. */
const HINTS_A_LIFE = 10;

/** `sequence` rises with every change of the roots. */
export function spiffeBundle(roots: readonly Certificate[], sequence: number): object {
  const lives = roots.map(({ notBeforeMs, notAfterMs }) => (notAfterMs - notBeforeMs) / 1000);
  const hint = Math.floor(
    Math.min(MAX_HINT_SECONDS, Math.max(MIN_HINT_SECONDS, Math.min(...lives, Number.POSITIVE_INFINITY) / HINTS_A_LIFE)),
  );
  return {
    keys: roots.map(({ spki, der }) => {
      const jwk = createPublicKey({ key: spki, format: 'der', type: 'spki' }).export({ format: 'jwk' });
      return { ...jwk, use: 'x509-svid', x5c: [der.toString('base64')] };
    }),
    spiffe_sequence: sequence,
    spiffe_refresh_hint: hint,
  };
}
