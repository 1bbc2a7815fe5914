// HTTP/2 connections on real sockets: what a caller may not do and what it costs it, flow control, and how a connection ends.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { CODE, FLAG, FRAME, FrameReader, PREFACE, SETTING } from '../../src/proxy/codec/h2/frame.ts';
import { HpackDecoder, HpackEncoder } from '../../src/proxy/codec/h2/hpack.ts';
import { MAX_H2_STREAM_WINDOW_BYTES, MAX_H2_STREAMS } from '../../src/proxy/codec/limits.ts';
import type { StreamHandler } from '../../src/proxy/flow/stream.ts';
import { H2Session, type H2Stream } from '../../src/proxy/h2/session.ts';

function frame(type: number, flags: number, stream: number, payload: Buffer | string = ''): Buffer {
  const body = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload;
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, body]);
}

const number = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
};
const setting = (key: number, value: number): Buffer => {
  const bytes = Buffer.alloc(6);
  bytes.writeUInt16BE(key);
  bytes.writeUInt32BE(value >>> 0, 2);
  return bytes;
};
/** GET / of authority a, without the table: the same bytes always. */
const GET = Buffer.from('828684010161', 'hex');
const END = FLAG.endHeaders | FLAG.endStream;
const SETTINGS = frame(FRAME.settings, 0, 0);
const get = (stream: number): Buffer => frame(FRAME.headers, END, stream, GET);
const post = (stream: number): Buffer => frame(FRAME.headers, FLAG.endHeaders, stream, GET);

const IGNORE: StreamHandler = {
  onHead: () => undefined,
  onData: () => undefined,
  onEnd: () => undefined,
  onReset: () => undefined,
  onFinished: () => undefined,
  onDrain: () => undefined,
};

interface Seen {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** A server side on a real socket, and a caller that speaks raw frames. `answer` is called for each head. */
class Caller implements AsyncDisposable {
  readonly frames: Seen[] = [];
  readonly served: H2Stream[] = [];
  closed = false;
  session!: H2Session;
  socket!: Socket;
  #server!: Server;
  #wake: () => void = () => undefined;

  async start(answer: (stream: H2Stream, end: boolean) => void, hello: Buffer = Buffer.concat([PREFACE, SETTINGS])): Promise<this> {
    this.#server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    const accepted = once(this.#server, 'connection');
    this.socket = connect(typeof address === 'object' && address !== null ? address.port : 0, '127.0.0.1');
    const [right] = (await accepted) as [Socket];
    this.session = new H2Session(right, 'server', 60_000, {
      onHead: (stream, block, end) => {
        if (block.malformed || block.tooLarge) return 'malformed';
        this.served.push(stream);
        stream.handler = IGNORE;
        answer(stream, end);
        return 'final';
      },
      onGoaway: () => undefined,
      onClosed: () => undefined,
    });
    let data = Buffer.alloc(0);
    this.socket.on('error', () => undefined);
    this.socket.on('data', (bytes: Buffer) => {
      data = Buffer.concat([data, bytes]);
      while (data.length >= 9 && data.length >= 9 + data.readUIntBE(0, 3)) {
        const length = data.readUIntBE(0, 3);
        const [type = 0, flags = 0] = data.subarray(3, 5);
        this.frames.push({ type, flags, stream: data.readUInt32BE(5), payload: Buffer.from(data.subarray(9, 9 + length)) });
        data = data.subarray(9 + length);
      }
      this.#wake();
    });
    this.socket.on('close', () => {
      this.closed = true;
      this.#wake();
    });
    this.socket.write(hello);
    return this;
  }

  send(...frames: Buffer[]): void {
    this.socket.write(Buffer.concat(frames));
  }

  /** The first frame that fits, waiting for it; undefined when the connection closes without. */
  async next(fits: (frame: Seen) => boolean): Promise<Seen | undefined> {
    for (;;) {
      const found = this.frames.find(fits);
      if (found !== undefined || this.closed) return found;
      await new Promise<void>((done) => {
        this.#wake = done;
      });
    }
  }

  /** Everything that was sent before has been dealt with. */
  async settle(): Promise<void> {
    const mark = Buffer.from(`mark${this.frames.length.toString().padStart(4, '0')}`);
    this.send(frame(FRAME.ping, 0, 0, mark));
    await this.next(({ type, flags, payload }) => type === FRAME.ping && flags === FLAG.ack && payload.equals(mark));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
    this.session.close();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

const ok = (stream: H2Stream): void => stream.begin([':status', '200'], [], true);
const never = (): void => undefined;

for (const [title, code, ...frames] of [
  ['DATA on stream 0', CODE.protocol, frame(FRAME.data, 0, 0, 'x')],
  ['DATA on a stream that was never opened', CODE.protocol, frame(FRAME.data, 0, 5, 'x')],
  ['DATA whose padding is longer than it', CODE.protocol, post(1), frame(FRAME.data, FLAG.padded, 1, '\x05abc')],
  ['DATA that is padded and empty', CODE.frameSize, post(1), frame(FRAME.data, FLAG.padded, 1)],
  ['HEADERS on stream 0', CODE.protocol, get(0)],
  ['HEADERS on an even stream', CODE.protocol, get(2)],
  ['a stream number that went back', CODE.protocol, get(5), get(3)],
  ['HEADERS on a stream that is over', CODE.streamClosed, get(1), get(1)],
  ['HEADERS whose padding is longer than they', CODE.protocol, frame(FRAME.headers, END | FLAG.padded, 1, '\x09abc')],
  ['HEADERS too short for their priority', CODE.frameSize, frame(FRAME.headers, END | FLAG.priority, 1, 'abc')],
  [
    'HEADERS that depend on themselves',
    CODE.protocol,
    frame(FRAME.headers, END | FLAG.priority, 1, Buffer.concat([number(1), Buffer.from([9]), GET])),
  ],
  ['a field block that is none', CODE.compression, frame(FRAME.headers, END, 1, '\xff\xff\xff\xff\xff')],
  ['a frame between HEADERS and CONTINUATION', CODE.protocol, frame(FRAME.headers, 0, 1, GET), frame(FRAME.ping, 0, 0, '12345678')],
  ['DATA between HEADERS and CONTINUATION', CODE.protocol, frame(FRAME.headers, 0, 1, GET), frame(FRAME.data, 0, 1, 'x')],
  ['CONTINUATION of another stream', CODE.protocol, frame(FRAME.headers, 0, 1, GET), frame(FRAME.continuation, FLAG.endHeaders, 3)],
  ['CONTINUATION of nothing', CODE.protocol, frame(FRAME.continuation, FLAG.endHeaders, 1, GET)],
  [
    'a flood of CONTINUATION',
    CODE.calm,
    frame(FRAME.headers, 0, 1, GET),
    ...Array.from({ length: 100 }, () => frame(FRAME.continuation, 0, 1)),
  ],
  [
    'CONTINUATION without end in bytes',
    CODE.calm,
    frame(FRAME.headers, 0, 1, GET),
    ...Array.from({ length: 5 }, () => frame(FRAME.continuation, 0, 1, 'x'.repeat(16_000))),
  ],
  ['PRIORITY on stream 0', CODE.protocol, frame(FRAME.priority, 0, 0, '12345')],
  ['PRIORITY of another length', CODE.frameSize, frame(FRAME.priority, 0, 1, '1234')],
  ['RST_STREAM on stream 0', CODE.protocol, frame(FRAME.reset, 0, 0, number(8))],
  ['RST_STREAM on a stream that was never opened', CODE.protocol, frame(FRAME.reset, 0, 7, number(8))],
  ['RST_STREAM of another length', CODE.frameSize, post(1), frame(FRAME.reset, 0, 1, '123')],
  ['SETTINGS on a stream', CODE.protocol, frame(FRAME.settings, 0, 1)],
  ['SETTINGS of another length', CODE.frameSize, frame(FRAME.settings, 0, 0, '12345')],
  ['an ACK of SETTINGS with content', CODE.frameSize, frame(FRAME.settings, FLAG.ack, 0, setting(1, 1))],
  ['a window beyond 2^31-1', CODE.flowControl, frame(FRAME.settings, 0, 0, setting(SETTING.window, 2 ** 31))],
  ['a frame size below 16,384', CODE.protocol, frame(FRAME.settings, 0, 0, setting(SETTING.maxFrameBytes, 16_383))],
  ['a frame size beyond 2^24-1', CODE.protocol, frame(FRAME.settings, 0, 0, setting(SETTING.maxFrameBytes, 2 ** 24))],
  ['a push setting that is no switch', CODE.protocol, frame(FRAME.settings, 0, 0, setting(SETTING.push, 2))],
  ['PUSH_PROMISE from a caller', CODE.protocol, frame(FRAME.pushPromise, FLAG.endHeaders, 1, Buffer.concat([number(2), GET]))],
  ['PING on a stream', CODE.protocol, frame(FRAME.ping, 0, 1, '12345678')],
  ['PING of another length', CODE.frameSize, frame(FRAME.ping, 0, 0, '1234')],
  ['GOAWAY on a stream', CODE.protocol, frame(FRAME.goaway, 0, 1, Buffer.alloc(8))],
  ['GOAWAY that is cut off', CODE.frameSize, frame(FRAME.goaway, 0, 0, '1234')],
  ['WINDOW_UPDATE of 0 for the connection', CODE.protocol, frame(FRAME.window, 0, 0, number(0))],
  ['WINDOW_UPDATE beyond 2^31-1 for the connection', CODE.flowControl, frame(FRAME.window, 0, 0, number(2 ** 31 - 1))],
  ['WINDOW_UPDATE of another length', CODE.frameSize, frame(FRAME.window, 0, 0, '123')],
  ['WINDOW_UPDATE on a stream that was never opened', CODE.protocol, frame(FRAME.window, 0, 9, number(1))],
  ['a frame longer than 16,384', CODE.frameSize, frame(FRAME.data, 0, 1, 'x'.repeat(16_385))],
  ['a flood of pings', CODE.calm, ...Array.from({ length: 10_001 }, () => frame(FRAME.ping, 0, 0, '12345678'))],
  ['a flood of settings', CODE.calm, ...Array.from({ length: 10_001 }, () => SETTINGS)],
  ['a flood of empty DATA', CODE.calm, post(1), ...Array.from({ length: 10_001 }, () => frame(FRAME.data, 0, 1))],
  ['a flood of frames that nobody knows', CODE.calm, ...Array.from({ length: 10_001 }, () => frame(0x77, 0, 0))],
  [
    'streams that are opened to be reset (CVE-2023-44487)',
    CODE.calm,
    ...Array.from({ length: 1001 }, (_, i) => Buffer.concat([post(i * 2 + 1), frame(FRAME.reset, 0, i * 2 + 1, number(8))])),
  ],
  [
    'streams that are opened to make the server reset them (CVE-2025-8671)',
    CODE.calm,
    ...Array.from({ length: 1001 }, (_, i) => Buffer.concat([post(i * 2 + 1), frame(FRAME.window, 0, i * 2 + 1, number(0))])),
  ],
] as const satisfies readonly (readonly [string, number, ...Buffer[]])[]) {
  test(`the connection ends with code ${code} at ${title}`, async () => {
    await using caller = await new Caller().start((stream, end) => (end ? ok(stream) : never()));
    caller.send(...frames);
    const goaway = await caller.next(({ type }) => type === FRAME.goaway);
    assert.equal(goaway?.payload.readUInt32BE(4), code);
    assert.equal(await caller.next(() => false), undefined, 'it closes');
  });
}

for (const [title, code, ...frames] of [
  ['WINDOW_UPDATE of 0', CODE.protocol, frame(FRAME.window, 0, 1, number(0))],
  ['WINDOW_UPDATE beyond 2^31-1', CODE.flowControl, frame(FRAME.window, 0, 1, number(2 ** 31 - 1))],
  ['HEADERS after the end', CODE.streamClosed, frame(FRAME.data, FLAG.endStream, 1, 'x'), get(1)],
  ['DATA after the end', CODE.streamClosed, frame(FRAME.data, FLAG.endStream, 1, 'x'), frame(FRAME.data, 0, 1, 'y')],
  ['trailers that do not end it', CODE.protocol, frame(FRAME.headers, FLAG.endHeaders, 1, Buffer.from('0001610162', 'hex'))],
  ['trailers with a pseudo field', CODE.protocol, get(1)],
  ['trailers that are malformed', CODE.protocol, frame(FRAME.headers, END, 1, Buffer.from('0001410162', 'hex'))],
] as const satisfies readonly (readonly [string, number, ...Buffer[]])[]) {
  test(`a stream is reset with code ${code} at ${title}, and the connection goes on`, async () => {
    await using caller = await new Caller().start((stream, end) => (end ? ok(stream) : never()));
    caller.send(post(1), ...frames, get(3));
    const reset = await caller.next(({ type }) => type === FRAME.reset);
    assert.deepEqual([reset?.stream, reset?.payload.readUInt32BE(0)], [1, code]);
    assert.ok(await caller.next(({ type, stream }) => type === FRAME.headers && stream === 3));
  });
}

for (const [title, hello] of [
  ['a preface that is none', Buffer.from('PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n')],
  ['something else before SETTINGS', Buffer.concat([PREFACE, get(1)])],
  ['an ACK before SETTINGS', Buffer.concat([PREFACE, frame(FRAME.settings, FLAG.ack, 0)])],
] as const) {
  test(`the connection ends at ${title}`, async () => {
    await using caller = await new Caller().start(ok, hello);
    assert.equal((await caller.next(({ type }) => type === FRAME.goaway))?.payload.readUInt32BE(4), CODE.protocol);
    assert.equal(caller.served.length, 0);
  });
}

test('a head that never ends closes the connection after its time', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  await using caller = await new Caller().start(ok);
  caller.send(frame(FRAME.headers, 0, 1, GET));
  await new Promise((done) => setImmediate(done));
  while (caller.frames.every(({ type }) => type !== FRAME.goaway)) {
    context.mock.timers.tick(1000);
    await new Promise((done) => setImmediate(done));
  }
  assert.equal(caller.served.length, 0);
});

test('more streams than allowed at once are refused as unseen, the others are served', async () => {
  await using caller = await new Caller().start(never);
  caller.send(...Array.from({ length: MAX_H2_STREAMS + 3 }, (_, i) => get(i * 2 + 1)));
  await caller.settle();
  const resets = caller.frames.filter(({ type }) => type === FRAME.reset);
  assert.deepEqual(
    resets.map(({ stream, payload }) => [stream, payload.readUInt32BE(0)]),
    [0, 1, 2].map((i) => [(MAX_H2_STREAMS + i) * 2 + 1, CODE.refusedStream]),
  );
  assert.equal(caller.session.size, MAX_H2_STREAMS);
});

test('a head in pieces, padded, with a priority, is one head', async () => {
  await using caller = await new Caller().start(ok);
  const first = Buffer.concat([Buffer.from([3]), number(0), Buffer.from([16]), GET.subarray(0, 2), Buffer.alloc(3)]);
  caller.send(
    frame(FRAME.headers, FLAG.endStream | FLAG.padded | FLAG.priority, 1, first),
    frame(FRAME.continuation, 0, 1, GET.subarray(2, 4)),
    frame(FRAME.continuation, FLAG.endHeaders, 1, GET.subarray(4)),
  );
  assert.ok(await caller.next(({ type, stream }) => type === FRAME.headers && stream === 1));
});

test('what a caller sends beyond the window of its stream resets the stream, beyond that of the connection ends it', async () => {
  await using caller = await new Caller().start((stream) => stream.pause());
  const chunk = 'x'.repeat(16_384);
  const full = Array.from({ length: MAX_H2_STREAM_WINDOW_BYTES / 16_384 }, () => chunk);
  caller.send(post(1), ...full.map((data) => frame(FRAME.data, 0, 1, data)));
  await caller.settle();
  assert.equal(caller.frames.filter(({ type }) => type === FRAME.reset).length, 0);
  caller.send(frame(FRAME.data, 0, 1, 'y'));
  assert.equal((await caller.next(({ type }) => type === FRAME.reset))?.payload.readUInt32BE(0), CODE.flowControl);
});

test('padding counts against the windows and is given back', async () => {
  await using caller = await new Caller().start(never);
  caller.send(post(1));
  const padded = frame(FRAME.data, FLAG.padded, 1, Buffer.concat([Buffer.from([255]), Buffer.from('x'), Buffer.alloc(255)]));
  for (let i = 0; i < (MAX_H2_STREAM_WINDOW_BYTES / 257) * 3; i++) caller.send(padded);
  await caller.settle();
  assert.equal(caller.frames.filter(({ type }) => type === FRAME.reset).length, 0);
  assert.ok(caller.frames.some(({ type, stream }) => type === FRAME.window && stream === 1));
});

test('no more is sent than the caller’s windows allow, and the rest when they open', async () => {
  const body = Buffer.alloc(200_000, 'x');
  await using caller = await new Caller().start(
    (stream) => {
      stream.begin([':status', '200'], [], false);
      stream.finish(body);
    },
    Buffer.concat([PREFACE, frame(FRAME.settings, 0, 0, setting(SETTING.window, 1000))]),
  );
  const got = (): number => caller.frames.reduce((sum, { type, payload }) => (type === FRAME.data ? sum + payload.length : sum), 0);
  caller.send(get(1));
  await caller.settle();
  assert.equal(got(), 1000);
  caller.send(frame(FRAME.settings, 0, 0, setting(SETTING.window, 500)));
  caller.send(frame(FRAME.window, 0, 1, number(400)));
  await caller.settle();
  assert.equal(got(), 1000, 'the window is negative');
  caller.send(frame(FRAME.window, 0, 1, number(250_000)));
  await caller.settle();
  assert.equal(got(), 65_535, 'the window of the connection');
  caller.send(frame(FRAME.window, 0, 0, number(250_000)));
  const last = await caller.next(({ type, flags }) => type === FRAME.data && (flags & FLAG.endStream) !== 0);
  assert.ok(last);
  assert.equal(got(), body.length);
});

test('a stream that nobody reads does not stop the others of its connection', async () => {
  await using caller = await new Caller().start((stream) => {
    if (stream.id === 1) stream.pause();
    else
      stream.handler = {
        ...IGNORE,
        onEnd: () => ok(stream),
      };
  });
  const chunk = 'x'.repeat(16_384);
  caller.send(post(1), ...Array.from({ length: MAX_H2_STREAM_WINDOW_BYTES / 16_384 }, () => frame(FRAME.data, 0, 1, chunk)));
  caller.send(post(3), ...Array.from({ length: 8 }, () => frame(FRAME.data, 0, 3, chunk)), frame(FRAME.data, FLAG.endStream, 3, chunk));
  assert.ok(await caller.next(({ type, stream }) => type === FRAME.headers && stream === 3));
});

test('a caller that asks and never reads is let go before much waits for it', async () => {
  const long = ['x-long', 'y'.repeat(4000)];
  await using caller = await new Caller().start((stream) => stream.begin([':status', '200'], long, true));
  caller.socket.pause();
  let most = 0;
  for (let id = 1; caller.session.isOpen; id += 200) {
    assert.ok(id < 20_000, 'it is let go');
    caller.send(...Array.from({ length: 100 }, (_, i) => get(id + i * 2)));
    await new Promise((done) => setImmediate(done));
    most = Math.max(most, caller.session.outbox.waiting);
  }
  assert.ok(most < 6 * 1024 * 1024, String(most));
});

test('a server that drains says so, takes what was on its way, and ends with its last stream', async () => {
  await using caller = await new Caller().start(never);
  caller.send(get(1));
  await caller.settle();
  caller.session.retire();
  const warning = await caller.next(({ type }) => type === FRAME.goaway);
  assert.deepEqual([warning?.payload.readUInt32BE(0), warning?.payload.readUInt32BE(4)], [2 ** 31 - 1, CODE.ok]);
  // On its way before the caller had read that.
  caller.send(get(3));
  await caller.settle();
  assert.equal(caller.served.length, 2);
  const ping = await caller.next(({ type, flags }) => type === FRAME.ping && flags === 0);
  caller.send(frame(FRAME.ping, FLAG.ack, 0, ping?.payload), get(5));
  const refused = await caller.next(({ type, stream }) => type === FRAME.reset && stream === 5);
  assert.equal(refused?.payload.readUInt32BE(0), CODE.refusedStream);
  const final = caller.frames.filter(({ type }) => type === FRAME.goaway).at(-1);
  assert.equal(final?.payload.readUInt32BE(0), 3, 'the last one that was looked at');
  for (const stream of caller.served) ok(stream);
  await caller.next(() => false);
  assert.deepEqual(
    caller.frames.filter(({ type }) => type === FRAME.headers).map(({ stream }) => stream),
    [1, 3],
  );
});

test('long heads of one turn are each what they were, in one frame or in many', async () => {
  const heads = [5000, 6000, 40_000, 7000];
  await using caller = await new Caller().start((stream) => {
    if (caller.served.length < heads.length) return;
    for (const [i, each] of caller.served.entries()) each.begin([':status', '200'], ['x-long', String(i).repeat(heads[i] ?? 0)], true);
    stream.stop();
  });
  caller.send(...heads.map((_, i) => get(i * 2 + 1)));
  await caller.next(({ type, stream }) => type === FRAME.headers && stream === 7);
  await caller.settle();
  const decoder = new HpackDecoder(100_000);
  const seen = heads.map((_, i) => {
    const parts = caller.frames.filter(
      ({ type, stream }) => (type === FRAME.headers || type === FRAME.continuation) && stream === i * 2 + 1,
    );
    const block = Buffer.concat(parts.map(({ payload }) => payload));
    return decoder.decode(block, 0, block.length)?.fields[3];
  });
  assert.deepEqual(
    seen.map((value) => [value?.length, new Set(value).size]),
    heads.map((length) => [length, 1]),
  );
});

test('bytes in any cut are the same frames', () => {
  const bytes = Buffer.concat([
    SETTINGS,
    post(1),
    frame(FRAME.data, FLAG.padded, 1, '\x02abc\0\0'),
    frame(FRAME.data, FLAG.endStream, 1),
    frame(FRAME.headers, END | FLAG.padded, 3, Buffer.concat([Buffer.from([1]), GET, Buffer.alloc(1)])),
    frame(FRAME.ping, 0, 0, '12345678'),
  ]);
  const read = (chunks: readonly Buffer[]): string => {
    let seen = '';
    const reader = new FrameReader({
      onFrame: (type, flags, stream, from, start, end) => {
        seen += `${type} ${flags} ${stream} ${from.toString('hex', start, end)}\n`;
        return CODE.ok;
      },
      onDataBegin: (stream, length, padding) => {
        seen += `data ${stream} ${length} ${padding}\n`;
        return CODE.ok;
      },
      onData: (_stream, part, end) => {
        seen += `${[...part.toString('latin1')].map((each) => `${each}\n`).join('')}${end ? 'end\n' : ''}`;
        return CODE.ok;
      },
    });
    for (const chunk of chunks) assert.equal(reader.push(chunk), CODE.ok);
    return seen;
  };
  const whole = read([bytes]);
  fc.assert(
    fc.property(fc.array(fc.nat(bytes.length), { maxLength: 20 }), (cuts) => {
      const at = [0, ...cuts.sort((a, b) => a - b), bytes.length];
      assert.equal(read(at.slice(1).map((to, i) => bytes.subarray(at[i], to))), whole);
    }),
    { numRuns: 300 },
  );
});

test('frames made of garbage end the connection or are ignored; the next connection is served', async () => {
  const encoder = new HpackEncoder();
  const block = Buffer.from(encoder.encode([':method', 'GET', ':path', '/', ':scheme', 'http', ':authority', 'a'], []));
  const anyFrame = fc
    .tuple(fc.nat(11), fc.nat(255), fc.constantFrom(0, 1, 3, 5, 2), fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.constant(block)))
    .map(([type, flags, stream, payload]) => frame(type, flags, stream, Buffer.from(payload)));
  await fc.assert(
    fc.asyncProperty(fc.array(anyFrame, { maxLength: 12 }), async (frames) => {
      await using caller = await new Caller().start(ok);
      caller.send(...frames);
      await caller.settle();
    }),
    { numRuns: 150 },
  );
});
