// Whom a trust domain trusts, as SPIFFE tools read it: a JWKS with one key for each root.
// Source: SPIFFE Trust Domain and Bundle section 4, X509-SVID.md section 6; RFC 7517.
import { createPublicKey } from 'node:crypto';
import { readCertificates } from './files.ts';
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

export interface ReadBundle {
  readonly roots: readonly Certificate[];
  /** Null where it says none. */
  readonly sequence: number | null;
  readonly refreshHintSeconds: number;
}

/** Five minutes, where a bundle says nothing (SPIFFE Trust Domain and Bundle section 4.1.2). */
const DEFAULT_HINT_SECONDS = 300;
const MAX_KEYS = 100;

/**
 * A bundle as a JWKS. Keys of kinds or uses that are not known are passed over, as the standard wants (section 4.2); one without keys trusts
 * nobody. Throws TypeError with the reason when it is none, or holds what is no authority.
 */
export function readSpiffeBundle(text: string): ReadBundle {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    throw new TypeError('it is no JSON');
  }
  const { keys, spiffe_sequence: sequence, spiffe_refresh_hint: hint } = (raw ?? {}) as Record<string, unknown>;
  if (!Array.isArray(keys)) throw new TypeError('it has no list `keys`');
  if (keys.length > MAX_KEYS) throw new TypeError(`it has ${keys.length} keys, and ${MAX_KEYS} are read at most`);
  const roots = (keys as unknown[]).flatMap((key): Certificate[] => {
    const { use, x5c } = (key ?? {}) as Record<string, unknown>;
    if (use !== 'x509-svid' || !Array.isArray(x5c) || typeof x5c[0] !== 'string') return [];
    return readCertificates(Buffer.from(x5c[0], 'base64'));
  });
  return {
    roots: checkRoots(roots),
    sequence: Number.isSafeInteger(sequence) ? Number(sequence) : null,
    refreshHintSeconds: typeof hint === 'number' && hint > 0 ? Math.floor(hint) : DEFAULT_HINT_SECONDS,
  };
}

/** The same from PEM, which says neither sequence nor hint. */
export function readPemBundle(bytes: Buffer): ReadBundle {
  return { roots: checkRoots(readCertificates(bytes)), sequence: null, refreshHintSeconds: DEFAULT_HINT_SECONDS };
}

// A workload in a bundle would vouch for whatever it likes.
function checkRoots(roots: readonly Certificate[]): readonly Certificate[] {
  if (roots.some(({ isCa }) => isCa !== true)) throw new TypeError('it holds a certificate that is no authority');
  return roots;
}
