// Moments by which something has to have happened, looked at all together every few milliseconds: a timer for each request would
// cost more than the look. What is late is late by at most LOOK_EVERY_MS.

import { nowMs } from './clock.ts';

const LOOK_EVERY_MS = 10;

export interface Deadline {
  /** Epoch milliseconds of nowMs(). */
  dueAtMs: number;
  onDue(): void;
}

export class Deadlines {
  readonly #waiting = new Set<Deadline>();
  #timer: NodeJS.Timeout | undefined;

  add(deadline: Deadline): void {
    this.#waiting.add(deadline);
    if (this.#timer === undefined) this.#timer = setTimeout(this.#look, LOOK_EVERY_MS);
  }

  remove(deadline: Deadline): void {
    this.#waiting.delete(deadline);
  }

  readonly #look = (): void => {
    const now = nowMs();
    for (const deadline of this.#waiting) {
      if (deadline.dueAtMs > now) continue;
      this.#waiting.delete(deadline);
      deadline.onDue();
    }
    this.#timer = this.#waiting.size > 0 ? setTimeout(this.#look, LOOK_EVERY_MS) : undefined;
  };
}
