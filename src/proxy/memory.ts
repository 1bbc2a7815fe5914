// What is read from sockets lies outside V8's heap in buffers that die young. V8 frees them with the next minor collection, but
// starts one by what is in its own heap: under large bodies so much piles up outside that it marks the whole heap again and again.
// A minor collection every few megabytes costs next to nothing and keeps that away.

const EVERY_BYTES = 16 * 1024 * 1024;

let since = 0;

/** Counts bytes that were just read. Does nothing when Node was started without `--expose-gc`. */
export function countRead(bytes: number): void {
  since += bytes;
  if (since < EVERY_BYTES) return;
  since = 0;
  globalThis.gc?.({ type: 'minor', execution: 'sync' });
}
