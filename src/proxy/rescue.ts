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

// gRPC over HTTP/2, "Status codes and their use in gRPC".
const GRPC_STATUS: Partial<Record<Refusal, number>> = {
  denied: 7,
  no_route: 12,
  timeout: 4,
  deadline: 4,
  rate_limited: 8,
  overloaded: 8,
  circuit_open: 8,
  bad_request: 13,
  identity_mismatch: 16,
};
const UNAVAILABLE = 14;

export function isGrpc(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc(?:$|[+;])/.test(contentType);
}

const GRPC_CLIENT_FAULT = new Set(['1', '3', '5', '6', '7', '8', '9', '10', '11', '16']);

/** The HTTP status whose class says the same as a `grpc-status`: 200, 400 for what the caller did, 500 for what the service did. */
export function httpStatusOf(grpcStatus: string): number {
  return grpcStatus === '0' ? 200 : GRPC_CLIENT_FAULT.has(grpcStatus) ? 400 : 500;
}

/**
 * A denial says nothing beyond 403 and the request id: the reason goes to log, metric and span.
 * To a gRPC call the answer is its trailers alone, with status and message.
 */
export function answerFor(details: RefusalDetails, requestId: string | undefined, grpc = false): Answer {
  const denied = details.refusal === 'denied';
  if (grpc) {
    const message = denied ? 'forbidden' : `${details.refusal}: ${details.why}`;
    const fields: Fields = ['content-type', 'application/grpc', 'grpc-status', String(GRPC_STATUS[details.refusal] ?? UNAVAILABLE)];
    fields.push('grpc-message', encodeURIComponent(message).replaceAll('%20', ' '));
    if (!denied) fields.push(REFUSAL_HEADER, details.refusal);
    if (requestId !== undefined) fields.push('x-request-id', requestId);
    return { status: 200, fields, body: Buffer.alloc(0) };
  }
  const text = denied ? 'forbidden' : `${details.refusal}: ${details.why}`;
  const body = Buffer.from(`${text}\n`);
  const fields: Fields = ['content-type', 'text/plain; charset=utf-8', 'content-length', String(body.length)];
  if (!denied) fields.push(REFUSAL_HEADER, details.refusal);
  if (details.refusal === 'rate_limited') fields.push('retry-after', '1');
  if (requestId !== undefined) fields.push('x-request-id', requestId);
  return { status: details.status ?? STATUS[details.refusal], fields, body };
}
