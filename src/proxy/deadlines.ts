// Moments by which something has to have happened, looked at all together every few milliseconds: a timer for each request would
// cost more than the look. What is late is late by at most LOOK_EVERY_MS.
//
// A list, not a Set: what comes and goes thousands of times a second makes a Set leave its old tables behind, and those, once they are old
// themselves, keep alive what was in them (docs/decisions/0011-own-http2.md).
import { nowMs } from './clock.ts';

const LOOK_EVERY_MS = 10;

export interface Deadline {
  /** Epoch milliseconds of nowMs(). */
  dueAtMs: number;
  /** Where it is in the list; -1 when it is not. Only the list writes it. */
  place: number;
  onDue(): void;
}

export class Deadlines {
  readonly #waiting: Deadline[] = [];
  #timer: NodeJS.Timeout | undefined;

  add(deadline: Deadline): void {
    if (deadline.place >= 0) return;
    deadline.place = this.#waiting.push(deadline) - 1;
    if (this.#timer === undefined) this.#timer = setTimeout(this.#look, LOOK_EVERY_MS);
  }

  remove(deadline: Deadline): void {
    const { place } = deadline;
    if (place < 0) return;
    deadline.place = -1;
    const last = this.#waiting.pop() as Deadline;
    if (last === deadline) return;
    this.#waiting[place] = last;
    last.place = place;
  }

  readonly #look = (): void => {
    const now = nowMs();
    for (const deadline of this.#waiting.filter(({ dueAtMs }) => dueAtMs <= now)) {
      // Another one's end may have taken it away.
      if (deadline.place < 0) continue;
      this.remove(deadline);
      deadline.onDue();
    }
    this.#timer = this.#waiting.length > 0 ? setTimeout(this.#look, LOOK_EVERY_MS) : undefined;
  };
}
