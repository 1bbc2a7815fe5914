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
  from.buckets.forEach((count, i) => {
    into.buckets[i] = (into.buckets[i] ?? 0) + count;
  });
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

/** Calls back for each entry of a body; a body that is cut short ends with its last whole entry. */
export function unpack(body: Uint8Array, onEntry: (series: number, amount: Amount) => void): void {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; at < body.length; scale *= 0x80) {
      const byte = body[at++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    return Number.NaN;
  };
  while (at < body.length) {
    const series = varint();
    const amount: Amount = {
      count: varint(),
      sumMs: varint() / 1000,
      maxMs: varint() / 1000,
      requestBytes: varint(),
      responseBytes: varint(),
      buckets: [],
    };
    for (let left = varint(); left > 0; left--) {
      const index = varint();
      amount.buckets[index] = varint();
    }
    if (Number.isNaN(series + amount.count + amount.responseBytes)) return;
    onEntry(series, amount);
  }
}
