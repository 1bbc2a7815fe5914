// When a certificate is due: at two thirds of its life, spread by jitter so that a fleet does not renew in one second.
// Life runs from issuance to notAfter, not from the back-dated notBefore.

/** Share of life after which a renewal is due. */
export const RENEW_AT_SHARE = 2 / 3;
/** The due moment is moved by up to this share of life to either side. */
export const JITTER_SHARE = 0.05;

/** Epoch milliseconds at which the certificate is due. `random` is in [0, 1). */
export function renewalDueAt(issuedAtMs: number, notAfterMs: number, random: number, share = RENEW_AT_SHARE): number {
  const life = notAfterMs - issuedAtMs;
  return issuedAtMs + life * (share + JITTER_SHARE * (2 * random - 1));
}

/** Share of life that is left, in percent, one decimal; 0 when it is over. */
export function lifeLeftPercent(issuedAtMs: number, notAfterMs: number, nowMs: number): number {
  const share = (notAfterMs - nowMs) / (notAfterMs - issuedAtMs);
  return Math.round(Math.min(1, Math.max(0, share)) * 1000) / 10;
}
