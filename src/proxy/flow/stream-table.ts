// The open streams of a connection by their number. Numbers only grow, so a short ring holds those that come and go; one that is still
// open when its place in the ring is wanted again lives on in a map.
//
// Not a map alone: see deadlines.ts.
import type { FlowStream } from './stream.ts';

const RING = 256;

export class StreamTable<Stream extends FlowStream> {
  readonly #ring: (Stream | undefined)[] = new Array<Stream | undefined>(RING).fill(undefined);
  readonly #longLived = new Map<number, Stream>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(id: number): Stream | undefined {
    const stream = this.#ring[id % RING];
    return stream?.id === id ? stream : this.#longLived.size === 0 ? undefined : this.#longLived.get(id);
  }

  /** A stream whose number is higher than those of all others before. */
  add(stream: Stream): void {
    const place = stream.id % RING;
    const older = this.#ring[place];
    if (older !== undefined) this.#longLived.set(older.id, older);
    this.#ring[place] = stream;
    this.#size++;
  }

  /** False when it was not there. */
  delete({ id }: FlowStream): boolean {
    const place = id % RING;
    if (this.#ring[place]?.id === id) this.#ring[place] = undefined;
    else if (!this.#longLived.delete(id)) return false;
    this.#size--;
    return true;
  }

  /** A list of its own: streams may come and go while it is walked. */
  all(): Stream[] {
    return [...this.#longLived.values(), ...this.#ring.filter((stream) => stream !== undefined)];
  }

  clear(): void {
    this.#ring.fill(undefined);
    this.#longLived.clear();
    this.#size = 0;
  }
}
