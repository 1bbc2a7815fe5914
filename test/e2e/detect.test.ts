// A port that does not say what it speaks: HTTP is judged request by request, everything else is one TCP connection.
import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { call, listen, startApp, TestMesh } from '../support/test-mesh.ts';

const MESH = 'services: {front: {command: x, calls: [back]}, back: {command: x, ports: {any: {protocol: detect}}}}\n';

function talk(port: number, bytes: string | Buffer): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect({ port, host: '127.0.0.1' }, () => {
      if (bytes.length > 0) socket.write(bytes);
    });
    socket.on('data', (part: Buffer) => {
      text += part.toString('latin1');
      socket.end();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(text));
  });
}

test('HTTP is recognised and judged by path', async () => {
  await using mesh = await TestMesh.start(MESH, 'allow:\n  - front -> back: GET /open\n');
  await using app = await startApp();
  await mesh.addProxy('back', { appPort: app.port });
  const front = await mesh.addProxy('front');
  const port = front.ports.outbound['back'] ?? 0;
  assert.equal((await call(port, '/open')).status, 200);
  assert.equal((await call(port, '/closed')).status, 403);
  assert.equal(app.seen.length, 1);
});

for (const [title, bytes] of [
  ['a TLS ClientHello', Buffer.from('160301007a010000760303', 'hex')],
  ['a protocol of its own', 'hello there\n'],
  ['lower case that looks like a request', 'get / http/1.1\r\n\r\n'],
] as const) {
  test(`${title} passes as TCP when policy allows TCP, and not as HTTP`, async () => {
    await using mesh = await TestMesh.start(MESH, 'allow:\n  - front -> back: tcp\n');
    const server = createServer((socket) => socket.pipe(socket));
    await mesh.addProxy('back', { appPort: await listen(server) });
    const front = await mesh.addProxy('front');
    const port = front.ports.outbound['back'] ?? 0;
    assert.equal(await talk(port, bytes), bytes.toString('latin1'));
    assert.equal((await call(port, '/')).status, 403, 'a rule for TCP allows no HTTP');
    server.close();
  });
}

test('a server that speaks first is heard', async () => {
  await using mesh = await TestMesh.start(MESH, 'allow:\n  - front -> back: tcp\n');
  const server = createServer((socket) => socket.on('error', () => undefined).end('220 ready\r\n'));
  await mesh.addProxy('back', { appPort: await listen(server) });
  const front = await mesh.addProxy('front');
  assert.equal(await talk(front.ports.outbound['back'] ?? 0, ''), '220 ready\r\n');
  server.close();
});

test('TCP that policy does not allow is reset, and the service sees no connection', async () => {
  await using mesh = await TestMesh.start(MESH, 'allow:\n  - front -> back: GET /**\n');
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    socket.on('error', () => undefined).pipe(socket);
  });
  await mesh.addProxy('back', { appPort: await listen(server) });
  const front = await mesh.addProxy('front');
  assert.equal(await talk(front.ports.outbound['back'] ?? 0, 'hello there\n'), '');
  assert.equal(connections, 0);
  server.close();
});
