// Refusal → the answer that the caller gets. One table; nothing else turns a refusal into a status.
import { REFUSAL_HEADER, type Refusal } from '../mesh/refusal.ts';
import type { Fields } from './codec/fields.ts';

const STATUS: Readonly<Record<Refusal, number>> = {
  denied: 403,
  no_route: 404,
  no_endpoint: 503,
  upstream_refused: 503,
  upstream_reset: 502,
  upstream_invalid: 502,
  timeout: 504,
  deadline: 504,
  overloaded: 503,
  rate_limited: 429,
  circuit_open: 503,
  identity_mismatch: 502,
  identity_expired: 503,
  revoked: 503,
  bad_request: 400,
  draining: 503,
  fault_injected: 503,
};

export interface Answer {
  readonly status: number;
  readonly fields: Fields;
  readonly body: Buffer;
}

export interface RefusalDetails {
  readonly refusal: Refusal;
  /** For the caller; never given for `denied`. */
  readonly why: string;
  /** Overrides the table where the codec knows better (431, 501, 505) or the listener does (502 of a forward proxy). */
  readonly status?: number | undefined;
}

/** A denial says nothing beyond 403 and the request id: the reason goes to log, metric and span. */
export function answerFor(details: RefusalDetails, requestId: string | undefined): Answer {
  const denied = details.refusal === 'denied';
  const text = denied ? 'forbidden' : `${details.refusal}: ${details.why}`;
  const body = Buffer.from(`${text}\n`);
  const fields: Fields = ['content-type', 'text/plain; charset=utf-8', 'content-length', String(body.length)];
  if (!denied) fields.push(REFUSAL_HEADER, details.refusal);
  if (requestId !== undefined) fields.push('x-request-id', requestId);
  return { status: details.status ?? STATUS[details.refusal], fields, body };
}
