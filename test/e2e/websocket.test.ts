// WebSocket through an ingress and two proxies, with Node's own client; and what must not become an upgrade.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { listen, startApp, TestMesh, type TestProxy } from '../support/test-mesh.ts';

const MESH = 'ingress: {routes: [{path: /, service: web}]}\nservices: {web: {command: x}}\n';
const POLICY = 'allow:\n  - ingress -> web: GET /chat\n';

/** Echoes short masked frames, unmasked (RFC 6455 section 5.2). */
function accept(request: IncomingMessage, socket: Socket, early: Buffer): void {
  const key = createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${key}\r\n\r\n`);
  socket.on('error', () => undefined);
  const read = (bytes: Buffer): void => {
    const length = (bytes[1] ?? 0) & 0x7f;
    const mask = bytes.subarray(2, 6);
    const text = Buffer.from(bytes.subarray(6, 6 + length).map((byte, i) => byte ^ (mask[i & 3] ?? 0)));
    socket.write(Buffer.concat([Buffer.from([bytes[0] ?? 0, length]), text]));
    // A close frame is answered, and then the server closes first.
    if (((bytes[0] ?? 0) & 0x0f) === 8) socket.end();
  };
  socket.on('end', () => socket.end());
  if (early.length > 0) read(early);
  socket.on('data', read);
}

async function chat(): Promise<{ mesh: TestMesh; ingress: TestProxy; close: () => void }> {
  const mesh = await TestMesh.start(MESH, POLICY);
  const server = createHttpServer((_request, response) => void response.end('plain'));
  server.on('upgrade', (request, socket, early) => accept(request, socket as Socket, early));
  await mesh.addProxy('web', { appPort: await listen(server) });
  const ingress = await mesh.addProxy('ingress', { ingress: true });
  return { mesh, ingress, close: () => server.close() };
}

test('messages pass both ways, and the connection is one request in the trace', async () => {
  const { mesh, ingress, close } = await chat();
  await using _ = mesh;
  const socket = new WebSocket(`ws://127.0.0.1:${ingress.ports.ingress}/chat`);
  const received: string[] = [];
  await new Promise<void>((resolve, reject) => {
    socket.onopen = () => socket.send('one');
    socket.onerror = () => reject(new Error('the WebSocket failed'));
    socket.onmessage = ({ data }) => {
      received.push(String(data));
      if (received.length < 3) socket.send(`more ${received.length}`);
      else socket.close();
    };
    socket.onclose = () => resolve();
  });
  assert.deepEqual(received, ['one', 'more 1', 'more 2']);
  const end = Date.now() + 10_000;
  let hops: (string | number | null)[][] = [];
  while ((hops.length < 2 || hops.some((hop) => hop.includes(null))) && Date.now() < end) {
    const [recent] = await mesh.client.request('trace.recent', { denied: false, limit: 1 });
    const found = recent === undefined ? undefined : await mesh.client.request('trace.get', { id: recent.traceId });
    if (found !== undefined && 'trace' in found) hops = found.trace.hops.map((hop) => [hop.to, hop.status, hop.verdict]);
    await new Promise((done) => setTimeout(done, 50));
  }
  assert.deepEqual(hops, [
    ['ingress', 101, 'allowed'],
    ['web', 101, 'allowed'],
  ]);
  close();
});

function raw(port: number, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes, 'latin1'));
    socket.setTimeout(700, () => socket.destroy());
    socket.on('data', (part) => {
      text += part.toString('latin1');
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(text));
  });
}

const HANDSHAKE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

test('bytes that a client sends before the answer are not lost', async () => {
  const { mesh, ingress, close } = await chat();
  await using _ = mesh;
  const answer = await raw(
    ingress.ports.ingress ?? 0,
    `GET /chat HTTP/1.1\r\nHost: a\r\n${HANDSHAKE}\r\n\u0081\u0082\u0000\u0000\u0000\u0000hi`,
  );
  assert.match(answer, /^HTTP\/1\.1 101 [\s\S]*sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/);
  assert.ok(answer.endsWith('\r\n\r\n\u0081\u0002hi'));
  close();
});

test('after the switch bytes pass as they are, in any cut, megabytes both ways, to the close of either side', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  const server = createHttpServer();
  // Whatever comes goes back; the switch itself is all that it knows of WebSocket.
  server.on('upgrade', (_request, socket, early) => {
    socket.on('error', () => undefined);
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    socket.write(early);
    socket.pipe(socket);
  });
  await mesh.addProxy('web', { appPort: await listen(server) });
  const ingress = await mesh.addProxy('ingress', { ingress: true });
  const sent = randomBytes(3_000_000);
  const socket = connect(ingress.ports.ingress ?? 0, '127.0.0.1');
  socket.write(`GET /chat HTTP/1.1\r\nHost: a\r\n${HANDSHAKE}\r\n`);
  const parts: Buffer[] = [];
  socket.on('data', (part: Buffer) => parts.push(part));
  const closed = new Promise((done) => socket.on('close', done));
  for (let at = 0; at < sent.length; ) {
    const to = at + 1 + Math.floor(Math.random() ** 4 * 100_000);
    if (!socket.write(sent.subarray(at, to))) await new Promise((done) => socket.once('drain', done));
    at = to;
  }
  socket.end();
  await closed;
  const received = Buffer.concat(parts);
  const body = received.subarray(received.indexOf('\r\n\r\n') + 4);
  assert.equal(body.length, sent.length);
  assert.ok(body.equals(sent));
  server.close();
});

for (const [title, head, status] of [
  ['a path that policy does not allow', `GET /other HTTP/1.1\r\nHost: a\r\n${HANDSHAKE}\r\n`, 403],
  ['another protocol', `GET /chat HTTP/1.1\r\nHost: a\r\n${HANDSHAKE.replace('websocket', 'h2c')}\r\n`, 200],
  ['another method', `POST /chat HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n${HANDSHAKE}\r\n`, 403],
  ['HTTP/1.0', `GET /chat HTTP/1.0\r\nHost: a\r\n${HANDSHAKE}\r\n`, 200],
  ['no Connection: Upgrade', `GET /chat HTTP/1.1\r\nHost: a\r\n${HANDSHAKE.replace('Connection: Upgrade\r\n', '')}\r\n`, 200],
] as const) {
  test(`${title} does not switch protocols`, async () => {
    const { mesh, ingress, close } = await chat();
    await using _ = mesh;
    assert.match(await raw(ingress.ports.ingress ?? 0, head), new RegExp(`^HTTP/1\\.1 ${status} `));
    close();
  });
}

test('a caller that sends far ahead of its answers waits in the kernel, not in our memory', async () => {
  await using mesh = await TestMesh.start(MESH, 'allow:\n  - ingress -> web: any\n');
  let release: () => void = () => undefined;
  await using web = await startApp((_request, response) => {
    release = () => void response.end('late');
  });
  await mesh.addProxy('web', { appPort: web.port });
  const ingress = await mesh.addProxy('ingress', { ingress: true });
  const socket = connect(ingress.ports.ingress ?? 0, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write('GET /first HTTP/1.1\r\nHost: a\r\n\r\n');
  const flood = Buffer.from('GET /next HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(1_000_000));
  socket.write(flood);
  while (web.seen.length === 0) await new Promise((done) => setTimeout(done, 10));
  // What the kernel takes is a few megabytes; what nobody reads stays with the caller.
  let before = -1;
  while (before !== socket.writableLength) {
    before = socket.writableLength;
    await new Promise((done) => setTimeout(done, 150));
  }
  assert.ok(socket.writableLength > flood.length / 2, `${socket.writableLength} of ${flood.length} bytes wait at the caller`);
  const answered = new Promise<string>((resolve) => socket.once('data', (bytes) => resolve(bytes.toString())));
  release();
  assert.match(await answered, /^HTTP\/1\.1 200 [\s\S]*late/);
  socket.destroy();
});
