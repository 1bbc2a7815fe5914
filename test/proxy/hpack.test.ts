// Field blocks of HTTP/2: the examples of RFC 7541, what is refused, and both halves against each other.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Fields } from '../../src/proxy/codec/fields.ts';
import { type Block, HpackDecoder, HpackEncoder, TABLE_BYTES } from '../../src/proxy/codec/h2/hpack.ts';
import { decodeHuffman } from '../../src/proxy/codec/h2/huffman.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

function decode(decoder: HpackDecoder, block: string | Buffer): Block | undefined {
  const bytes = typeof block === 'string' ? hex(block) : block;
  return decoder.decode(bytes, 0, bytes.length);
}

const EXAMPLE = [':method', 'GET', ':scheme', 'http', ':path', '/', ':authority', 'www.example.com'];
const SECOND = [...EXAMPLE, 'cache-control', 'no-cache'];
const THIRD = [':method', 'GET', ':scheme', 'https', ':path', '/index.html', ':authority', 'www.example.com', 'custom-key', 'custom-value'];

for (const [title, blocks] of [
  [
    'C.3, without Huffman coding',
    [
      '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
      '8286 84be 5808 6e6f 2d63 6163 6865',
      '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
    ],
  ],
  [
    'C.4, with Huffman coding',
    [
      '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
      '8286 84be 5886 a8eb 1064 9cbf',
      '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
    ],
  ],
] as const) {
  test(`RFC 7541 ${title}: three requests on one connection`, () => {
    const decoder = new HpackDecoder(10_000);
    assert.deepEqual(
      blocks.map((block) => decode(decoder, block)?.fields),
      [EXAMPLE, SECOND, THIRD],
    );
  });
}

test('an integer of several bytes is read (RFC 7541 C.1.2)', () => {
  // A literal whose value is 1337 bytes long: 7f 9a 0a would be 1337 with a prefix of 5; here the prefix is 7.
  const value = 'v'.repeat(1337);
  const bytes = Buffer.concat([hex('0001 61 7f ba09'), Buffer.from(value)]);
  assert.deepEqual(decode(new HpackDecoder(10_000), bytes)?.fields, ['a', value]);
});

for (const [title, block] of [
  ['index 0', '80'],
  ['an index beyond both tables', 'be'],
  ['an index far beyond both tables', 'ff80 8001'],
  ['an index that never ends', 'ff ffff ffff ffff'],
  ['an index that is cut off', 'ff'],
  ['a name index beyond both tables', '7f00 0161'],
  ['a literal that is cut off before its name', '40'],
  ['a literal that is cut off before its value', '4001 61'],
  ['a string that is longer than the block', '0005 6162 63'],
  ['a change of the table size beyond what was offered', '3fe2 1f'],
  ['a change of the table size after a field', '82 20'],
  ['Huffman coding with more than seven bits of padding', '0082 8fff 0161'],
  ['Huffman coding that is padded with zeros', '0081 18 0161'],
  ['Huffman coding with EOS inside', '0084 ffff ffff 0161'],
] as const) {
  test(`refuses ${title}`, () => assert.equal(decode(new HpackDecoder(10_000), block), undefined));
}

test('Huffman coding: the longest code, and padding of every length', () => {
  assert.equal(decodeHuffman(hex('fffffff3'), 0, 4), '\n', 'thirty bits and two of padding');
  assert.equal(decodeHuffman(hex('07'), 0, 1), '0', 'five bits and three of padding');
  assert.equal(decodeHuffman(hex('514f'), 0, 2), '  ', 'twelve bits and four of padding');
  assert.equal(decodeHuffman(hex('1f'), 0, 1), 'a');
  assert.equal(decodeHuffman(Buffer.alloc(0), 0, 0), '');
});

for (const [title, name, value] of [
  ['a name in upper case', 'Name', 'x'],
  ['an empty name', '', 'x'],
  ['a name with a blank', 'a b', 'x'],
  ['a name with a line break', 'a\r\nb', 'x'],
  ['a value with a line break', 'a', 'x\r\ny'],
  ['a value with a NUL', 'a', 'x\0'],
  ['a value that begins with a blank', 'a', ' x'],
  ['a value that ends with a tab', 'a', 'x\t'],
] as const) {
  test(`${title} is malformed, also when it comes again from the table, and the block is read to its end`, () => {
    const decoder = new HpackDecoder(10_000);
    const string = (text: string): Buffer => Buffer.concat([Buffer.from([text.length]), Buffer.from(text, 'latin1')]);
    const first = decode(decoder, Buffer.concat([hex('40'), string(name), string(value), hex('82')]));
    assert.deepEqual([first?.malformed, first?.fields.slice(2)], [true, [':method', 'GET']]);
    assert.equal(decode(decoder, 'be')?.malformed, true);
    assert.equal(decode(decoder, '82')?.malformed, false);
  });
}

test('more than a head may hold is too large, and the table is still the other end’s', () => {
  const decoder = new HpackDecoder(200);
  const literal = Buffer.concat([hex('4001 61 64'), Buffer.alloc(100, 'x')]);
  const block = decode(decoder, Buffer.concat([literal, hex('be be be'), hex('4001 62 01 79')]));
  assert.equal(block?.tooLarge, true);
  assert.ok((block?.fields.length ?? 99) <= 4);
  assert.deepEqual(decode(decoder, 'be')?.fields, ['b', 'y']);
});

test('a table of size 0 keeps nothing', () => {
  const decoder = new HpackDecoder(10_000);
  assert.deepEqual(decode(decoder, '20 4001 6101 62')?.fields, ['a', 'b']);
  assert.equal(decode(decoder, 'be'), undefined);
});

const name = fc.constantFrom(':path', ':authority', 'content-type', 'user-agent', 'x-any', 'authorization', 'cookie', 'te', 'server');
const value = fc.oneof(
  fc.string({ maxLength: 40 }).map((text) => text.replace(/[^\x21-\x7e]/g, 'x')),
  fc.constantFrom('application/grpc', 'text/plain', 'v'.repeat(300), 'w'.repeat(5000)),
);
const fields = fc.array(fc.tuple(name, value), { maxLength: 30 }).map((pairs): Fields => pairs.flat());

test('what is encoded is decoded, over many blocks and changes of the table size', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fields, fc.option(fc.nat(TABLE_BYTES * 2))), { maxLength: 60 }), (blocks) => {
      const encoder = new HpackEncoder();
      const decoder = new HpackDecoder(1_000_000);
      for (const [block, size] of blocks) {
        if (size !== null) encoder.resize(size);
        assert.deepEqual(decode(decoder, encoder.encode([':status', '200'], block))?.fields, [':status', '200', ...block]);
      }
    }),
    { numRuns: 200 },
  );
});

test('secrets and what changes with each request do not enter the table', () => {
  const encoder = new HpackEncoder();
  const secret: Fields = ['authorization', 'Bearer 1', 'cookie', 'a=1', 'set-cookie', 'b=2', 'x-request-id', 'one', 'traceparent', 'two'];
  const first = Buffer.from(encoder.encode([], secret));
  assert.deepEqual(Buffer.from(encoder.encode([], secret)), first, 'the second time is no shorter');
  // Never indexed (section 6.2.3): 0001 in front.
  assert.equal((first[0] as number) >> 4, 1);
});

test('garbage never throws, and never yields more than the limit', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 5 }), (blocks) => {
      const decoder = new HpackDecoder(300);
      for (const block of blocks) {
        const decoded = decode(decoder, Buffer.from(block));
        if (decoded === undefined) return;
        assert.ok(decoded.fields.reduce((sum, each) => sum + each.length + 16, 0) <= 300);
      }
    }),
    { numRuns: 2000 },
  );
});
