// W3C Trace Context: read `traceparent`, make one, pass it on.
// Source: trace-context level 2, sections 3.2 and 3.4. What is invalid restarts the trace; it is never an error for the client.
import { randomFillSync } from 'node:crypto';

export interface TraceContext {
  /** 32 lower-case hex digits, not all zero. */
  readonly traceId: string;
  /** 16 lower-case hex digits, not all zero: the span that called. */
  readonly spanId: string;
  readonly sampled: boolean;
  /** Level 2: the right-most 7 bytes of the trace id are random. Kept as it came. */
  readonly random: boolean;
}

const FORM = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?$/;
const LENGTH = 55;
const ZERO = /^0+$/;

/** The context of a `traceparent` value, or undefined when it is absent, given twice or invalid: then `tracestate` is dropped too. */
export function parseTraceparent(values: readonly string[]): TraceContext | undefined {
  if (values.length !== 1) return undefined;
  const value = (values[0] ?? '').trim();
  if (!FORM.test(value)) return undefined;
  if (value.startsWith('ff') || (value.startsWith('00') && value.length > LENGTH)) return undefined;
  const traceId = value.slice(3, 35);
  const spanId = value.slice(36, 52);
  if (ZERO.test(traceId) || ZERO.test(spanId)) return undefined;
  const bits = Number.parseInt(value.slice(53, LENGTH), 16);
  return { traceId, spanId, sampled: (bits & 1) === 1, random: (bits & 2) === 2 };
}

/** Version 00; only the two defined flag bits go out. */
export function printTraceparent(context: TraceContext): string {
  const flags = (context.sampled ? 1 : 0) | (context.random ? 2 : 0);
  return `00-${context.traceId}-${context.spanId}-0${flags}`;
}

// Ids are cut from a pool: one call to the random source serves 170 traces.
const pool = Buffer.alloc(4096);
let used = pool.length;

function randomHex(bytes: number): string {
  if (used + bytes > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += bytes;
  const hex = pool.toString('hex', used - bytes, used);
  return ZERO.test(hex) ? randomHex(bytes) : hex;
}

export function makeTraceId(): string {
  return randomHex(16);
}

export function makeSpanId(): string {
  return randomHex(8);
}

/** Whether a new trace is kept: the right-most 52 bits (what a double holds exactly) against the ratio (level 2, consistent probability sampling). */
export function isSampled(traceId: string, ratio: number): boolean {
  if (ratio >= 1) return true;
  return Number.parseInt(traceId.slice(19), 16) < ratio * 2 ** 52;
}
