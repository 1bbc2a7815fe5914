// What was revoked is believed by nobody within a second: what it has open is cut, what it tries is not answered, and nobody else notices.
import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { makeSigningRequest } from '../../src/certs/csr.ts';
import { readRevocationLists } from '../../src/certs/files.ts';
import { exportKey, keyPair } from '../../src/certs/key.ts';
import { issueFor, service } from '../support/ca.ts';
import { keepOpen, present } from '../support/mutual.ts';
import { authorityOf, call, listen, startApp, TestMesh } from '../support/test-mesh.ts';

const MESH =
  'services:\n  web: {command: x, calls: [orders, ledger]}\n  orders: {command: x, calls: [ledger]}\n  ledger: {command: x, ports: {ledger: {protocol: tcp}}}\n';
const POLICY = 'allow:\n  - web -> orders: any\n  - web -> ledger: tcp\n  - orders -> ledger: tcp\n';
const WEB = 'spiffe://test.mesh/ns/default/sa/web';

/** A certificate for a file, as somebody may steal it. */
async function steal(mesh: TestMesh, name: string): Promise<{ key: string; cert: string; serial: string }> {
  const { privateKey, publicKey } = keyPair();
  const request = makeSigningRequest(privateKey, publicKey).toString('base64');
  const { chain, serial } = await mesh.client.request('certs.issue', { name, request });
  return { key: exportKey(privateKey), cert: chain, serial };
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 5000;
  while (!(await holds())) {
    if (Date.now() > end) assert.fail(`not within 5 s: ${what}`);
    await new Promise((done) => setTimeout(done, 5));
  }
}

test('a revoked serial: what it has open ends within a second, and no byte is answered any more; its proxy is not concerned', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using app = await startApp();
  const web = await mesh.addProxy('web');
  const orders = await mesh.addProxy('orders', { appPort: app.port });
  const port = orders.ports.inbound['http'] ?? 0;
  const { serial, ...thief } = await steal(mesh, 'web');
  const other = await steal(mesh, 'web');
  const open = await keepOpen(port, thief);
  assert.match(await open.ask(), /^HTTP\/1\.1 200/);
  const before = app.seen.length;
  const start = Date.now();
  const report = await mesh.client.request('certs.revoke', { serial, reason: 'keyCompromise' });
  await open.closed;
  assert.ok(Date.now() - start < 1000, `cut after ${Date.now() - start} ms`);
  assert.deepEqual([report.serials, report.behind, report.reattesting], [[serial], [], []]);
  for (const alpn of [undefined, ['http/1.1'], ['h2'], ['meshctl/1']])
    assert.equal(await present(port, { ...thief, ...(alpn === undefined ? {} : { ALPNProtocols: alpn }) }), '', String(alpn));
  assert.equal(app.seen.length, before, 'the application saw nothing of it');
  // Control: the same identity with another serial, and the proxy itself.
  assert.match(await present(port, { key: other.key, cert: other.cert }), /^HTTP\/1\.1 200/);
  assert.equal((await call(web.ports.outbound['orders'] ?? 0, '/')).status, 200);
});

test("a proxy's own serial: it attests again at once with a new key, and its service goes on", async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using app = await startApp();
  const web = await mesh.addProxy('web');
  await mesh.addProxy('orders', { appPort: app.port });
  const port = web.ports.outbound['orders'] ?? 0;
  assert.equal((await call(port, '/')).status, 200);
  const old = web.running.runtime.credentials.current;
  const report = await mesh.client.request('certs.revoke', { serial: old?.serial ?? '', reason: 'keyCompromise', prove: true });
  assert.deepEqual(report.reattesting, ['web-0']);
  assert.deepEqual(
    report.trials?.map(({ instance, reached }) => [instance, reached]),
    [['orders-0', 'handshake']],
    'its holder was not answered',
  );
  await until('a new certificate', () => web.running.runtime.credentials.current?.serial !== old?.serial);
  assert.notEqual(web.running.runtime.credentials.current?.chain.slice(0, 500), old?.chain.slice(0, 500));
  await until('traffic', async () => (await call(port, '/')).status === 200);
});

test('a revoked identity: nothing of it passes, it gets no certificate, also across a restart of control, until it is allowed', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using app = await startApp();
  const web = await mesh.addProxy('web');
  const orders = await mesh.addProxy('orders', { appPort: app.port });
  const port = web.ports.outbound['orders'] ?? 0;
  const { serial: _serial, ...stolen } = await steal(mesh, 'web');
  assert.equal((await call(port, '/')).status, 200);
  const report = await mesh.client.request('certs.revoke', { name: 'web', reason: 'unspecified' });
  assert.equal(report.spiffeId, WEB);
  assert.equal(report.serials.length, 2, 'that of the proxy, and the one in a file');
  const before = app.seen.length;
  assert.ok((await call(port, '/')).status >= 500);
  assert.equal(await present(orders.ports.inbound['http'] ?? 0, stolen), '');
  await assert.rejects(steal(mesh, 'web'), { code: 'CERT_BLOCKED' });
  await assert.rejects(steal(mesh, 'default/web'), { code: 'CERT_BLOCKED' });
  await assert.rejects(steal(mesh, WEB), { code: 'CERT_BLOCKED' });
  await mesh.killControl();
  await mesh.startControl();
  await mesh.settled();
  await assert.rejects(steal(mesh, 'web'), { code: 'CERT_BLOCKED' });
  assert.ok((await call(port, '/')).status >= 500);
  assert.equal(app.seen.length, before, 'the application saw nothing of it');
  await mesh.client.request('certs.allow', { name: 'web' });
  await until('traffic again', async () => (await call(port, '/')).status === 200);
  assert.equal(await present(orders.ports.inbound['http'] ?? 0, stolen), '', 'what was revoked stays so');
  await steal(mesh, 'web');
});

test('a certificate that is forged for a blocked identity, with a serial that nobody knows, is not believed either', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using app = await startApp();
  const orders = await mesh.addProxy('orders', { appPort: app.port });
  const { key, chain } = issueFor(authorityOf(mesh), service('web'));
  const port = orders.ports.inbound['http'] ?? 0;
  assert.match(await present(port, { key, cert: chain }), /^HTTP\/1\.1 200/);
  await mesh.client.request('certs.revoke', { name: 'web', reason: 'unspecified' });
  assert.equal(await present(port, { key, cert: chain }), '');
});

test('TCP connections of who is revoked are reset, those of others stay', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  const echo = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  const web = await mesh.addProxy('web');
  const orders = await mesh.addProxy('orders', { appPort: 1 });
  await mesh.addProxy('ledger', { appPort: await listen(echo) });
  const open = async (port: number): Promise<{ closed: Promise<number>; say: (text: string) => Promise<string>; end: () => void }> => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    const closed = new Promise<number>((done) => socket.once('close', () => done(Date.now())));
    const say = (text: string): Promise<string> =>
      new Promise((done) => {
        socket.once('data', (bytes) => done(bytes.toString()));
        socket.write(text);
      });
    assert.equal(await say('hello'), 'hello');
    return { closed, say, end: () => void socket.destroy() };
  };
  const mine = await open(web.ports.outbound['ledger'] ?? 0);
  const theirs = await open(orders.ports.outbound['ledger'] ?? 0);
  const start = Date.now();
  await mesh.client.request('certs.revoke', { name: 'web', reason: 'unspecified' });
  assert.ok((await mine.closed) - start < 1000);
  assert.equal(await theirs.say('still here'), 'still here');
  theirs.end();
  echo.close();
});

test('a callee that is revoked gets no request any more', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using app = await startApp();
  const web = await mesh.addProxy('web');
  await mesh.addProxy('orders', { appPort: app.port });
  const port = web.ports.outbound['orders'] ?? 0;
  assert.equal((await call(port, '/')).status, 200);
  await mesh.client.request('certs.revoke', { name: 'orders', reason: 'unspecified' });
  const answer = await call(port, '/', { method: 'POST', body: 'secret' });
  assert.deepEqual([answer.status, answer.headers['x-meshctl-refusal']], [503, 'revoked']);
  assert.equal(app.seen.length, 1);
});

test('a proxy that cannot be reached is named', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await mesh.addProxy('web');
  const orders = await mesh.addProxy('orders', { appPort: 1 });
  await orders.running.stop();
  const report = await mesh.client.request('certs.revoke', { name: 'web', reason: 'unspecified', timeoutMs: 200 });
  assert.deepEqual(report.behind, ['orders-0']);
});

test('each issuer has a list of revocations, signed, with what was revoked and no more', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await mesh.addProxy('web');
  const stolen = await steal(mesh, 'web');
  const good = await steal(mesh, 'web');
  const listOf = async () => {
    const { items } = await mesh.client.request('certs.lists', null);
    const item = items.find(({ issuer }) => issuer === 'peer-1');
    return readRevocationLists(Buffer.from(item?.der ?? '', 'base64'))[0];
  };
  const before = await listOf();
  assert.equal(before?.revoked.size, 0);
  await mesh.client.request('certs.revoke', { serial: stolen.serial, reason: 'keyCompromise' });
  const after = await listOf();
  assert.deepEqual([...(after?.revoked.keys() ?? [])], [stolen.serial]);
  assert.ok(!after?.revoked.has(good.serial));
  assert.ok((after?.nextUpdateMs ?? 0) - Date.now() > 23 * 3_600_000);
});

test('refuses to revoke what was never given, and to allow what is not blocked', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await mesh.addProxy('web');
  const revoke = (params: { serial?: string; name?: string }) => mesh.client.request('certs.revoke', { ...params, reason: 'unspecified' });
  await assert.rejects(revoke({ serial: 'ab'.repeat(16) }), { code: 'CERT_UNKNOWN' });
  for (const name of [
    '',
    'Web',
    'a/b/c',
    '../x',
    'spiffe://other.mesh/ns/default/sa/web',
    'spiffe://test.mesh/x',
    'spiffe://test.mesh/ns/default/sa/web/',
  ]) {
    await assert.rejects(revoke({ name }), { code: 'CERT_NAME' }, name);
    await assert.rejects(mesh.client.request('certs.allow', { name }), { code: 'CERT_NAME' }, name);
  }
  await assert.rejects(mesh.client.request('certs.allow', { name: 'web' }), { code: 'CERT_NOT_BLOCKED' });
  const { privateKey, publicKey } = keyPair();
  const probe = mesh.client.request('certs.probe', { name: 'web', request: makeSigningRequest(privateKey, publicKey).toString('base64') });
  await assert.rejects(probe, { code: 'CERT_NOT_BLOCKED' }, 'no probe for whoever is not blocked');
});

test('the probe of a proof is worth nothing once the block has ended', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using app = await startApp();
  await mesh.addProxy('web');
  const orders = await mesh.addProxy('orders', { appPort: app.port });
  await mesh.client.request('certs.revoke', { name: 'web', reason: 'unspecified' });
  const { privateKey, publicKey } = keyPair();
  const { files } = await mesh.client.request('certs.probe', {
    name: 'web',
    request: makeSigningRequest(privateKey, publicKey).toString('base64'),
  });
  await mesh.client.request('certs.allow', { name: 'web' });
  assert.equal(await present(orders.ports.inbound['http'] ?? 0, { key: exportKey(privateKey), cert: files.chain }), '');
  assert.equal(app.seen.length, 0);
});
