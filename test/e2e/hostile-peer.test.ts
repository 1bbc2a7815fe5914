// A proxy of the mesh that was taken over: it proves its identity, speaks the tunnel, and lies about where bodies end.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { END_FLAG, encodeHead, encodeOpen, FRAME } from '../../src/proxy/tunnel/frame.ts';
import { type Credential, issueFor, service } from '../support/ca.ts';
import { authorityOf, call, listen, startApp, TestMesh } from '../support/test-mesh.ts';

const MESH = 'services: {front: {command: x, calls: [back]}, back: {command: x, traffic: {retries: {attempts: 0}}}}\n';
const POLICY = 'allow:\n  - front -> back: [POST /open, GET /open]\n';

function credentialOf(mesh: TestMesh, name: string): Credential & { root: string } {
  const ca = authorityOf(mesh);
  return { ...issueFor(ca, service(name)), root: ca.files.rootCertificate };
}

function frame(type: number, stream: number, payload: string): Buffer {
  const head = Buffer.alloc(8);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head.writeUInt32BE(stream, 4);
  return Buffer.concat([head, Buffer.from(payload, 'latin1')]);
}

const HIDDEN = 'POST /admin HTTP/1.1\r\nhost: back\r\ncontent-length: 0\r\n\r\n';
const open = (framing: Parameters<typeof encodeOpen>[1], length: string | undefined): string =>
  encodeOpen('1.1', framing, undefined, 'POST', '/open', ['host', 'back', ...(length === undefined ? [] : ['content-length', length])]);

for (const [title, frames] of [
  [
    'more of a body than its length',
    [frame(FRAME.open, 1, open({ kind: 'length', length: 5 }, '5')), frame(FRAME.data | END_FLAG, 1, `hello${HIDDEN}`)],
  ],
  [
    'less of a body than its length',
    [frame(FRAME.open, 1, open({ kind: 'length', length: 500 }, '500')), frame(FRAME.data | END_FLAG, 1, 'hello')],
  ],
  ['a body where its head says none', [frame(FRAME.open, 1, open({ kind: 'none' }, undefined)), frame(FRAME.data | END_FLAG, 1, HIDDEN)]],
  [
    'a length beside an open end',
    [frame(FRAME.open, 1, open({ kind: 'chunked' }, '5')), frame(FRAME.data | END_FLAG, 1, `hello${HIDDEN}`)],
  ],
  ['a second request within a field', [frame(FRAME.open | END_FLAG, 1, `${open({ kind: 'none' }, undefined)}\nx\na\r\n\r\n${HIDDEN}`)]],
] as const) {
  test(`a calling proxy that sends ${title} gets nothing past the policy`, async () => {
    await using mesh = await TestMesh.start(MESH, POLICY);
    await using app = await startApp((request, response) => void request.resume().on('end', () => response.end('ok')));
    const back = await mesh.addProxy('back', { appPort: app.port });
    const { key, chain, root } = credentialOf(mesh, 'front');
    const socket: TLSSocket = connect({
      host: '127.0.0.1',
      port: back.ports.inbound['http'] ?? 0,
      key,
      cert: chain,
      ca: root,
      ALPNProtocols: ['meshctl/1'],
      checkServerIdentity: () => undefined,
    });
    socket.on('error', () => undefined);
    await new Promise((done) => socket.once('secureConnect', done));
    assert.equal(socket.alpnProtocol, 'meshctl/1');
    // Either the stream is reset or the connection ends.
    const over = new Promise((done) => socket.once('data', done).once('close', done));
    socket.write(Buffer.concat(frames));
    await over;
    // A request that is as it should be shows that whatever the first one did is over.
    const front = await mesh.addProxy('front');
    assert.equal((await call(front.ports.outbound['back'] ?? 0, '/open')).status, 200);
    assert.ok(!app.seen.some(({ url }) => url === '/admin'), JSON.stringify(app.seen.map(({ url }) => url)));
    socket.destroy();
  });
}

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nEVIL';
const answer = (framing: Parameters<typeof encodeHead>[1], ...fields: string[]): Buffer =>
  frame(FRAME.head, 1, encodeHead(200, framing, 'OK', fields));

for (const [title, frames] of [
  [
    'more of an answer than its length',
    [answer({ kind: 'length', length: 2 }, 'content-length', '2'), frame(FRAME.data | END_FLAG, 1, `ok${OK}`)],
  ],
  [
    'less of an answer than its length',
    [answer({ kind: 'length', length: 200 }, 'content-length', '200'), frame(FRAME.data | END_FLAG, 1, 'ok')],
  ],
  [
    'another length than its framing',
    [answer({ kind: 'length', length: 60 }, 'content-length', '2'), frame(FRAME.data | END_FLAG, 1, `ok${OK}`)],
  ],
  [
    'a transfer coding of its own',
    [answer({ kind: 'length', length: 2 }, 'content-length', '2', 'transfer-encoding', 'chunked'), frame(FRAME.data | END_FLAG, 1, 'ok')],
  ],
  ['a body before its head', [frame(FRAME.data | END_FLAG, 1, OK)]],
  ['two heads', [answer({ kind: 'chunked' }), answer({ kind: 'chunked' }), frame(FRAME.data | END_FLAG, 1, OK)]],
  ['interim answers without end', Array.from({ length: 200 }, () => frame(FRAME.head, 1, encodeHead(103, { kind: 'none' }, '', [])))],
  ['no head at all', [frame(FRAME.trailers | END_FLAG, 1, '')]],
  [
    'a switch of protocols that nobody asked for',
    [frame(FRAME.head, 1, encodeHead(101, { kind: 'none' }, '', [])), frame(FRAME.data, 1, OK)],
  ],
] as const) {
  test(`a called proxy that sends ${title} gets no second answer to the caller`, async () => {
    await using mesh = await TestMesh.start(MESH, POLICY);
    const { key, chain } = credentialOf(mesh, 'back');
    const server = createServer({ key, cert: chain, ALPNProtocols: ['meshctl/1'] }, (socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => void socket.write(Buffer.concat(frames)));
    });
    await mesh.addProxy('back', { appPort: 1 });
    await mesh.place('back-0', { http: await listen(server) });
    const front = await mesh.addProxy('front');
    const outcome = await call(front.ports.outbound['back'] ?? 0, '/open').catch((error: Error) => error.message);
    if (typeof outcome === 'string') assert.match(outcome, /aborted|hang up|ECONNRESET/);
    else {
      assert.ok([200, 502].includes(outcome.status), String(outcome.status));
      if (title.includes('interim') || title.includes('switch') || title.includes('no head') || title.includes('before its head'))
        assert.deepEqual([outcome.status, outcome.headers['x-meshctl-refusal']], [502, 'upstream_invalid']);
      assert.doesNotMatch(outcome.body, /EVIL/);
    }
    server.close();
  });
}
