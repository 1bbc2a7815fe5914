// Holds a body against what its head said of it.
import type { Framing } from './h1/framing.ts';

/** How many bytes of a body may still come; a body that ends when it ends may be of any length. */
export class BodyCount {
  #left: number;

  constructor(framing: Framing) {
    this.#left = framing.kind === 'none' ? 0 : framing.kind === 'length' ? framing.length : Number.POSITIVE_INFINITY;
  }

  /** False: more than the head said. */
  take(bytes: number): boolean {
    this.#left -= bytes;
    return this.#left >= 0;
  }

  /** Whether a body may end here. */
  get isWhole(): boolean {
    return this.#left === 0 || this.#left === Number.POSITIVE_INFINITY;
  }
}
