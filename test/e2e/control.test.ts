// The control plane comes and goes; traffic does not notice, and nothing is counted twice.
import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { connect } from 'node:net';
import { test } from 'node:test';
import { encodeFrame, FrameDecoder } from '../../src/base/frames.ts';
import { makeSigningRequest } from '../../src/certs/csr.ts';
import type { ToProxy } from '../../src/mesh/messages.ts';
import { issueFor, makeTestAuthority, service } from '../support/ca.ts';
import { call, startApp, TestMesh } from '../support/test-mesh.ts';

const MESH = 'services:\n  web: {command: x, calls: [orders]}\n  orders: {command: x}\n';
const POLICY = 'allow:\n  - web -> orders: any\n';

async function countedBy(mesh: TestMesh, wanted: number): Promise<number> {
  const end = Date.now() + 5000;
  for (;;) {
    const stat = await mesh.client.request('stat', { windowMs: 60_000, service: 'orders' });
    const total = Math.round((stat.rows[0]?.requestsPerSecond ?? 0) * stat.window.seconds);
    if (total >= wanted || Date.now() >= end) return total;
    await new Promise((done) => setTimeout(done, 50));
  }
}

test('traffic goes on while control is down; after it is back, everything reconnects and each request is counted once', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using app = await startApp();
  const web = await mesh.addProxy('web');
  await mesh.addProxy('orders', { appPort: app.port });
  const port = web.ports.outbound['orders'] ?? 0;
  const fire = async (n: number): Promise<void> => {
    for (let i = 0; i < n; i++) assert.equal((await call(port, '/')).status, 200);
  };
  await fire(20);
  assert.equal(await countedBy(mesh, 20), 20);
  await mesh.killControl();
  await fire(15);
  await mesh.startControl();
  await mesh.settled();
  await fire(10);
  const total = await countedBy(mesh, 45);
  // requestsPerSecond is rounded to two digits before it is multiplied back.
  assert.ok(Math.abs(total - 45) <= 1, `${total} of 45 requests counted`);
  const { items } = await mesh.client.request('certs.list', null);
  assert.equal(items.length, 2, 'the issuance record survived');
});

test('a policy survives control, and is in force at once', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using app = await startApp();
  const web = await mesh.addProxy('web');
  await mesh.addProxy('orders', { appPort: app.port });
  await mesh.applyPolicy('allow:\n  - orders -> web: any\n');
  await mesh.killControl();
  await mesh.startControl();
  await mesh.settled();
  assert.equal((await mesh.client.request('policy.show', {})).revision, 2);
  assert.equal((await call(web.ports.outbound['orders'] ?? 0, '/')).status, 403);
});

test('an outage longer than the life of certificates heals by itself', async () => {
  await using mesh = await TestMesh.start(`certificates: {ttl: 5s}\n${MESH}`, POLICY);
  await using app = await startApp();
  const web = await mesh.addProxy('web');
  await mesh.addProxy('orders', { appPort: app.port });
  const port = web.ports.outbound['orders'] ?? 0;
  assert.equal((await call(port, '/')).status, 200);
  await mesh.killControl();
  const expired = (): boolean => (web.running.runtime.credentials.current?.notAfterMs ?? 0) < Date.now();
  while (!expired()) await new Promise((done) => setTimeout(done, 100));
  assert.deepEqual(
    [(await call(port, '/')).headers['x-meshctl-refusal'], app.seen.length],
    ['identity_expired', 1],
    'an expired certificate is not used',
  );
  await mesh.startControl();
  const end = Date.now() + 10_000;
  let status = 0;
  while (status !== 200 && Date.now() < end) {
    status = (await call(port, '/')).status;
    await new Promise((done) => setTimeout(done, 50));
  }
  assert.equal(status, 200);
  assert.equal(expired(), false);
});

/** Speaks the feed protocol by hand; resolves with every message until the connection closes, or until `until` came. */
function speak(mesh: TestMesh, first: object, reply: (message: ToProxy) => object | undefined, until: ToProxy['kind']): Promise<ToProxy[]> {
  return new Promise((resolve) => {
    const messages: ToProxy[] = [];
    const decoder = new FrameDecoder();
    const socket = connect(mesh.socketPath, () => socket.write(encodeFrame(first)));
    socket.on('data', (bytes: Buffer) => {
      for (const message of decoder.push(bytes) as ToProxy[]) {
        messages.push(message);
        const answer = reply(message);
        if (answer !== undefined) socket.write(encodeFrame(answer));
        if (message.kind === until) socket.destroy();
      }
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(messages));
  });
}

const HELLO = { kind: 'hello', protocol: 1, proxyId: 'orders-0', epoch: 'x' };

test('control gives nothing to whoever cannot prove that it is a proxy of the mesh', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using app = await startApp();
  const orders = await mesh.addProxy('orders', { appPort: app.port });
  const stolen = orders.running.runtime.credentials.current?.chain ?? '';
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const request = { kind: 'csr', request: makeSigningRequest(privateKey, publicKey).toString('base64') };
  const badProof = (message: ToProxy): object | undefined =>
    message.kind === 'challenge'
      ? { kind: 'proof', signature: sign('sha256', Buffer.from(message.nonce), privateKey).toString('base64') }
      : undefined;
  const attempts: Record<string, [object, (message: ToProxy) => object | undefined]> = {
    'no hello': [request, () => undefined],
    'no credential': [HELLO, () => request],
    'a guessed token': [{ ...HELLO, token: 'guess' }, () => request],
    'a certificate without its key': [{ ...HELLO, svid: stolen }, badProof],
    'a certificate of another authority': [{ ...HELLO, svid: issueFor(makeTestAuthority(), service('orders')).chain }, badProof],
    'a certificate of another service': [{ ...HELLO, proxyId: 'web-0', svid: stolen }, badProof],
    'an instance that does not exist': [{ ...HELLO, proxyId: 'orders-9', token: 'x' }, () => request],
    'a newer protocol': [{ ...HELLO, protocol: 2, token: 'x' }, () => request],
    'no certificate at all': [{ ...HELLO, svid: 'nonsense' }, () => request],
  };
  for (const [title, [first, reply]] of Object.entries(attempts)) {
    const messages = await speak(mesh, first, reply, 'svid');
    assert.ok(
      !messages.some((message) => message.kind === 'svid' || message.kind === 'snapshot' || message.kind === 'bundle'),
      `${title} got ${messages.map((message) => message.kind).join()}`,
    );
  }
});

test('a join token works once, also across a restart of control', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  const token = 'one-time-token';
  const { sha256 } = await import('../../src/base/hash.ts');
  const tell = () =>
    mesh.client.request('instances.set', {
      instances: [
        {
          service: 'web',
          instance: 'web-0',
          state: 'starting',
          restarts: 0,
          pid: undefined,
          proxyPid: undefined,
          lastExit: undefined,
          inbound: {},
          tokenHashes: [sha256(token)],
        },
      ],
    });
  await tell();
  const join = () => speak(mesh, { ...HELLO, proxyId: 'web-0', token }, () => undefined, 'snapshot');
  assert.ok((await join()).some((message) => message.kind === 'snapshot'));
  assert.deepEqual(
    (await join()).map((message) => message.kind),
    ['refused'],
  );
  await mesh.killControl();
  await mesh.startControl();
  await tell();
  assert.deepEqual(
    (await join()).map((message) => message.kind),
    ['refused'],
  );
});

test('control outlives bytes that are no messages', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  for (const bytes of [
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    Buffer.from([255, 255, 255, 255]),
    encodeFrame(null),
    encodeFrame([]),
    encodeFrame({ kind: 'admin', protocol: 99, role: 'cli' }),
    Buffer.from([0, 0, 0, 1, 0]),
  ]) {
    await new Promise<void>((resolve) => {
      const socket = connect(mesh.socketPath, () => socket.write(bytes));
      socket.setTimeout(300, () => socket.destroy());
      socket.on('error', () => undefined);
      socket.on('data', () => undefined);
      socket.on('close', () => resolve());
    });
  }
  assert.equal((await mesh.client.request('status', null)).name, 'test');
});
