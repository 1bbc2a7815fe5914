// The tunnel: its frames against the vectors of docs/tunnel.md, its parser against every cut and against garbage, and sessions on real sockets.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Fields } from '../../src/proxy/codec/fields.ts';
import { Outbox } from '../../src/proxy/flow/outbox.ts';
import type { StreamHandler } from '../../src/proxy/flow/stream.ts';
import {
  CONNECTION_WINDOW,
  decodeHead,
  decodeOpen,
  decodeTrailers,
  END_FLAG,
  encodeHead,
  encodeOpen,
  FRAME,
  FrameReader,
  LAYOUT,
  MAX_DATA_BYTES,
  STREAM_WINDOW,
} from '../../src/proxy/tunnel/frame.ts';
import { TunnelSession, type TunnelStream } from '../../src/proxy/tunnel/session.ts';
import { ROOT } from '../support/cli.ts';

function frame(type: number, stream: number, payload: string | Buffer): Buffer {
  const body = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload;
  const head = Buffer.alloc(8);
  head.writeUIntBE(body.length, 0, 3);
  head[3] = type;
  head.writeUInt32BE(stream, 4);
  return Buffer.concat([head, body]);
}

const number = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

/** What a reader says of the bytes, DATA joined; `broken` when it refuses them. */
function read(chunks: readonly Buffer[]): string[] {
  const seen: string[] = [];
  let data = '';
  const reader = new FrameReader({
    onFrame: (type, end, stream, bytes, from, to) => {
      seen.push(`${type}${end ? '!' : ''} ${stream} ${bytes.toString('latin1', from, to)}`);
      return true;
    },
    onDataLength: () => true,
    onData: (stream, bytes, end) => {
      data += bytes.toString('latin1');
      if (end) seen.push(`data ${stream} ${data}`);
      return true;
    },
  });
  for (const chunk of chunks) if (!reader.push(chunk)) return [...seen, 'broken'];
  return seen;
}

const vectors =
  readFileSync(join(ROOT, 'docs', 'tunnel.md'), 'utf8')
    .split('## Test vectors')[1]
    ?.split('```')[1]
    ?.trim()
    .split('\n') ?? [];
const vector = (title: string): Buffer =>
  Buffer.from((vectors[vectors.findIndex((line) => line.startsWith(title)) + 1] ?? '').replaceAll(' ', ''), 'hex');

for (const [title, bytes] of [
  [
    'OPEN GET / on stream 1',
    frame(FRAME.open | END_FLAG, 1, encodeOpen('1.1', { kind: 'none' }, undefined, 'GET', '/', ['host', 'orders'])),
  ],
  ['OPEN a TCP connection', frame(FRAME.open, 2, 'tcp')],
  ['HEAD 200', frame(FRAME.head, 1, encodeHead(200, { kind: 'length', length: 2 }, 'OK', ['content-length', '2']))],
  ['DATA "ok"', frame(FRAME.data | END_FLAG, 1, 'ok')],
  ['RESET of stream 2', frame(FRAME.reset, 2, 'canceled')],
  ['WINDOW of the connection', frame(FRAME.window, 0, number(4_194_304))],
  ['GOAWAY after stream 7', frame(FRAME.goaway, 0, number(7))],
] as const) {
  test(`the vector of the documentation: ${title}`, () => assert.equal(bytes.toString('hex'), vector(title).toString('hex')));
}

test('what is sent is read as it was meant', async () => {
  const server = createServer();
  const [socket, peer] = await pair(server);
  const outbox = new Outbox(
    socket,
    LAYOUT,
    () => undefined,
    () => false,
  );
  const long = Buffer.alloc(MAX_DATA_BYTES, 'x');
  outbox.text(FRAME.open, 1, 'tcp');
  outbox.bytes(FRAME.data, 1, long);
  outbox.bytes(FRAME.data | END_FLAG, 1, Buffer.from('end'));
  outbox.text(FRAME.reset, 3, 'x'.repeat(60_000));
  outbox.number(FRAME.window, 0, 77);
  const received: Buffer[] = [];
  const done = (async () => {
    for await (const part of peer) received.push(part as Buffer);
  })();
  outbox.flush();
  socket.end();
  await done;
  assert.deepEqual(read(received), [
    '1 1 tcp',
    `data 1 ${long.toString('latin1')}end`,
    `4 3 ${'x'.repeat(60_000)}`,
    `5 0 ${number(77).toString('latin1')}`,
  ]);
  server.close();
});

test('frames are the same however their bytes are cut', () => {
  const bytes = Buffer.concat([
    frame(FRAME.open | END_FLAG, 1, 'tcp'),
    frame(FRAME.data, 9, 'some bytes'),
    frame(FRAME.data, 9, ''),
    frame(FRAME.data | END_FLAG, 9, ' and more'),
    frame(100, 5, 'of a later version'),
    frame(FRAME.trailers | END_FLAG, 1, ''),
  ]);
  const whole = read([bytes]);
  assert.equal(whole.length, 4);
  for (let cut = 1; cut < bytes.length; cut++) assert.deepEqual(read([bytes.subarray(0, cut), bytes.subarray(cut)]), whole);
  assert.deepEqual(read([...bytes].map((byte) => Buffer.from([byte]))), whole);
});

test('garbage is refused or waited on; it never throws', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 }),
      (chunks) => void read(chunks.map((chunk) => Buffer.from(chunk))),
    ),
    { numRuns: 2000 },
  );
});

test('a frame that is longer than any may be is refused by its header alone', () => {
  assert.deepEqual(read([frame(FRAME.data, 1, Buffer.alloc(MAX_DATA_BYTES + 1)).subarray(0, 8)]), ['broken']);
  assert.deepEqual(read([frame(FRAME.open, 1, Buffer.alloc(70_000)).subarray(0, 8)]), ['broken']);
});

test('a head comes out as it went in', () => {
  const name = fc.stringMatching(/^[a-z0-9-]{1,12}$/);
  const value = fc.stringMatching(/^[!-~]([ -~]{0,20}[!-~])?$/);
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 30 }), fc.nat(1e9), (pairs, length) => {
      const fields: Fields = [...pairs.filter(([each]) => each !== 'content-length' && each !== 'transfer-encoding').flat()];
      const sized = [...fields, 'content-length', String(length)];
      const opening = decodeOpen(encodeOpen('2', { kind: 'length', length }, undefined, 'POST', '/a?b', sized));
      assert.deepEqual(opening, {
        kind: 'http',
        head: { method: 'POST', target: '/a?b', minor: 1, major: 2, fields: sized },
        framing: { kind: 'length', length },
        upgrade: undefined,
      });
      assert.deepEqual(decodeHead(encodeHead(404, { kind: 'chunked' }, 'Not Found', fields)), {
        head: { status: 404, reason: 'Not Found', minor: 1, fields },
        framing: { kind: 'chunked' },
      });
    }),
  );
});

for (const [title, text] of [
  ['an unknown version', '3\n-\n\nGET\n/'],
  ['no target', '1.1\n-\n\nGET'],
  ['a blank in the target', '1.1\n-\n\nGET\n/a b'],
  ['a method that is no token', '1.1\n-\n\nGE T\n/'],
  ['a framing that is none', '1.1\nlots\n\nGET\n/'],
  ['a negative length', '1.1\n-5\n\nGET\n/'],
  ['a name without value', '1.1\n-\n\nGET\n/\nhost'],
  ['a name in upper case', '1.1\n-\n\nGET\n/\nHost\na'],
  ['a name with a colon', '1.1\n-\n\nGET\n/\na:b\nc'],
  ['an empty name', '1.1\n-\n\nGET\n/\n\nc'],
  ['a carriage return in a value', '1.1\n-\n\nGET\n/\nhost\na\rb'],
  ['a NUL in a value', '1.1\n-\n\nGET\n/\nhost\na\0b'],
  ['a value that ends with a blank', '1.1\n-\n\nGET\n/\nhost\na '],
  ['a value that begins with a tab', '1.1\n-\n\nGET\n/\nhost\n\ta\nb\nc'],
  ['an upgrade that is no token', '1.1\n-\nweb socket\nGET\n/'],
  ['a length that its fields do not say', '1.1\n5\n\nPOST\n/'],
  ['another length in its fields', '1.1\n5\n\nPOST\n/\ncontent-length\n50'],
  ['a length in its fields and an open end', '1.1\n*\n\nPOST\n/\ncontent-length\n5'],
  ['a length in its fields and no body', '1.1\n-\n\nPOST\n/\ncontent-length\n5'],
  ['two lengths in its fields', '1.1\n5\n\nPOST\n/\ncontent-length\n5\ncontent-length\n5'],
  ['a transfer coding', '1.1\n*\n\nPOST\n/\ntransfer-encoding\nchunked'],
  ['too many fields', `1.1\n-\n\nGET\n/${'\na\nb'.repeat(111)}`],
] as const) {
  test(`refuses an OPEN with ${title}`, () => assert.equal(decodeOpen(text), undefined));
}

test('refuses a HEAD or TRAILERS that no proxy sends', () => {
  for (const text of ['', '200', '200\n-', '099\n-\nx', '600\n-\nx', '200\n-\nx\na', '200\n?\nx', '200\n-\na\u0001'])
    assert.equal(decodeHead(text), undefined, text);
  for (const text of ['a', 'a\nb\nc', 'A\nb', 'a\nb\r']) assert.equal(decodeTrailers(text), undefined, text);
});

// Sessions on real sockets.

async function pair(server: ReturnType<typeof createServer>): Promise<[Socket, Socket]> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const accepted = once(server, 'connection');
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const [peer] = (await accepted) as [Socket];
  return [socket, peer];
}

class Ear implements StreamHandler {
  received = 0;
  text = '';
  ended = false;
  finished = false;
  reset: string | undefined;
  readonly #whenOver: () => void;
  readonly over: Promise<void>;
  drains = 0;

  constructor() {
    let whenOver = (): void => undefined;
    this.over = new Promise((done) => {
      whenOver = done;
    });
    this.#whenOver = whenOver;
  }
  onHead(): void {}
  onData(bytes: Buffer): void {
    this.received += bytes.length;
    if (this.text.length < 1000) this.text += bytes.toString('latin1');
  }
  onEnd(): void {
    this.ended = true;
    this.#whenOver();
  }
  onReset(reason: string): void {
    this.reset = reason;
    this.#whenOver();
  }
  onFinished(): void {
    this.finished = true;
  }
  onDrain(): void {
    this.drains++;
  }
}

async function sessions(onOpen: (stream: TunnelStream) => void) {
  const server = createServer({ allowHalfOpen: true });
  const [left, right] = await pair(server);
  const goaway: string[] = [];
  const client = new TunnelSession(left, 'client', {
    onOpen: () => undefined,
    onGoaway: () => goaway.push('goaway'),
    onIdle: () => undefined,
    onClosed: () => goaway.push('closed'),
  });
  const served = new TunnelSession(right, 'server', {
    onOpen,
    onGoaway: () => undefined,
    onIdle: () => undefined,
    onClosed: () => undefined,
  });
  return {
    client,
    served,
    left,
    right,
    goaway,
    [Symbol.dispose]: () => {
      client.close();
      served.close();
      server.close();
    },
  };
}

test('a thousand streams at once, each with its own bytes and half-close', async () => {
  using both = await sessions((stream) => {
    let text = '';
    stream.handler = {
      onHead: () => undefined,
      onData: (bytes) => {
        text += bytes.toString();
      },
      onEnd: () => stream.finish(Buffer.from(`${text}!`)),
      onReset: () => undefined,
      onFinished: () => undefined,
      onDrain: () => undefined,
    };
  });
  const ears = Array.from({ length: 1000 }, (_, i) => {
    const ear = new Ear();
    const stream = both.client.open('tcp', false, ear);
    stream.write(Buffer.from(`stream ${i}`));
    stream.end([]);
    return ear;
  });
  await Promise.all(ears.map((ear) => ear.over));
  ears.forEach((ear, i) => {
    assert.deepEqual([ear.text, ear.ended, ear.finished], [`stream ${i}!`, true, true]);
  });
  assert.equal(both.client.size, 0);
  assert.equal(both.served.size, 0);
});

test('streams that nobody reads hold their window, stop their senders, and do not stop the others', async () => {
  const stuck: TunnelStream[] = [];
  using both = await sessions((stream) => {
    const ear = new Ear();
    stream.handler = ear;
    if (stuck.length < 50) {
      stuck.push(stream);
      stream.pause();
    } else void ear.over.then(() => stream.finish(Buffer.from(String(ear.received))));
  });
  const large = Buffer.alloc(2 * STREAM_WINDOW);
  const blocked = Array.from({ length: 50 }, () => {
    const ear = new Ear();
    const stream = both.client.open('tcp', false, ear);
    return { ear, stream, room: stream.write(large) };
  });
  assert.ok(blocked.every(({ room }) => !room));
  for (let i = 0; i < 20; i++) {
    const ear = new Ear();
    const stream = both.client.open('tcp', false, ear);
    for (let sent = 0; sent < 20; sent++) stream.write(Buffer.alloc(10_000));
    stream.end([]);
    await ear.over;
    assert.equal(ear.text, '200000');
  }
  assert.ok(blocked.every(({ ear }) => ear.drains === 0));
  // Read at last: every byte is there, and the senders go on.
  for (const stream of stuck) stream.resume();
  for (const { stream } of blocked) stream.end([]);
  await Promise.all(stuck.map((stream) => (stream.handler as Ear).over));
  assert.ok(stuck.every((stream) => (stream.handler as Ear).received === large.length));
});

test('a small answer does not wait for a large one', async () => {
  using both = await sessions((stream) => {
    stream.handler = new Ear();
    const large = stream.id === 1;
    stream.write(Buffer.alloc(large ? 200_000 : 10, large ? 'L' : 's'));
    if (large) for (let i = 0; i < 40; i++) stream.write(Buffer.alloc(200_000, 'L'));
    stream.end([]);
  });
  const large = new Ear();
  both.client.open('tcp', true, large);
  const small = new Ear();
  both.client.open('tcp', true, small);
  await small.over;
  assert.equal(small.received, 10);
  assert.ok(!large.ended && large.received < 8_000_000, String(large.received));
  await large.over;
  assert.equal(large.received, 41 * 200_000);
});

test('a reset is heard once, and bytes that come for the stream afterwards harm nobody', async () => {
  const served: { stream: TunnelStream; ear: Ear }[] = [];
  using both = await sessions((stream) => {
    const ear = new Ear();
    stream.handler = ear;
    served.push({ stream, ear });
    stream.write(Buffer.alloc(100_000));
  });
  const ear = new Ear();
  const stream = both.client.open('tcp', false, ear);
  stream.reset('canceled');
  const other = new Ear();
  both.client.open('tcp', false, other);
  while (served.length < 2) await new Promise((done) => setImmediate(done));
  await served[0]?.ear.over;
  served[1]?.stream.end([]);
  await other.over;
  assert.deepEqual([served[0]?.ear.reset, ear.reset, ear.received, other.received], ['canceled', undefined, 0, 100_000]);
});

test('after GOAWAY streams that were not looked at are refused as unseen, the others finish, then the connection ends', async () => {
  const served: TunnelStream[] = [];
  using both = await sessions((stream) => {
    stream.handler = new Ear();
    served.push(stream);
    both.served.retire();
  });
  const first = new Ear();
  both.client.open('tcp', true, first);
  const late = new Ear();
  both.client.open('tcp', true, late);
  await late.over;
  assert.equal(late.reset, 'draining');
  assert.ok(!both.client.isOpen);
  served[0]?.end([]);
  await first.over;
  assert.equal(first.reset, undefined);
  await once(both.left, 'close');
  assert.deepEqual(both.goaway, ['goaway', 'closed']);
});

test('a connection that breaks resets every stream on it', async () => {
  using both = await sessions((stream) => {
    stream.handler = new Ear();
  });
  const ears = Array.from({ length: 10 }, () => {
    const ear = new Ear();
    both.client.open('tcp', false, ear);
    return ear;
  });
  both.right.resetAndDestroy();
  await Promise.all(ears.map((ear) => ear.over));
  assert.ok(ears.every((ear) => ear.reset === 'upstream_reset'));
});

test('a stream that is opened on a connection that is gone is refused as unseen', async () => {
  using both = await sessions(() => undefined);
  both.client.close();
  const ear = new Ear();
  both.client.open('tcp', true, ear);
  await ear.over;
  assert.equal(ear.reset, 'draining');
});

for (const [title, bytes] of [
  [
    'more than the window of a stream',
    Buffer.concat([
      frame(FRAME.open, 1, 'tcp'),
      ...Array.from({ length: Math.ceil(STREAM_WINDOW / MAX_DATA_BYTES) + 1 }, () => frame(FRAME.data, 1, Buffer.alloc(MAX_DATA_BYTES))),
    ]),
  ],
  ['a stream number that went back', Buffer.concat([frame(FRAME.open, 5, 'tcp'), frame(FRAME.open, 3, 'tcp')])],
  ['an OPEN that is no request', frame(FRAME.open, 1, 'GET / HTTP/1.1')],
  ['a HEAD from the client', Buffer.concat([frame(FRAME.open, 1, 'tcp'), frame(FRAME.head, 1, '200\n-\n')])],
  ['a window that overflows', Buffer.concat([frame(FRAME.open, 1, 'tcp'), frame(FRAME.window, 1, number(2 ** 31))])],
  ['a window of the connection that overflows', frame(FRAME.window, 0, number(CONNECTION_WINDOW * 2))],
  ['a window that is no number', frame(FRAME.window, 0, 'abc')],
  ['a flood of pings', Buffer.concat(Array.from({ length: 101 }, () => frame(FRAME.ping, 0, '')))],
  ['a flood of resets', Buffer.concat(Array.from({ length: 20_001 }, () => frame(FRAME.reset, 1, 'canceled')))],
  ['bytes after the end of a stream', Buffer.concat([frame(FRAME.open | END_FLAG, 1, 'tcp'), frame(FRAME.data, 1, 'x')])],
  ['text that is no frame', Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n')],
] as const) {
  test(`the connection ends at ${title}`, async () => {
    const server = createServer({ allowHalfOpen: true });
    const [left, right] = await pair(server);
    new TunnelSession(right, 'server', {
      onOpen: (stream) => {
        stream.handler = new Ear();
        stream.pause();
      },
      onGoaway: () => undefined,
      onIdle: () => undefined,
      onClosed: () => undefined,
    });
    left.on('error', () => undefined).resume();
    left.write(bytes);
    await once(right, 'close');
    left.destroy();
    server.close();
  });
}
