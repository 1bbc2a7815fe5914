// Exponential back-off with full jitter: the n-th wait is a random share of min(cap, base × 2^n).

export class Backoff {
  readonly #baseMs: number;
  readonly #capMs: number;
  readonly #random: () => number;
  #attempt = 0;

  constructor(baseMs: number, capMs: number, random: () => number = Math.random) {
    this.#baseMs = baseMs;
    this.#capMs = capMs;
    this.#random = random;
  }

  /** Milliseconds to wait before the next try; at least a tenth of the window, so that a loop never spins. */
  next(): number {
    const window = Math.min(this.#capMs, this.#baseMs * 2 ** Math.min(this.#attempt, 20));
    this.#attempt++;
    return Math.round(window * (0.1 + 0.9 * this.#random()));
  }

  /** After a success: the next failure starts from the shortest wait again. */
  reset(): void {
    this.#attempt = 0;
  }
}
