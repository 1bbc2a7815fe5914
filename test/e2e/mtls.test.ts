// What is on the wire between two proxies, and who gets in. The application counts: a refused caller is one whose request it never saw.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { type ConnectionOptions, connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { MAX_HANDSHAKES } from '../../src/proxy/codec/limits.ts';
import { type Credential, forge, issueFor, makeTestAuthority, service } from '../support/ca.ts';
import { authorityOf, call, listen, startApp, startRelay, TestMesh } from '../support/test-mesh.ts';

const MESH =
  'services:\n  web: {command: x, calls: [orders, ledger]}\n  orders: {command: x}\n  ledger: {command: x, ports: {ledger: {protocol: tcp}}}\n';
const POLICY = 'allow:\n  - web -> orders: any\n  - web -> ledger: tcp\n';
/** A TLS 1.3 handshake with two certificate chains is longer than this each way. */
const HANDSHAKE_BYTES = 1000;

test('between two proxies passes TLS 1.3 and nothing of the request', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using app = await startApp((_request, response) => void response.setHeader('x-secret-answer', 'ANSWER-MARKER').end('BODY-MARKER'));
  const web = await mesh.addProxy('web');
  const orders = await mesh.addProxy('orders', { appPort: app.port });
  await using relay = await startRelay(orders.ports.inbound['http'] ?? 0);
  await mesh.place('orders-0', { http: relay.port });
  const answer = await call(web.ports.outbound['orders'] ?? 0, '/PATH-MARKER', {
    method: 'POST',
    headers: { 'x-secret': 'HEADER-MARKER' },
    body: 'REQUEST-MARKER',
  });
  assert.equal(answer.status, 200);
  assert.equal(answer.body, 'BODY-MARKER');
  // Control: the application did see it in clear.
  assert.equal(app.seen[0]?.url, '/PATH-MARKER');
  assert.equal(app.seen[0]?.headers['x-secret'], 'HEADER-MARKER');
  const there = Buffer.concat(relay.toServer);
  const back = Buffer.concat(relay.toClient);
  assert.ok(there.length > HANDSHAKE_BYTES && back.length > HANDSHAKE_BYTES, `${there.length} and ${back.length} bytes`);
  // A handshake record with a ClientHello; the ServerHello selects TLS 1.3 (RFC 8446 section 4.2.1: extension 43, 0x0304).
  assert.deepEqual([there[0], there[5]], [22, 1]);
  assert.deepEqual([back[0], back[5]], [22, 2]);
  assert.ok(back.subarray(0, 160).includes(Buffer.from([0, 43, 0, 2, 3, 4])), 'the server chose TLS 1.3');
  for (const marker of [
    'PATH-MARKER',
    'HEADER-MARKER',
    'REQUEST-MARKER',
    'ANSWER-MARKER',
    'BODY-MARKER',
    'x-secret',
    'HTTP/1.1',
    'traceparent',
    'spiffe',
  ]) {
    assert.ok(!there.includes(marker) && !back.includes(marker), `${marker} is visible between the proxies`);
  }
});

test('many requests, denied ones among them, share one connection between two proxies', async () => {
  await using mesh = await TestMesh.start(MESH, 'allow:\n  - web -> orders: GET /yes\n');
  await using app = await startApp();
  const web = await mesh.addProxy('web');
  const orders = await mesh.addProxy('orders', { appPort: app.port });
  await using relay = await startRelay(orders.ports.inbound['http'] ?? 0);
  await mesh.place('orders-0', { http: relay.port });
  const statuses: number[] = [];
  for (const path of ['/yes', '/no', '/no', '/yes', '/no', '/yes'])
    statuses.push((await call(web.ports.outbound['orders'] ?? 0, path)).status);
  assert.deepEqual(statuses, [200, 403, 403, 200, 403, 200]);
  assert.equal(relay.connections(), 1);
  // A body that is refused has nowhere to go: its connection ends with the answer, and the next request has another.
  assert.equal((await call(web.ports.outbound['orders'] ?? 0, '/no', { method: 'POST', body: 'x'.repeat(100_000) })).status, 403);
  assert.equal((await call(web.ports.outbound['orders'] ?? 0, '/yes')).status, 200);
});

async function present(
  port: number,
  credential: Partial<ConnectionOptions>,
  bytes = 'GET / HTTP/1.1\r\nHost: orders\r\n\r\n',
): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ...credential }, () => socket.write(bytes));
    socket.setTimeout(3000, () => socket.destroy());
    socket.on('data', (part) => {
      text += part.toString();
      socket.end();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(text));
  });
}

test('a service sees nothing of a caller without a valid certificate of the mesh', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using app = await startApp();
  await mesh.addProxy('web');
  const orders = await mesh.addProxy('orders', { appPort: app.port });
  const port = orders.ports.inbound['http'] ?? 0;
  const own = authorityOf(mesh);
  const other = makeTestAuthority();
  const given = ({ key, chain }: Credential): Partial<ConnectionOptions> => ({ key, cert: chain });
  const web = issueFor(own, service('web'));
  // Control: a proper certificate gets in.
  assert.match(await present(port, given(web)), /^HTTP\/1\.1 200/);
  assert.equal(app.seen.length, 1);
  const now = Date.now();
  const refused: Record<string, Partial<ConnectionOptions>> = {
    'no certificate': {},
    'an expired certificate': given(forge(own, { notBeforeMs: now - 7_200_000, notAfterMs: now - 1000 })),
    'a certificate that is not valid yet': given(forge(own, { notBeforeMs: now + 60_000, notAfterMs: now + 120_000 })),
    'a certificate of another authority': given(issueFor(other, service('web'))),
    'a self-signed certificate': { key: other.files.rootKey, cert: other.files.rootCertificate },
    'the intermediate itself': { key: own.files.intermediateKey, cert: own.files.intermediateCertificate },
    'a certificate with another name form': given(forge(own, { uri: 'https://test.mesh/ns/default/sa/web' })),
    'a certificate with two names': given(
      forge(own, { uri: 'spiffe://test.mesh/ns/default/sa/web, URI:spiffe://test.mesh/ns/default/sa/orders' }),
    ),
    'a leaf without its intermediate': { key: web.key, cert: web.leaf },
    'TLS 1.2': { ...given(web), minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' },
  };
  for (const [title, credential] of Object.entries(refused)) assert.equal(await present(port, credential), '', `${title} is answered`);
  assert.equal(app.seen.length, 1, 'the application saw only the control request');
});

test('a session is not resumed: each connection proves who it is', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using app = await startApp();
  const orders = await mesh.addProxy('orders', { appPort: app.port });
  const { key, chain } = issueFor(authorityOf(mesh), service('web'));
  const port = orders.ports.inbound['http'] ?? 0;
  const open = (session: Buffer | undefined): Promise<{ session: Buffer | undefined; reused: boolean }> =>
    new Promise((resolve) => {
      let ticket: Buffer | undefined;
      let reused = false;
      const socket = connectTls(
        { host: '127.0.0.1', port, rejectUnauthorized: false, key, cert: chain, ...(session === undefined ? {} : { session }) },
        () => {
          reused = socket.isSessionReused();
          socket.write('GET / HTTP/1.1\r\nHost: orders\r\nConnection: close\r\n\r\n');
        },
      );
      socket.on('session', (one) => {
        ticket = one;
      });
      socket.on('data', () => undefined);
      socket.on('error', () => undefined);
      socket.on('close', () => resolve({ session: ticket, reused }));
    });
  const first = await open(undefined);
  assert.equal((await open(first.session)).reused, false);
  assert.equal(app.seen.length, 2);
});

test('a verified caller that policy does not allow gets 403 and the service sees nothing', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using app = await startApp();
  const orders = await mesh.addProxy('orders', { appPort: app.port });
  const own = authorityOf(mesh);
  for (const name of ['payments', 'ledger', 'orders']) {
    const { key, chain } = issueFor(own, service(name));
    const answer = await present(orders.ports.inbound['http'] ?? 0, { key, cert: chain });
    assert.match(answer, /^HTTP\/1\.1 403 /, name);
    assert.doesNotMatch(answer, /default|rule|policy|refusal/i, 'the caller learns nothing beyond 403 and a request id');
  }
  assert.equal(app.seen.length, 0);
});

test('plain text at the mTLS port is not answered', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using app = await startApp();
  const orders = await mesh.addProxy('orders', { appPort: app.port });
  const text = await new Promise<string>((resolve) => {
    let received = '';
    const socket = connect(orders.ports.inbound['http'] ?? 0, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\nHost: orders\r\n\r\n'));
    socket.on('data', (part) => {
      received += part.toString('latin1');
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(received));
  });
  assert.doesNotMatch(text, /HTTP/);
  assert.equal(app.seen.length, 0);
});

test('a caller sends nothing to a server that is not the service it means', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  const web = await mesh.addProxy('web');
  await mesh.addProxy('orders', { appPort: 1 });
  const own = authorityOf(mesh);
  const other = makeTestAuthority();
  const now = Date.now();
  const impostors: Record<string, Credential> = {
    'another service of the mesh': issueFor(own, service('payments')),
    'another authority': issueFor(other, service('orders')),
    'an expired certificate': forge(own, {
      uri: 'spiffe://test.mesh/ns/default/sa/orders',
      notBeforeMs: now - 7_200_000,
      notAfterMs: now - 1000,
    }),
    'another trust domain': forge(own, { uri: 'spiffe://other.mesh/ns/default/sa/orders' }),
  };
  for (const [title, credential] of Object.entries(impostors)) {
    let received = 0;
    const server = createTlsServer({ key: credential.key, cert: credential.chain, ALPNProtocols: ['http/1.1'] }, (socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (bytes) => {
        received += bytes.length;
      });
    });
    server.on('tlsClientError', () => undefined);
    await mesh.place('orders-0', { http: await listen(server) });
    const answer = await call(web.ports.outbound['orders'] ?? 0, '/secret', { method: 'POST', body: 'secret' });
    assert.equal(answer.status, 502, title);
    assert.equal(answer.headers['x-meshctl-refusal'], 'identity_mismatch', title);
    assert.equal(received, 0, `${title} received request bytes`);
    await new Promise((done) => server.close(done));
  }
});

test('TCP between proxies is encrypted too, and a caller that policy does not name is cut', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  const heard: string[] = [];
  const ledger = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('data', (bytes) => {
      heard.push(bytes.toString());
      socket.write(`entry for ${bytes.toString()}`);
    });
    socket.on('end', () => socket.end('bye'));
    socket.on('error', () => undefined);
  });
  const web = await mesh.addProxy('web');
  const proxy = await mesh.addProxy('ledger', { appPort: await listen(ledger) });
  await using relay = await startRelay(proxy.ports.inbound['ledger'] ?? 0);
  await mesh.place('ledger-0', { ledger: relay.port });
  const talk = (port: number): Promise<string> =>
    new Promise((resolve) => {
      let text = '';
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => socket.write('SECRET-LINE'));
      socket.on('data', (bytes) => {
        text += bytes.toString();
        // Half-close: the service still answers after our end.
        if (text === 'entry for SECRET-LINE') socket.end();
      });
      socket.on('error', () => undefined);
      socket.on('close', () => resolve(text));
    });
  assert.equal(await talk(web.ports.outbound['ledger'] ?? 0), 'entry for SECRET-LINEbye');
  assert.deepEqual(heard, ['SECRET-LINE']);
  assert.ok(!Buffer.concat(relay.toServer).includes('SECRET-LINE') && Buffer.concat(relay.toServer).length > HANDSHAKE_BYTES);
  await mesh.applyPolicy('allow:\n  - web -> orders: any\n');
  assert.equal(await talk(web.ports.outbound['ledger'] ?? 0), '');
  assert.deepEqual(heard, ['SECRET-LINE']);
  ledger.close();
});

test('connections that never finish their handshake are bounded, and leave room when they are gone', async () => {
  await using mesh = await TestMesh.start(
    'services: {front: {command: x, calls: [back]}, back: {command: x, traffic: {retries: {attempts: 0}}}}\n',
    'allow:\n  - front -> back: any\n',
  );
  await using app = await startApp();
  const back = await mesh.addProxy('back', { appPort: app.port });
  const front = await mesh.addProxy('front');
  const silent: Socket[] = [];
  for (let i = 0; i < MAX_HANDSHAKES; i++) {
    const socket = connect(back.ports.inbound['http'] ?? 0, '127.0.0.1');
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    silent.push(socket);
  }
  const refused = await call(front.ports.outbound['back'] ?? 0, '/');
  assert.deepEqual([refused.status, refused.headers['x-meshctl-refusal']], [503, 'upstream_refused']);
  for (const socket of silent) socket.resetAndDestroy();
  const end = Date.now() + 10_000;
  while ((await call(front.ports.outbound['back'] ?? 0, '/')).status !== 200) assert.ok(Date.now() < end);
});
