// A token bucket: so many a second on average, bursts up to its size.

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

type Limit = { readonly requestsPerSecond: number; readonly burst: number };

/** A bucket for each limit of the configuration. */
export class RateLimits {
  readonly #buckets = new WeakMap<Limit, TokenBucket>();

  take(limit: Limit, nowMs: number): boolean {
    let bucket = this.#buckets.get(limit);
    if (bucket === undefined) {
      bucket = new TokenBucket(limit.requestsPerSecond, limit.burst, nowMs);
      this.#buckets.set(limit, bucket);
    }
    return bucket.take(nowMs);
  }
}
