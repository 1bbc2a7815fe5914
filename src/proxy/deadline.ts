// Until when a caller waits, as it travels: `grpc-timeout` in gRPC, `x-meshctl-timeout-ms` between proxies,
// `x-envoy-expected-rq-timeout-ms` towards applications. What goes on is what is left.
import { type Fields, fieldOf } from './codec/fields.ts';
import type { Listener } from './route/match.ts';

const BETWEEN_PROXIES = 'x-meshctl-timeout-ms';
const TO_APPLICATIONS = 'x-envoy-expected-rq-timeout-ms';
const MILLISECONDS = /^[0-9]{1,9}$/;
// gRPC over HTTP/2, "Requests": at most eight digits and a unit.
const GRPC = /^([0-9]{1,8})([HMSmun])$/;
const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** Until when the caller says that it waits: epoch milliseconds, or Infinity. */
export function readDeadline(listener: Listener, fields: Fields, isGrpc: boolean, nowMs: number): number {
  const own = listener.kind === 'inbound' ? milliseconds(fieldOf(fields, BETWEEN_PROXIES)) : undefined;
  const grpc = isGrpc ? grpcTimeoutMs(fieldOf(fields, 'grpc-timeout')) : undefined;
  return nowMs + Math.min(own ?? Number.POSITIVE_INFINITY, grpc ?? Number.POSITIVE_INFINITY);
}

export function grpcTimeoutMs(text: string | undefined): number | undefined {
  const match = text === undefined ? null : GRPC.exec(text);
  return match === null ? undefined : Number(match[1]) * (UNIT_MS[match[2] ?? ''] ?? 1);
}

function milliseconds(text: string | undefined): number | undefined {
  return text !== undefined && MILLISECONDS.test(text) ? Number(text) : undefined;
}

/** Puts what is left into the fields that go on. */
export function writeDeadline(fields: Fields, leftMs: number, isGrpc: boolean, toProxy: boolean): void {
  const left = String(Math.max(1, Math.floor(leftMs)));
  if (isGrpc) {
    const at = fields.indexOf('grpc-timeout');
    // Eight digits hold a day in milliseconds.
    const text = left.length <= 8 ? `${left}m` : `${left.slice(0, -3)}S`;
    if (at >= 0 && at % 2 === 0) fields[at + 1] = text;
    else fields.push('grpc-timeout', text);
  }
  if (toProxy) fields.push(BETWEEN_PROXIES, left);
  else if (!isGrpc) fields.push(TO_APPLICATIONS, left);
}
