// A token bucket: so many a second on average, bursts up to its size.

import type { RateLimit } from '../mesh/traffic.ts';

export class TokenBucket {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #atMs: number;

  constructor(perSecond: number, burst: number, nowMs: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
    this.#atMs = nowMs;
  }

  take(nowMs: number): boolean {
    this.#tokens = Math.min(this.#burst, this.#tokens + ((nowMs - this.#atMs) * this.#perSecond) / 1000);
    this.#atMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}

/** A bucket for each limit of the configuration; it stays while the limit does, however often a snapshot comes. */
export class RateLimits {
  readonly #buckets = new Map<string, { readonly limit: RateLimit; readonly bucket: TokenBucket }>();

  take(limit: RateLimit, nowMs: number): boolean {
    let known = this.#buckets.get(limit.scope);
    if (known?.limit.requestsPerSecond !== limit.requestsPerSecond || known.limit.burst !== limit.burst) {
      known = { limit, bucket: new TokenBucket(limit.requestsPerSecond, limit.burst, nowMs) };
      this.#buckets.set(limit.scope, known);
    }
    return known.bucket.take(nowMs);
  }
}
