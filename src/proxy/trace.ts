// Which trace and request an exchange belongs to, and what it sends on.
//
//   ingress   a fresh request id; the outside's trace is continued when the mesh says so, else a new one begins
//   outbound  the application's trace; one that forwards only `x-request-id` is found by that; else a new one begins
//   inbound   the calling proxy's trace
import { randomUUID } from 'node:crypto';
import { isSampled, makeSpanId, makeTraceId, parseTraceparent, type TraceContext } from '../traces/context.ts';
import { type Fields, fieldOf, fieldsOf } from './codec/fields.ts';
import type { RequestMemory } from './request-memory.ts';
import type { Listener } from './route/match.ts';
import type { Tables } from './tables.ts';

export interface Tracing {
  readonly requestId: string;
  readonly traceId: string;
  readonly sampled: boolean;
  readonly random: boolean;
  /** Span of the caller, if it sent one. */
  readonly parentId: string | undefined;
  /** The SERVER span of this exchange; undefined on the outbound side, where each attempt has its own span. */
  readonly serverSpanId: string | undefined;
  /** The trace came from the caller: its `tracestate` goes on too. */
  readonly continued: boolean;
}

const REQUEST_ID = /^[\x21-\x7e]{1,128}$/;

/** A fresh UUID (version 4). */
export function makeRequestId(): string {
  return randomUUID();
}

export function traceExchange(listener: Listener, tables: Tables, memory: RequestMemory, fields: Fields): Tracing {
  const ingress = listener.kind === 'ingress';
  const given = fieldOf(fields, 'x-request-id');
  const known = !ingress && given !== undefined && REQUEST_ID.test(given) ? given : undefined;
  const serverSpanId = ingress || listener.kind === 'inbound' ? makeSpanId() : undefined;
  const own = parent(ingress, tables, memory, fields, known);
  const traceId = own?.traceId ?? makeTraceId();
  return {
    requestId: known ?? makeRequestId(),
    traceId,
    sampled: own?.sampled ?? isSampled(traceId, tables.tracing.ratio),
    random: own?.random ?? true,
    parentId: own?.spanId,
    serverSpanId,
    continued: own !== undefined,
  };
}

function parent(
  ingress: boolean,
  tables: Tables,
  memory: RequestMemory,
  fields: Fields,
  requestId: string | undefined,
): TraceContext | undefined {
  if (ingress && !tables.tracing.acceptExternal) return undefined;
  const sent = parseTraceparent(fieldsOf(fields, 'traceparent'));
  if (sent !== undefined || ingress || requestId === undefined) return sent;
  return memory.recall(requestId);
}
