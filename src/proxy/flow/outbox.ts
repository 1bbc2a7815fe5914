// Frames on their way out, gathered for one turn of the event loop: one write to TLS carries the frames of many requests.
// Short ones are copied into a slab that is used again once it is written; long payloads pass through as they are.
import type { Socket } from 'node:net';

const SLAB_BYTES = 32 * 1024;
/** Payloads from this size on are not copied. */
const LONG_BYTES = 4096;
const MAX_FREE_SLABS = 2;

/** How a protocol writes the header of a frame. */
export interface FrameLayout {
  readonly headerBytes: number;
  /** `kind`: type and flags, as the protocol's own code made it. */
  write(slab: Buffer, at: number, kind: number, stream: number, length: number): void;
}

export class Outbox {
  readonly #layout: FrameLayout;
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
  constructor(socket: Socket, layout: FrameLayout, onFlushed: () => void, isQuiet: () => boolean) {
    this.#layout = layout;
    this.#socket = socket;
    this.#onFlushed = onFlushed;
    this.#isQuiet = isQuiet;
  }

  /** Bytes that wait for the end of the turn, or for the socket. */
  get waiting(): number {
    return this.#gathered + this.#socket.writableLength;
  }

  /** A frame whose payload is text, Latin-1. */
  text(kind: number, stream: number, text: string): void {
    const slab = this.#begin(kind, stream, text.length, text.length);
    this.#at += slab.write(text, this.#at, 'latin1');
  }

  /** A frame whose payload is used again by whoever made it: it is copied, however long. */
  copy(kind: number, stream: number, payload: Buffer): void {
    const { length } = payload;
    this.#begin(kind, stream, length, length).set(payload, this.#at);
    this.#at += length;
  }

  /** A long payload is kept as it is until it was written: nobody may change it. */
  bytes(kind: number, stream: number, payload: Buffer): void {
    const { length } = payload;
    if (length < LONG_BYTES) return this.copy(kind, stream, payload);
    this.#begin(kind, stream, length, 0);
    this.#cut();
    this.#parts.push(payload);
    this.#gathered += length;
  }

  number(kind: number, stream: number, value: number): void {
    this.#begin(kind, stream, 4, 4).writeUInt32BE(value, this.#at);
    this.#at += 4;
  }

  /** Bytes that are no frame, or one that was made elsewhere. They are copied. */
  raw(bytes: Buffer): void {
    this.#room(bytes.length).set(bytes, this.#at);
    this.#at += bytes.length;
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

  /** The header of a frame; its payload may be written where `#at` is then, if `copied` bytes of it are. */
  #begin(kind: number, stream: number, length: number, copied: number): Buffer {
    const { headerBytes } = this.#layout;
    const slab = this.#room(headerBytes + copied);
    this.#layout.write(slab, this.#at, kind, stream, length);
    this.#at += headerBytes;
    return slab;
  }

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
