// HTTP/2 through real proxies: towards services that speak it and services that do not, and what is refused.
import assert from 'node:assert/strict';
import {
  type ClientHttp2Session,
  connect,
  createServer as createH2Server,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import { connect as connectTcp, createServer } from 'node:net';
import { test } from 'node:test';
import { call, listen, startApp, TestMesh } from '../support/test-mesh.ts';

const MESH =
  'ingress: {routes: [{path: /one, service: one}, {path: /, service: two}]}\nservices: {one: {command: x}, two: {command: x, ports: {http: {protocol: http2}}}}\n';
const POLICY = 'allow:\n  - ingress -> one: any\n  - "ingress -> two": ["GET /**", "POST /echo"]\n';

interface H2Answer {
  readonly headers: IncomingHttpHeaders & { ':status'?: number | undefined };
  readonly body: string;
  readonly trailers: IncomingHttpHeaders | undefined;
}

function ask(
  session: ClientHttp2Session,
  headers: Record<string, string>,
  body?: string,
  trailers?: Record<string, string>,
): Promise<H2Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request(headers, { endStream: body === undefined, waitForTrailers: trailers !== undefined });
    let received: H2Answer['headers'] = {};
    let text = '';
    let after: IncomingHttpHeaders | undefined;
    stream.on('response', (answer) => {
      received = answer;
    });
    stream.on('trailers', (fields) => {
      after = fields;
    });
    stream.on('wantTrailers', () => stream.sendTrailers(trailers ?? {}));
    stream.on('data', (part: Buffer) => {
      text += part.toString('latin1');
    });
    stream.on('end', () => resolve({ headers: received, body: text, trailers: after }));
    stream.on('error', reject);
    if (body !== undefined) stream.end(body);
  });
}

function echoServer(): Http2Server {
  const server = createH2Server();
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders & { ':path'?: string; ':authority'?: string }) => {
    stream.on('error', () => undefined);
    stream.respond(
      { ':status': 200, 'x-authority': headers[':authority'] ?? '', 'x-peer': String(headers['x-forwarded-client-cert']) },
      { waitForTrailers: true },
    );
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '7' }));
    stream.pipe(stream);
  });
  return server;
}

async function h2Mesh() {
  const mesh = await TestMesh.start(MESH, POLICY);
  const app = await startApp((request, response) => {
    response.setHeader('x-version', request.httpVersion);
    request.pipe(response);
  });
  const server = echoServer();
  await mesh.addProxy('one', { appPort: app.port });
  await mesh.addProxy('two', { appPort: await listen(server) });
  const ingress = await mesh.addProxy('ingress', { ingress: true });
  const session = connect(`http://127.0.0.1:${ingress.ports.ingress}`);
  session.on('error', () => undefined);
  return {
    mesh,
    app,
    session,
    port: ingress.ports.ingress ?? 0,
    [Symbol.asyncDispose]: async () => {
      session.destroy();
      await mesh[Symbol.asyncDispose]();
      server.close();
      await app[Symbol.asyncDispose]();
    },
  };
}

test('many streams of one connection reach an HTTP/2 service, with bodies and trailers both ways', async () => {
  await using setup = await h2Mesh();
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, i) =>
      ask(setup.session, { ':method': 'POST', ':path': '/echo' }, `body ${i} ${'x'.repeat(i * 2000)}`, { 'x-client': '1' }),
    ),
  );
  answers.forEach((answer, i) => {
    assert.equal(answer.headers[':status'], 200);
    assert.equal(answer.body, `body ${i} ${'x'.repeat(i * 2000)}`);
    assert.equal(answer.trailers?.['x-sum'], '7');
    assert.match(String(answer.headers['x-peer']), /^URI=spiffe:\/\/test\.mesh\/ns\/default\/sa\/ingress$/);
    assert.match(String(answer.headers['x-request-id']), /^[0-9a-f-]{36}$/);
  });
});

test('an HTTP/2 caller reaches a service that speaks HTTP/1.1, and an HTTP/1.1 caller one that speaks HTTP/2', async () => {
  await using setup = await h2Mesh();
  const down = await ask(setup.session, { ':method': 'POST', ':path': '/one/x', cookie: 'a=1' }, 'hello');
  assert.deepEqual([down.headers[':status'], down.headers['x-version'], down.body], [200, '1.1', 'hello']);
  assert.match(setup.app.seen[0]?.headers.host ?? '', /^127\.0\.0\.1:\d+$/);
  const up = await call(setup.port, '/echo', { method: 'POST', body: 'hello' });
  assert.deepEqual([up.status, up.body], [200, 'hello']);
});

test('what policy does not allow is 403 over HTTP/2 too, and says nothing more', async () => {
  await using setup = await h2Mesh();
  const answer = await ask(setup.session, { ':method': 'DELETE', ':path': '/echo' });
  assert.equal(answer.headers[':status'], 403);
  assert.equal(answer.body, 'forbidden\n');
  assert.equal(answer.headers['x-meshctl-refusal'], undefined);
});

test('cookies that came as crumbs are one field for the service', async () => {
  await using setup = await h2Mesh();
  const stream = setup.session.request([
    ':method',
    'GET',
    ':path',
    '/one',
    ':scheme',
    'http',
    ':authority',
    'a',
    'cookie',
    'a=1',
    'cookie',
    'b=2',
  ] as never);
  await new Promise((done) => stream.resume().on('end', done));
  assert.equal(setup.app.seen[0]?.headers.cookie, 'a=1; b=2');
});

for (const [title, headers] of [
  ['a path with an encoded slash', { ':path': '/one/%2f' }],
  ['a path with a fragment', { ':path': '/one#x' }],
  ['two authorities', { ':path': '/one', ':authority': 'a', host: 'b' }],
  ['CONNECT', { ':method': 'CONNECT', ':authority': 'a:1' }],
] as const) {
  test(`refuses ${title}, and the service sees nothing`, async () => {
    await using setup = await h2Mesh();
    const answer = await ask(setup.session, headers as Record<string, string>).catch((error: Error) => error);
    const status = answer instanceof Error ? 'reset' : answer.headers[':status'];
    assert.ok(status === 400 || status === 501 || status === 'reset', String(status));
    assert.equal(setup.app.seen.length, 0);
    assert.equal((await ask(setup.session, { ':path': '/one' })).headers[':status'], 200, 'the connection serves the next request');
  });
}

test('a service that resets its stream is 502, and the next request is served', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  const server = createH2Server();
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders & { ':path'?: string; ':authority'?: string }) => {
    stream.on('error', () => undefined);
    if (headers[':path'] === '/reset') stream.close(2);
    else stream.respond({ ':status': 204 }, { endStream: true });
  });
  await mesh.addProxy('two', { appPort: await listen(server) });
  const ingress = await mesh.addProxy('ingress', { ingress: true });
  const broken = await call(ingress.ports.ingress ?? 0, '/reset');
  assert.deepEqual([broken.status, broken.headers['x-meshctl-refusal']], [502, 'upstream_reset']);
  assert.equal((await call(ingress.ports.ingress ?? 0, '/')).status, 204);
  server.close();
});

test('a service that takes few streams at once gets no more, and every request is answered', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  const server = createH2Server({ settings: { maxConcurrentStreams: 5 } });
  let open = 0;
  let most = 0;
  server.on('session', (session) => {
    session.on('stream', (stream) => {
      open++;
      most = Math.max(most, open);
      stream.on('error', () => undefined);
      stream.on('close', () => open--);
    });
  });
  server.on('stream', (stream: ServerHttp2Stream) => {
    setTimeout(() => {
      if (!stream.destroyed) stream.respond({ ':status': 204 }, { endStream: true });
    }, 5);
  });
  await mesh.addProxy('two', { appPort: await listen(server) });
  const ingress = await mesh.addProxy('ingress', { ingress: true });
  const port = ingress.ports.ingress ?? 0;
  await call(port, '/');
  const answers = await Promise.all(Array.from({ length: 60 }, () => call(port, '/')));
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([204]));
  assert.ok(most > 5, 'more connections were opened instead');
  server.close();
});

test('megabytes go both ways at once on one connection, each as it was sent', async () => {
  await using setup = await h2Mesh();
  const body = (i: number): string => String(i).repeat(3_000_000);
  const answers = await Promise.all([1, 2, 3].map((i) => ask(setup.session, { ':method': 'POST', ':path': '/echo' }, body(i))));
  answers.forEach((answer, i) => {
    assert.ok(answer.body === body(i + 1), `body ${i + 1}`);
  });
});

test('field values of every kind of byte arrive as they were', async () => {
  await using setup = await h2Mesh();
  const every = Array.from({ length: 0x7e - 0x21 + 1 }, (_, i) => String.fromCharCode(0x21 + i)).join('');
  const fields = { 'x-every': `${every} \t${every}`, 'x-high': '\xe9\xff', 'x-long': 'z'.repeat(9000), 'x-empty': '' };
  const answer = await ask(setup.session, { ':path': '/one', ...fields });
  assert.equal(answer.headers[':status'], 200);
  const seen = setup.app.seen[0]?.headers ?? {};
  for (const [name, value] of Object.entries(fields)) assert.equal(seen[name], value, name);
});

/** A service that answers each request with these frames, whatever it asked. */
async function rawService(answer: (stream: number) => Buffer) {
  const frame = (type: number, flags: number, stream: number, payload: Buffer): Buffer => {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head[3] = type;
    head[4] = flags;
    head.writeUInt32BE(stream, 5);
    return Buffer.concat([head, payload]);
  };
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.write(frame(4, 0, 0, Buffer.alloc(0)));
    let data = Buffer.alloc(0);
    socket.on('data', (bytes: Buffer) => {
      data = Buffer.concat([data, bytes]);
      if (data.subarray(0, 3).toString() === 'PRI') data = data.subarray(24);
      while (data.length >= 9 && data.length >= 9 + data.readUIntBE(0, 3)) {
        const length = data.readUIntBE(0, 3);
        if (data[3] === 1) socket.write(answer(data.readUInt32BE(5)));
        data = data.subarray(9 + length);
      }
    });
  });
  return { server, frame, port: await listen(server) };
}

// 88 is `:status: 200`; literals have 00 in front.
const block = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex');
for (const [title, frames] of [
  ['no status', [[1, 5, block('00 01 61 01 62')]]],
  ['a status that is none', [[1, 5, block('08 03 39 39 39')]]],
  ['101', [[1, 4, block('08 03 31 30 31')]]],
  ['two statuses', [[1, 5, block('88 88')]]],
  ['a field name in upper case', [[1, 5, block('88 00 01 41 01 62')]]],
  ['a line break in a field', [[1, 5, block('88 00 01 61 03 62 0d 0a')]]],
  ['an interim answer that ends the stream', [[1, 5, block('08 03 31 30 33')]]],
  ['two lengths', [[1, 4, block('88 0f0d 01 31 0f0d 01 31')]]],
  ['a body before its head', [[0, 1, Buffer.from('x')]]],
  ['a field block that is none', [[1, 5, block('ff ff ff ff ff ff')]]],
  ['a pushed answer', [[5, 4, block('00 00 00 02 88')]]],
  ['a stream that nobody asked for', [[9, 4, block('88')]]],
] as const) {
  test(`a service that answers with ${title} is 502, and the proxy goes on`, async () => {
    await using mesh = await TestMesh.start(MESH, POLICY);
    const service = await rawService((stream) =>
      Buffer.concat(frames.map(([type, flags, payload]) => service.frame(type, flags, stream, payload))),
    );
    await mesh.addProxy('two', { appPort: service.port });
    const ingress = await mesh.addProxy('ingress', { ingress: true });
    const answer = await call(ingress.ports.ingress ?? 0, '/echo', { method: 'POST', body: 'x' });
    assert.equal(answer.status, 502);
    assert.match(String(answer.headers['x-meshctl-refusal']), /^upstream_(invalid|reset)$/);
    service.server.close();
  });
}

for (const [title, frames] of [
  [
    'longer than its length',
    [
      [1, 4, block('88 0f0d 01 31')],
      [0, 1, Buffer.from('xy')],
    ],
  ],
  [
    'shorter than its length',
    [
      [1, 4, block('88 0f0d 01 33')],
      [0, 1, Buffer.from('x')],
    ],
  ],
] as const) {
  test(`a body ${title} breaks off for the caller`, async () => {
    await using mesh = await TestMesh.start(MESH, POLICY);
    const service = await rawService((stream) =>
      Buffer.concat(frames.map(([type, flags, payload]) => service.frame(type, flags, stream, payload))),
    );
    await mesh.addProxy('two', { appPort: service.port });
    const ingress = await mesh.addProxy('ingress', { ingress: true });
    const session = connect(`http://127.0.0.1:${ingress.ports.ingress}`);
    session.on('error', () => undefined);
    await assert.rejects(ask(session, { ':path': '/' }));
    session.destroy();
    service.server.close();
  });
}

test('a service that closes the connection under a request is 502 at once', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  const service = await rawService(() => Buffer.alloc(0));
  service.server.on('connection', (socket) => socket.once('data', () => setTimeout(() => socket.end(), 50)));
  await mesh.addProxy('two', { appPort: service.port });
  const ingress = await mesh.addProxy('ingress', { ingress: true });
  const before = performance.now();
  const answer = await call(ingress.ports.ingress ?? 0, '/echo', { method: 'POST', body: 'x' });
  assert.deepEqual([answer.status, answer.headers['x-meshctl-refusal']], [502, 'upstream_reset']);
  assert.ok(performance.now() - before < 5000);
  service.server.close();
});

test('bytes after the preface that are no HTTP/2 end the connection, not the proxy', async () => {
  await using setup = await h2Mesh();
  for (const bytes of ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\n\r\n', 'PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n', 'PRI']) {
    const socket = connectTcp(setup.port, '127.0.0.1', () => socket.end(bytes));
    await new Promise((done) =>
      socket
        .on('error', () => undefined)
        .on('close', done)
        .resume(),
    );
  }
  assert.equal((await ask(setup.session, { ':path': '/one' })).headers[':status'], 200);
});
