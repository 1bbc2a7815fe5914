// The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B). Only decoding: what goes out is sent as it is, which costs
// less time than it saves bytes.

/** Length in bits of the code of each byte and, last, of EOS; one digit of base 36 each. The code is canonical, so these say it all. */
const LENGTHS =
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6cad67777777777777777777777878djde6f56565666577666567655677777fbeds' +
  'kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmnqqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrqu';
const EOS = 256;
const LONGEST = 30;

/** By length: the first code, how many there are, and where their symbols begin in SYMBOLS. */
const first: number[] = new Array(LONGEST + 1).fill(0);
const count: number[] = new Array(LONGEST + 1).fill(0);
const offset: number[] = new Array(LONGEST + 1).fill(0);
const symbols: number[] = [];
/** For every eight bits that begin with a code of at most eight: symbol << 4 | length; 0 for the beginning of a longer one. */
const short = new Uint16Array(256);

for (let length = 1, code = 0; length <= LONGEST; length++) {
  code <<= 1;
  first[length] = code;
  offset[length] = symbols.length;
  for (let symbol = 0; symbol <= EOS; symbol++) {
    if (Number.parseInt(LENGTHS[symbol] as string, 36) !== length) continue;
    symbols.push(symbol);
    if (length <= 8) short.fill((symbol << 4) | length, code << (8 - length), (code + 1) << (8 - length));
    code++;
  }
  count[length] = code - (first[length] as number);
}

let scratch = Buffer.allocUnsafeSlow(4096);

/** The text, Latin-1, or undefined when the bytes are no such code: EOS inside, or padding that is not its beginning. */
export function decodeHuffman(bytes: Buffer, from: number, to: number): string | undefined {
  // The shortest code has five bits.
  if (scratch.length < (to - from) * 2) scratch = Buffer.allocUnsafeSlow((to - from) * 2);
  const end = to * 8;
  let at = from * 8;
  let size = 0;
  while (end - at >= 5) {
    const byte = at >>> 3;
    const next = byte + 1 < to ? (bytes[byte + 1] as number) : 0xff;
    const known = short[((((bytes[byte] as number) << 8) | next) >>> (8 - (at & 7))) & 0xff] as number;
    if (known !== 0) {
      // A code that would end behind the last bit is padding, if anything.
      if (at + (known & 15) > end) break;
      at += known & 15;
      scratch[size++] = known >>> 4;
      continue;
    }
    let code = 0;
    let length = 0;
    let symbol = -1;
    while (symbol < 0) {
      if (at + length >= end) return isPadding(bytes, at, end) ? scratch.toString('latin1', 0, size) : undefined;
      code = (code << 1) | (((bytes[(at + length) >>> 3] as number) >>> (7 - ((at + length) & 7))) & 1);
      length++;
      if (length > LONGEST) return undefined;
      const rank = code - (first[length] as number);
      if (rank >= 0 && rank < (count[length] as number)) symbol = symbols[(offset[length] as number) + rank] as number;
    }
    if (symbol === EOS) return undefined;
    scratch[size++] = symbol;
    at += length;
  }
  return isPadding(bytes, at, end) ? scratch.toString('latin1', 0, size) : undefined;
}

/** Fewer than eight bits, all set. */
function isPadding(bytes: Buffer, at: number, end: number): boolean {
  const bits = end - at;
  if (bits === 0) return true;
  const mask = (1 << bits) - 1;
  return bits < 8 && ((bytes[(end - 1) >>> 3] as number) & mask) === mask;
}
