// Requests that were seen, counted by what a policy looks at: what `learn` makes rules of, and what `replay` judges again.
import { parseSpiffeId } from '../mesh/identity.ts';
import type { Attempt } from './evaluate.ts';

export interface Observed {
  /** Null without an identity. */
  readonly callerId: string | null;
  readonly calleeId: string;
  readonly port: { readonly name: string; readonly number: number } | null;
  readonly protocol: 'http' | 'grpc' | 'tcp';
  readonly method: string | null;
  /** Normalised, without query. */
  readonly path: string | null;
  readonly verdict: 'allowed' | 'denied';
  /** Only audit mode let it pass. */
  readonly audited: boolean;
  readonly rule: string | null;
  readonly count: number;
  readonly firstMs: number;
  readonly lastMs: number;
  /** Of the newest: a trace id, and the request's own where it has one. */
  readonly traceId: string;
  readonly requestId: string;
}

/** The question that it was to the policy, as far as it was recorded: fields are not. Undefined for what names no identity. */
export function attemptOf({ callerId, calleeId, port, protocol, method, path }: Observed, atMs: number): Attempt | undefined {
  const callee = parseSpiffeId(calleeId);
  const caller = callerId === null ? undefined : parseSpiffeId(callerId);
  if (callee === undefined || (callerId !== null && caller === undefined)) return undefined;
  const http =
    protocol === 'tcp'
      ? undefined
      : { method: method ?? undefined, path: path ?? undefined, grpc: protocol === 'grpc', header: () => undefined };
  return { caller, callee, port: port ?? undefined, http, atMs };
}

/** `POST /charge`, `grpc a.B/C`, `tcp`. */
export function printObserved({ protocol, method, path }: Pick<Observed, 'protocol' | 'method' | 'path'>): string {
  if (protocol === 'tcp') return 'tcp';
  return protocol === 'grpc' ? `grpc ${(path ?? '').slice(1)}` : `${method} ${path}`;
}
