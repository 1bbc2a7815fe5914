// Which trace an inbound request belongs to, by its request id: a service that forwards only `x-request-id` stays in the trace.
// Bounded: the oldest is forgotten first.
import type { TraceContext } from '../traces/context.ts';
import { MAX_REMEMBERED_REQUESTS } from './codec/limits.ts';

export class RequestMemory {
  readonly #contexts = new Map<string, TraceContext>();

  remember(requestId: string, context: TraceContext): void {
    this.#contexts.delete(requestId);
    if (this.#contexts.size >= MAX_REMEMBERED_REQUESTS) {
      const oldest = this.#contexts.keys().next();
      if (!oldest.done) this.#contexts.delete(oldest.value);
    }
    this.#contexts.set(requestId, context);
  }

  recall(requestId: string): TraceContext | undefined {
    return this.#contexts.get(requestId);
  }
}
