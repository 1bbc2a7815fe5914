// Frames on their way out, gathered for one turn of the event loop: one write to TLS carries the frames of many requests.
// Short ones are copied into a slab that is used again once it is written; long payloads pass through as they are.
import type { Socket } from 'node:net';
import { HEADER_BYTES } from './frame.ts';

const SLAB_BYTES = 32 * 1024;
/** Payloads from this size on are not copied. */
const LONG_BYTES = 4096;
const MAX_FREE_SLABS = 2;

export class Outbox {
  readonly #socket: Socket;
  readonly #free: Buffer[] = [];
  #slab: Buffer | undefined;
  /** Where in the slab the bytes begin that are not among `#parts` yet, and where they end. */
  #from = 0;
  #at = 0;
  #parts: Buffer[] = [];
  #used: Buffer[] = [];
  #scheduled = false;
  #gathered = 0;
  readonly #onFlushed: () => void;
  readonly #isQuiet: () => boolean;

  /** `onFlushed` runs after each write: there is room for more. While it is quiet there is nothing to wait for: frames go out at once. */
  constructor(socket: Socket, onFlushed: () => void, isQuiet: () => boolean) {
    this.#socket = socket;
    this.#onFlushed = onFlushed;
    this.#isQuiet = isQuiet;
  }

  /** Bytes that wait for the end of the turn, or for the socket. */
  get waiting(): number {
    return this.#gathered + this.#socket.writableLength;
  }

  /** A frame whose payload is text, Latin-1. `flags`: type, with END_FLAG. */
  text(flags: number, stream: number, text: string): void {
    const slab = this.#room(HEADER_BYTES + text.length);
    this.#at += slab.write(text, header(slab, this.#at, flags, stream, text.length), 'latin1');
    this.#at += HEADER_BYTES;
  }

  bytes(flags: number, stream: number, payload: Buffer): void {
    const { length } = payload;
    if (length < LONG_BYTES) {
      const slab = this.#room(HEADER_BYTES + length);
      slab.set(payload, header(slab, this.#at, flags, stream, length));
      this.#at += HEADER_BYTES + length;
      return;
    }
    header(this.#room(HEADER_BYTES), this.#at, flags, stream, length);
    this.#at += HEADER_BYTES;
    this.#cut();
    this.#parts.push(payload);
    this.#gathered += length;
  }

  number(flags: number, stream: number, value: number): void {
    const slab = this.#room(HEADER_BYTES + 4);
    slab.writeUInt32BE(value, header(slab, this.#at, flags, stream, 4));
    this.#at += HEADER_BYTES + 4;
  }

  /** Everything gathered, now. */
  readonly flush = (): void => {
    this.#scheduled = false;
    this.#cut();
    const parts = this.#parts;
    const used = this.#used;
    if (this.#slab !== undefined) {
      used.push(this.#slab);
      this.#slab = undefined;
    }
    this.#used = [];
    this.#parts = [];
    this.#gathered = 0;
    if (parts.length === 0 || !this.#socket.writable) return;
    const onWritten = (): void => {
      for (const slab of used) if (slab.length === SLAB_BYTES && this.#free.length < MAX_FREE_SLABS) this.#free.push(slab);
    };
    if (parts.length === 1) {
      this.#socket.write(parts[0] as Buffer, onWritten);
    } else {
      this.#socket.cork();
      for (let i = 0; i < parts.length - 1; i++) this.#socket.write(parts[i] as Buffer);
      this.#socket.write(parts[parts.length - 1] as Buffer, onWritten);
      this.#socket.uncork();
    }
    this.#onFlushed();
  };

  #room(bytes: number): Buffer {
    this.#gathered += bytes;
    if (!this.#scheduled) {
      this.#scheduled = true;
      if (this.#isQuiet()) process.nextTick(this.flush);
      else setImmediate(this.flush);
    }
    const slab = this.#slab;
    if (slab !== undefined && slab.length - this.#at >= bytes) return slab;
    if (slab !== undefined) {
      this.#cut();
      this.#used.push(slab);
    }
    const next = (bytes <= SLAB_BYTES ? this.#free.pop() : undefined) ?? Buffer.allocUnsafeSlow(Math.max(bytes, SLAB_BYTES));
    this.#slab = next;
    this.#from = 0;
    this.#at = 0;
    return next;
  }

  #cut(): void {
    if (this.#slab === undefined || this.#at === this.#from) return;
    this.#parts.push(this.#slab.subarray(this.#from, this.#at));
    this.#from = this.#at;
  }
}

/** Writes a frame's header and gives where its payload begins. */
function header(slab: Buffer, at: number, flags: number, stream: number, length: number): number {
  slab[at] = length >>> 16;
  slab[at + 1] = length >>> 8;
  slab[at + 2] = length;
  slab[at + 3] = flags;
  slab[at + 4] = stream >>> 24;
  slab[at + 5] = stream >>> 16;
  slab[at + 6] = stream >>> 8;
  slab[at + 7] = stream;
  return at + HEADER_BYTES;
}
