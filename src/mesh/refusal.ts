// Why the proxy answered itself instead of the service: a closed list.
// The same word stands in the response header `x-meshctl-refusal` (but for `denied`), in metrics, spans and documents.

export const REFUSALS = [
  'denied',
  'no_route',
  'no_endpoint',
  'upstream_refused',
  'upstream_reset',
  'upstream_invalid',
  'timeout',
  'deadline',
  'overloaded',
  'rate_limited',
  'circuit_open',
  'identity_mismatch',
  'identity_expired',
  'revoked',
  'bad_request',
  'draining',
  'fault_injected',
] as const;

export type Refusal = (typeof REFUSALS)[number];

const KNOWN = new Set<string>(REFUSALS);

export function isRefusal(word: string): word is Refusal {
  return KNOWN.has(word);
}

/** The header that tells a caller why the proxy answered itself. */
export const REFUSAL_HEADER = 'x-meshctl-refusal';
