// Requests and answers over one connection, in both directions: each side may ask. Used by control and by whoever talks to it.
import { Fault } from '../../base/fault.ts';
import type { AdminMessage } from '../../mesh/messages.ts';

type Handler = (method: string, params: unknown) => Promise<unknown>;

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (fault: Fault) => void;
  readonly timer: NodeJS.Timeout;
}

export class Dialogue {
  readonly #send: (message: AdminMessage) => void;
  readonly #handle: Handler;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;

  /** `handle` answers what the other side asks; its faults travel, what is no fault arrives as INTERNAL. */
  constructor(send: (message: AdminMessage) => void, handle: Handler) {
    this.#send = send;
    this.#handle = handle;
  }

  receive(message: AdminMessage): void {
    if (message.kind === 'request') {
      const { id } = message;
      this.#handle(message.method, message.params).then(
        (result) => this.#send({ kind: 'response', id, result }),
        (error: unknown) => this.#send({ kind: 'response', id, fault: Fault.from(error).toRecord() }),
      );
      return;
    }
    if (message.kind !== 'response') return;
    const waiting = this.#waiting.get(message.id);
    if (waiting === undefined) return;
    this.#settle(message.id, waiting);
    if (message.fault === undefined) waiting.resolve(message.result);
    else waiting.reject(Fault.fromRecord(message.fault));
  }

  ask(method: string, params: unknown, timeoutMs: number): Promise<unknown> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Fault('REQUEST_TIMEOUT', 'unavailable', `no answer to \`${method}\` within ${timeoutMs / 1000}s`));
      }, timeoutMs);
      this.#waiting.set(id, { resolve, reject, timer });
      this.#send({ kind: 'request', id, method, params });
    });
  }

  /** The connection is gone: whatever waits fails with this. */
  end(fault: Fault): void {
    for (const [id, waiting] of this.#waiting) {
      this.#settle(id, waiting);
      waiting.reject(fault);
    }
  }

  #settle(id: number, waiting: Waiting): void {
    clearTimeout(waiting.timer);
    this.#waiting.delete(id);
  }
}
