// Questions that were sent and whose answers come by number.

export class Pending<T> {
  readonly #waiting = new Map<number, (answer: T | undefined) => void>();
  #last = 0;

  /** `send` puts the question with its number on the way. Undefined when no answer came in time. */
  ask(limitMs: number, send: (id: number) => void): Promise<T | undefined> {
    const id = ++this.#last;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.settle(id, undefined), limitMs);
      this.#waiting.set(id, (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
      send(id);
    });
  }

  /** An answer that nobody waits for (any more) is nothing. */
  settle(id: number, answer: T | undefined): void {
    this.#waiting.get(id)?.(answer);
    this.#waiting.delete(id);
  }
}
