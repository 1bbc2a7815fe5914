// What goes to one plain socket in one turn of the event loop, as one write: a head with its body, a chunk with its size.
import type { Socket } from 'node:net';

/** From here on a write is worth its own system call. */
const ENOUGH_BYTES = 64 * 1024;
/** More than this is not copied into one piece; it goes out when the turn of the event loop ends, with what else has come by then. */
const LARGE_BYTES = 8 * 1024;

export class Gather {
  readonly #socket: Socket;
  #parts: (string | Buffer)[] = [];
  #size = 0;
  #scheduled = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Text in Latin-1. False: wait for the socket's `drain`. */
  text(text: string): boolean {
    this.#parts.push(text);
    return this.#add(text.length);
  }

  bytes(bytes: Buffer): boolean {
    this.#parts.push(bytes);
    return this.#add(bytes.length);
  }

  /** What was gathered goes out now. */
  readonly flush = (): boolean => {
    this.#scheduled = false;
    const parts = this.#parts;
    const size = this.#size;
    if (parts.length === 0) return true;
    this.#parts = [];
    this.#size = 0;
    const first = parts[0] as string | Buffer;
    if (parts.length === 1) return typeof first === 'string' ? this.#socket.write(first, 'latin1') : this.#socket.write(first);
    if (size > LARGE_BYTES) return this.#writeEach(parts);
    const whole = Buffer.allocUnsafe(size);
    let at = 0;
    for (const part of parts) {
      if (typeof part === 'string') at += whole.write(part, at, 'latin1');
      else {
        whole.set(part, at);
        at += part.length;
      }
    }
    return this.#socket.write(whole);
  };

  #add(bytes: number): boolean {
    this.#size += bytes;
    if (this.#size >= ENOUGH_BYTES) return this.flush();
    if (!this.#scheduled) {
      this.#scheduled = true;
      if (this.#size > LARGE_BYTES) setImmediate(this.flush);
      else process.nextTick(this.flush);
    }
    return !this.#socket.writableNeedDrain;
  }

  #writeEach(parts: readonly (string | Buffer)[]): boolean {
    this.#socket.cork();
    let room = true;
    for (const part of parts) room = typeof part === 'string' ? this.#socket.write(part, 'latin1') : this.#socket.write(part);
    this.#socket.uncork();
    return room;
  }
}
