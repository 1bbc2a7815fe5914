// Field blocks of HTTP/2 (RFC 7541): bytes ↔ names and values, with the table that both ends of a connection build up.
//
// INVARIANT: a block is read to its end even when a field is malformed or too much: the table must stay as the other end has it.
import { type Fields, isFitValue, isValidName } from '../fields.ts';
import { decodeHuffman } from './huffman.ts';
import { STATIC_TABLE } from './static-table.ts';

/** What either end may keep (SETTINGS_HEADER_TABLE_SIZE); the default of RFC 9113, section 6.5.2. */
export const TABLE_BYTES = 4096;
/** What each entry counts beyond its text (RFC 7541 section 4.1). */
const ENTRY_OVERHEAD = 32;
/** No more entries fit, and the one that is about to be put out. */
const RING = TABLE_BYTES / ENTRY_OVERHEAD + 1;
const STATIC_SIZE = STATIC_TABLE.length;

interface Entry {
  readonly name: string;
  readonly value: string;
  /** Whether it may stand in a message (RFC 9113 section 8.2.1); pseudo fields count as fit here. */
  readonly fit: boolean;
  /** What it counts in the table, and against the limit of a head. */
  readonly size: number;
}

const EDGE_BLANK = /^[\t ]|[\t ]$/;

function entryOf(name: string, value: string): Entry {
  const named = name.charCodeAt(0) === 0x3a ? isValidName(name.slice(1)) : isValidName(name);
  return { name, value, fit: named && isFitValue(value) && !EDGE_BLANK.test(value), size: sizeOf(name, value) };
}

function sizeOf(name: string, value: string): number {
  return name.length + value.length + ENTRY_OVERHEAD;
}

const STATIC_ENTRIES: readonly Entry[] = STATIC_TABLE.map(([name, value]) => ({
  name,
  value,
  fit: true,
  size: sizeOf(name, value),
}));

/** What a block said. */
export interface Block {
  /** Names and values in their order, pseudo fields with their colon; not all of them when `tooLarge`. */
  readonly fields: Fields;
  /** A name or a value is no field of HTTP. */
  readonly malformed: boolean;
  readonly tooLarge: boolean;
}

export class HpackDecoder {
  readonly #maxBytes: number;
  /** A ring: the entry that came as the n-th is at n modulo its length. */
  readonly #entries: (Entry | undefined)[] = new Array<Entry | undefined>(RING).fill(undefined);
  /** How many have come, and how many of those are gone. */
  #came = 0;
  #gone = 0;
  #size = 0;
  #limit = TABLE_BYTES;
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  #end = 0;

  /** `maxBytes`: names and values of one block, each field counted with 32 bytes more (SETTINGS_MAX_HEADER_LIST_SIZE). */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The block from one offset to another; undefined when it is none: the connection cannot go on (COMPRESSION_ERROR). */
  decode(bytes: Buffer, from: number, to: number): Block | undefined {
    this.#bytes = bytes;
    this.#at = from;
    this.#end = to;
    const fields: Fields = [];
    let left = this.#maxBytes;
    let malformed = false;
    let begun = false;
    while (this.#at < this.#end) {
      const first = bytes[this.#at] as number;
      if (first >= 0x20 && first < 0x40) {
        // The size of the table changes before the first field only (section 4.2).
        const limit = begun ? -1 : this.#integer(5);
        if (limit < 0 || limit > TABLE_BYTES) return undefined;
        this.#limit = limit;
        this.#evict();
        continue;
      }
      begun = true;
      const entry = first >= 0x80 ? this.#find(this.#integer(7)) : this.#literal(first);
      if (entry === undefined) return undefined;
      if (!entry.fit) malformed = true;
      left -= entry.size;
      if (left >= 0) fields.push(entry.name, entry.value);
    }
    return { fields, malformed, tooLarge: left < 0 };
  }

  #literal(first: number): Entry | undefined {
    const kept = first >= 0x40;
    const index = this.#integer(kept ? 6 : 4);
    if (index < 0) return undefined;
    const name = index === 0 ? this.#string() : this.#find(index)?.name;
    const value = name === undefined ? undefined : this.#string();
    if (name === undefined || value === undefined) return undefined;
    const entry = entryOf(name, value);
    if (kept) {
      this.#size += entry.size;
      this.#entries[this.#came++ % RING] = entry;
      this.#evict();
    }
    return entry;
  }

  #find(index: number): Entry | undefined {
    if (index <= STATIC_SIZE) return STATIC_ENTRIES[index - 1];
    const at = this.#came - (index - STATIC_SIZE);
    return at < this.#gone ? undefined : this.#entries[at % RING];
  }

  #evict(): void {
    while (this.#size > this.#limit) {
      const at = this.#gone++ % RING;
      this.#size -= this.#entries[at]?.size ?? 0;
      this.#entries[at] = undefined;
    }
  }

  /** Section 5.1. Negative when it is cut off or beyond anything that is meant here. */
  #integer(prefix: number): number {
    const mask = (1 << prefix) - 1;
    let value = (this.#bytes[this.#at++] as number) & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      if (this.#at >= this.#end) return -1;
      const byte = this.#bytes[this.#at++] as number;
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return -1;
  }

  #string(): string | undefined {
    if (this.#at >= this.#end) return undefined;
    const coded = (this.#bytes[this.#at] as number) >= 0x80;
    const length = this.#integer(7);
    const from = this.#at;
    if (length < 0 || length > this.#end - from) return undefined;
    this.#at = from + length;
    return coded ? decodeHuffman(this.#bytes, from, this.#at) : this.#bytes.toString('latin1', from, this.#at);
  }
}

/**
 * Fields whose values come again on the same connection. Nothing else enters the table: what changes with each request would
 * only push these out, and what is secret must not be guessed by its size (section 7.1).
 */
const KEPT = new Set([
  ':authority',
  ':path',
  ':status',
  'accept',
  'accept-encoding',
  'accept-language',
  'cache-control',
  'content-encoding',
  'content-type',
  'grpc-accept-encoding',
  'grpc-encoding',
  'grpc-status',
  'server',
  'te',
  'trailer',
  'user-agent',
  'vary',
  'x-forwarded-client-cert',
]);
/** An intermediary keeps them out of every table behind it too (section 6.2.3). */
const NEVER_KEPT = new Set(['authorization', 'cookie', 'proxy-authorization', 'set-cookie']);
/** A longer value is not worth its place. */
const MAX_KEPT_BYTES = 256;

const STATIC_NAMES = new Map<string, number>();
const STATIC_VALUES = new Map<string, Map<string, number>>();
STATIC_TABLE.forEach(([name, value], i) => {
  if (!STATIC_NAMES.has(name)) STATIC_NAMES.set(name, i + 1);
  if (value === '') return;
  const values = STATIC_VALUES.get(name) ?? new Map<string, number>();
  STATIC_VALUES.set(name, values.set(value, i + 1));
});

interface Kept {
  readonly name: string;
  readonly value: string;
  readonly size: number;
}

let scratch = Buffer.allocUnsafeSlow(16 * 1024);

export class HpackEncoder {
  /** The same ring as the decoder's. */
  readonly #entries: (Kept | undefined)[] = new Array<Kept | undefined>(RING).fill(undefined);
  #came = 0;
  #gone = 0;
  #size = 0;
  #limit = TABLE_BYTES;
  /** Name → value → how many had entered before it. */
  readonly #known = new Map<string, Map<string, number>>();
  /** The smallest limit since the last block, to be said at the start of the next. */
  #shrunk: number | undefined;
  #at = 0;

  /** The other end's SETTINGS_HEADER_TABLE_SIZE. */
  resize(bytes: number): void {
    const limit = Math.min(bytes, TABLE_BYTES);
    if (limit === this.#limit) return;
    this.#limit = limit;
    this.#shrunk = Math.min(this.#shrunk ?? limit, limit);
    this.#evict(0);
  }

  /** One block. `pseudo` comes first; `fields` are names in lower case and values, all checked before. Valid until the next call of any encoder. */
  encode(pseudo: Fields, fields: Fields): Buffer {
    let room = 16;
    for (let i = 0; i < pseudo.length; i++) room += (pseudo[i] as string).length + 8;
    for (let i = 0; i < fields.length; i++) room += (fields[i] as string).length + 8;
    if (scratch.length < room) scratch = Buffer.allocUnsafeSlow(room * 2);
    this.#at = 0;
    if (this.#shrunk !== undefined) {
      this.#integer(0x20, 5, this.#shrunk);
      if (this.#shrunk < this.#limit) this.#integer(0x20, 5, this.#limit);
      this.#shrunk = undefined;
    }
    for (let i = 0; i < pseudo.length; i += 2) this.#field(pseudo[i] as string, pseudo[i + 1] as string);
    for (let i = 0; i < fields.length; i += 2) this.#field(fields[i] as string, fields[i + 1] as string);
    return scratch.subarray(0, this.#at);
  }

  #field(name: string, value: string): void {
    const fixed = STATIC_VALUES.get(name)?.get(value);
    if (fixed !== undefined) {
      scratch[this.#at++] = 0x80 | fixed;
      return;
    }
    const kept = KEPT.has(name) && value.length <= MAX_KEPT_BYTES;
    if (kept) {
      const entered = this.#known.get(name)?.get(value);
      if (entered !== undefined) return this.#integer(0x80, 7, STATIC_SIZE + this.#came - entered);
    }
    const size = sizeOf(name, value);
    const enters = kept && size <= this.#limit;
    const index = STATIC_NAMES.get(name) ?? 0;
    if (enters) this.#integer(0x40, 6, index);
    else this.#integer(NEVER_KEPT.has(name) ? 0x10 : 0, 4, index);
    if (index === 0) this.#string(name);
    this.#string(value);
    if (enters) this.#keep({ name, value, size });
  }

  #keep(entry: Kept): void {
    this.#evict(entry.size);
    let values = this.#known.get(entry.name);
    if (values === undefined) {
      values = new Map();
      this.#known.set(entry.name, values);
    }
    values.set(entry.value, this.#came);
    this.#entries[this.#came++ % RING] = entry;
    this.#size += entry.size;
  }

  /** Makes room for so many bytes. */
  #evict(wanted: number): void {
    while (this.#size + wanted > this.#limit && this.#gone < this.#came) {
      const at = this.#gone++ % RING;
      const { name, value, size } = this.#entries[at] as Kept;
      this.#entries[at] = undefined;
      this.#size -= size;
      this.#known.get(name)?.delete(value);
    }
  }

  #integer(pattern: number, prefix: number, value: number): void {
    const mask = (1 << prefix) - 1;
    if (value < mask) {
      scratch[this.#at++] = pattern | value;
      return;
    }
    scratch[this.#at++] = pattern | mask;
    let rest = value - mask;
    for (; rest >= 0x80; rest >>>= 7) scratch[this.#at++] = (rest & 0x7f) | 0x80;
    scratch[this.#at++] = rest;
  }

  #string(text: string): void {
    this.#integer(0, 7, text.length);
    this.#at += scratch.write(text, this.#at, 'latin1');
  }
}
