// Length-prefixed JSON: how the control plane, the proxies, the supervisor and the command line talk over a stream.
//
//   frame = length (4 bytes, big endian, of the body) body (UTF-8 JSON, one value)
//
// Pure: bytes in, messages out. A frame over MAX_FRAME_BYTES or one that is not JSON ends the connection.

/** A snapshot of a mesh with thousands of endpoints stays far below this; more is a bug or an attack. */
export const MAX_FRAME_BYTES = 32 * 1024 * 1024;

export function encodeFrame(message: unknown): Buffer {
  const text = JSON.stringify(message);
  const size = Buffer.byteLength(text);
  const frame = Buffer.allocUnsafe(4 + size);
  frame.writeUInt32BE(size, 0);
  frame.write(text, 4);
  return frame;
}

export class FrameDecoder {
  #parts: Buffer[] = [];
  #size = 0;

  /** Adds bytes and returns every message that is now whole. Throws RangeError (too long) or SyntaxError (no JSON). */
  push(bytes: Buffer): unknown[] {
    this.#parts.push(bytes);
    this.#size += bytes.length;
    if (this.#size < 4) return [];
    let all = this.#parts.length === 1 ? bytes : Buffer.concat(this.#parts);
    const messages: unknown[] = [];
    while (all.length >= 4) {
      const length = all.readUInt32BE(0);
      if (length > MAX_FRAME_BYTES) throw new RangeError(`a frame of ${length} bytes is over the limit of ${MAX_FRAME_BYTES}`);
      if (all.length < 4 + length) break;
      messages.push(JSON.parse(all.toString('utf8', 4, 4 + length)));
      all = all.subarray(4 + length);
    }
    this.#parts = all.length === 0 ? [] : [all];
    this.#size = all.length;
    return messages;
  }
}
