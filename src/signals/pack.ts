// Counters of many series in few bytes: what a proxy counted within a second is one row of the store.
//
//   entry   series id, requests, sum and maximum of latency (µs), bytes in and out, buckets as pairs of index and count
//   varint  seven bits a byte, least significant first, the eighth set where more follows
//
// A body is any number of entries one after the other. Numbers are whole, not negative, and below 2^53.

/** How much a series grew, or how large it is. */
export interface Amount {
  count: number;
  sumMs: number;
  maxMs: number;
  requestBytes: number;
  responseBytes: number;
  /** By bucket of signals/metrics.ts; holes are zeros. */
  buckets: number[];
}

export function emptyAmount(): Amount {
  return { count: 0, sumMs: 0, maxMs: 0, requestBytes: 0, responseBytes: 0, buckets: [] };
}

export function addAmount(into: Amount, from: Amount): void {
  into.count += from.count;
  into.sumMs += from.sumMs;
  into.maxMs = Math.max(into.maxMs, from.maxMs);
  into.requestBytes += from.requestBytes;
  into.responseBytes += from.responseBytes;
  const { buckets } = into;
  for (let i = 0; i < from.buckets.length; i++) {
    if (i < buckets.length) buckets[i] = (buckets[i] ?? 0) + (from.buckets[i] ?? 0);
    else buckets.push(from.buckets[i] ?? 0);
  }
}

export class Packer {
  #bytes: Buffer = Buffer.allocUnsafe(4096);
  #length = 0;

  add(series: number, amount: Amount): void {
    this.#varint(series);
    this.#varint(amount.count);
    this.#varint(Math.round(amount.sumMs * 1000));
    this.#varint(Math.round(amount.maxMs * 1000));
    this.#varint(amount.requestBytes);
    this.#varint(amount.responseBytes);
    let filled = 0;
    for (const count of amount.buckets) if (count !== undefined && count > 0) filled++;
    this.#varint(filled);
    amount.buckets.forEach((count, i) => {
      if (count <= 0) return;
      this.#varint(i);
      this.#varint(count);
    });
  }

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  /** What was added; the packer is empty afterwards. */
  take(): Buffer {
    const body = Buffer.from(this.#bytes.subarray(0, this.#length));
    this.#length = 0;
    return body;
  }

  #varint(value: number): void {
    if (this.#length + 8 > this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes, Buffer.allocUnsafe(this.#bytes.length)]);
    let rest = Math.max(0, Math.floor(value));
    while (rest >= 0x80) {
      this.#bytes[this.#length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes[this.#length++] = rest;
  }
}

/** Pairs of index and count of the entry that is being read; one is read at a time. */
const pairs = new Float64Array(512);

/**
 * Adds each entry of a body to what `amountOf` gives for its series; an entry for which it gives nothing is passed over.
 * A body that is cut short ends with its last whole entry.
 */
export function unpack(body: Uint8Array, amountOf: (series: number) => Amount | undefined): void {
  let at = 0;
  const varint = (): number => {
    const first = body[at++] as number;
    if (first < 0x80) return first;
    let value = first & 0x7f;
    for (let scale = 0x80; at < body.length; scale *= 0x80) {
      const byte = body[at++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    return Number.NaN;
  };
  while (at < body.length) {
    const series = varint();
    const count = varint();
    const sumMs = varint() / 1000;
    const maxMs = varint() / 1000;
    const requestBytes = varint();
    const responseBytes = varint();
    const numbers = varint() * 2;
    if (!(numbers <= pairs.length)) return;
    for (let i = 0; i < numbers; i++) pairs[i] = varint();
    if (at > body.length || (numbers > 0 && Number.isNaN(pairs[numbers - 1]))) return;
    const into = amountOf(series);
    if (into === undefined) continue;
    into.count += count;
    into.sumMs += sumMs;
    if (maxMs > into.maxMs) into.maxMs = maxMs;
    into.requestBytes += requestBytes;
    into.responseBytes += responseBytes;
    const { buckets } = into;
    for (let i = 0; i < numbers; i += 2) {
      const index = pairs[i] as number;
      while (buckets.length <= index) buckets.push(0);
      buckets[index] = (buckets[index] as number) + (pairs[i + 1] as number);
    }
  }
}
