// Which trace an inbound request belongs to, and until when its caller waits, by its request id: a service that forwards only
// `x-request-id` stays in the trace and within the time.
// Bounded: two generations, the older of which is forgotten whole when the newer is full.
import type { TraceContext } from '../traces/context.ts';
import { MAX_REMEMBERED_REQUESTS } from './codec/limits.ts';
import type { Tracing } from './trace.ts';

interface Remembered {
  readonly tracing: Tracing;
  readonly deadlineMs: number;
}

export class RequestMemory {
  #newer = new Map<string, Remembered>();
  #older = new Map<string, Remembered>();

  remember(requestId: string, tracing: Tracing, deadlineMs: number): void {
    if (this.#newer.size >= MAX_REMEMBERED_REQUESTS / 2) {
      this.#older = this.#newer;
      this.#newer = new Map();
    }
    this.#newer.set(requestId, { tracing, deadlineMs });
  }

  recall(requestId: string): TraceContext | undefined {
    const tracing = this.#find(requestId)?.tracing;
    if (tracing?.serverSpanId === undefined) return undefined;
    return { traceId: tracing.traceId, spanId: tracing.serverSpanId, sampled: tracing.sampled, random: tracing.random };
  }

  /** Epoch milliseconds; Infinity when nothing is known. */
  deadlineOf(requestId: string): number {
    return this.#find(requestId)?.deadlineMs ?? Number.POSITIVE_INFINITY;
  }

  #find(requestId: string): Remembered | undefined {
    // Asked for every request that goes out, also where none ever came in.
    if (this.#newer.size === 0) return undefined;
    return this.#newer.get(requestId) ?? this.#older.get(requestId);
  }
}
