// An attacker who holds a service's key, certificate and proxy, and so can say anything at all to the inbound port of every other proxy: any SNI,
// any ALPN, the three framings by hand, every spelling of every path. What policy allows is answered, and nothing else reaches a service.
import assert from 'node:assert/strict';
import { connect as connectHttp2 } from 'node:http2';
import { createServer, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { END_FLAG, encodeOpen, FRAME, OPEN_TCP } from '../../src/proxy/tunnel/frame.ts';
import { type Credential, issueFor, service } from '../support/ca.ts';
import { type App, authorityOf, listen, startApp, TestMesh } from '../support/test-mesh.ts';

const MESH = `services:
  front: {command: x, calls: [orders]}
  orders: {command: x}
  payments: {command: x}
  legacy: {command: x, ports: {http: {protocol: http}}}
  store: {command: x, ports: {db: {protocol: tcp}}}
`;
const POLICY = `tiers: [low, high]
services:
  ingress: {tier: low}
  front: {tier: low}
  orders: {tier: low}
  payments: {tier: high}
  legacy: {tier: low}
  store: {tier: high}
allow:
  - front -> orders: GET /orders/*
  - orders -> legacy: any
`;
const ALLOWED = /^\/orders\/[^/]+$/;

/** Spellings that one server or another takes for a path of `orders`, of `payments`, or of somebody else. */
const TARGETS = [
  '/orders/1',
  '/orders/1?next=/admin',
  '//orders/1',
  '/orders//1',
  '/./orders/1',
  '/x/../orders/1',
  '/%6frders/1',
  '/orders/%31',
  '/orders/1/../2',
  '/orders/1;x=/admin',
  '/orders/..%2fadmin',
  '/orders/%2e%2e/admin',
  '/orders/../admin',
  '/orders/1/../../admin',
  '/orders%2f1',
  '/orders\\1',
  '/orders/1%00',
  '/orders/1#/admin',
  '/orders/',
  '/orders',
  '/orders/1/items',
  '/ORDERS/1',
  '/admin',
  '/charge',
  '/',
  '*',
  'http://payments/orders/1',
  'http://payments/charge',
  '/orders/\u00e9',
] as const;
const METHODS = ['GET', 'POST', 'HEAD', 'OPTIONS', 'get', 'DELETE'] as const;
const LIES = [
  'x-forwarded-for',
  '127.0.0.1',
  'x-forwarded-client-cert',
  'URI=spiffe://test.mesh/ns/default/sa/orders',
  'x-meshctl-caller',
  'orders',
  'host',
  'payments',
];

const VICTIMS = ['orders', 'payments', 'legacy', 'store'] as const;
const apps = new Map<string, App>();
const ports = new Map<string, number>();
let mesh: TestMesh;
let stolen: Credential & { root: string };
let bytesAtStore = 0;
const storeSockets = new Set<Socket>();
const store = createServer((socket) => {
  storeSockets.add(socket);
  socket
    .on('error', () => undefined)
    .on('data', (bytes: Buffer) => {
      bytesAtStore += bytes.length;
    });
});

before(async () => {
  mesh = await TestMesh.start(MESH, POLICY);
  for (const name of ['orders', 'payments', 'legacy']) {
    const app = await startApp();
    apps.set(name, app);
    const { ports: listening } = await mesh.addProxy(name, { appPort: app.port });
    ports.set(name, listening.inbound['http'] ?? 0);
  }
  const { ports: listening } = await mesh.addProxy('store', { appPort: await listen(store) });
  ports.set('store', listening.inbound['db'] ?? 0);
  const ca = authorityOf(mesh);
  stolen = { ...issueFor(ca, service('front')), root: ca.files.rootCertificate };
});

after(async () => {
  await mesh[Symbol.asyncDispose]();
  for (const app of apps.values()) await app[Symbol.asyncDispose]();
  for (const socket of storeSockets) socket.destroy();
  store.close();
});

/** A connection that proves the stolen identity; undefined where the handshake fails. */
function dial(victim: string, alpn: readonly string[], servername: string | undefined): Promise<TLSSocket | undefined> {
  return new Promise((resolve) => {
    const socket = connect({
      host: '127.0.0.1',
      port: ports.get(victim) ?? 0,
      key: stolen.key,
      cert: stolen.chain,
      ca: stolen.root,
      ...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
      ...(servername === undefined ? {} : { servername }),
      checkServerIdentity: () => undefined,
    });
    socket.once('secureConnect', () => resolve(socket));
    socket.once('error', () => resolve(undefined));
  });
}

/** Sends, and gives what comes back until the other side ends or has answered once. */
function say(socket: TLSSocket, bytes: Buffer | string): Promise<Buffer> {
  return new Promise((resolve) => {
    const parts: Buffer[] = [];
    const done = (): void => resolve(Buffer.concat(parts));
    socket.on('error', done).on('close', done);
    socket.once('data', (part: Buffer) => {
      parts.push(part);
      socket.destroy();
    });
    socket.write(bytes);
  });
}

const http1 = (method: string, target: string): string => {
  const fields = LIES.map((text, i) => (i % 2 === 0 ? `${text}: ${LIES[i + 1]}\r\n` : '')).join('');
  return `${method} ${target} HTTP/1.1\r\n${fields}content-length: 0\r\nconnection: close\r\n\r\n`;
};

function frame(type: number, stream: number, payload: string): Buffer {
  const head = Buffer.alloc(8);
  head.writeUIntBE(Buffer.byteLength(payload, 'latin1'), 0, 3);
  head[3] = type;
  head.writeUInt32BE(stream, 4);
  return Buffer.concat([head, Buffer.from(payload, 'latin1')]);
}

const tunnelled = (method: string, target: string): Buffer =>
  frame(FRAME.open | END_FLAG, 1, encodeOpen('1.1', { kind: 'none' }, undefined, method, target, LIES));

function askHttp2(victim: string, method: string, path: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const session = connectHttp2(`https://127.0.0.1:${ports.get(victim)}`, {
      key: stolen.key,
      cert: stolen.chain,
      ca: stolen.root,
      checkServerIdentity: () => undefined,
    });
    const end = (status: number | undefined): void => {
      session.destroy();
      resolve(status);
    };
    session.on('error', () => end(undefined));
    const stream = session.request({ ':method': method, ':path': path, ':authority': 'payments', 'x-forwarded-for': '127.0.0.1' });
    stream.on('response', (headers) => end(Number(headers[':status'])));
    stream.on('error', () => end(undefined)).on('close', () => end(undefined));
    stream.end();
  });
}

/** Nothing arrived anywhere but what the one rule allows. */
function assertOnlyAllowed(): void {
  for (const { method, url } of apps.get('orders')?.seen ?? []) {
    assert.equal(method, 'GET', url);
    assert.match(url.split('?')[0] ?? '', ALLOWED);
  }
  assert.deepEqual(apps.get('payments')?.seen, []);
  assert.deepEqual(apps.get('legacy')?.seen, []);
  assert.equal(bytesAtStore, 0);
}

test('what policy allows is answered, in each of the three framings', async () => {
  const socket = await dial('orders', ['http/1.1'], undefined);
  assert.ok(socket !== undefined);
  assert.match((await say(socket, http1('GET', '/orders/1'))).toString('latin1'), /^HTTP\/1\.1 200 /);
  assert.equal(await askHttp2('orders', 'GET', '/orders/2'), 200);
  const tunnel = await dial('orders', ['meshctl/1'], undefined);
  assert.ok(tunnel !== undefined);
  await say(tunnel, tunnelled('GET', '/orders/3'));
  assert.deepEqual(
    apps.get('orders')?.seen.map(({ url }) => url),
    ['/orders/1', '/orders/2', '/orders/3'],
  );
});

for (const victim of VICTIMS) {
  test(`${victim}: by HTTP/1.1, every spelling and method`, async () => {
    for (const target of TARGETS)
      for (const method of target === '/orders/1' || target === '/admin' ? METHODS : (['GET'] as const)) {
        const socket = await dial(victim, ['http/1.1'], undefined);
        if (socket === undefined) continue;
        const answer = (await say(socket, http1(method, target))).toString('latin1');
        if (answer.startsWith('HTTP/1.1 200')) assert.ok(victim === 'orders' && method === 'GET', `${method} ${target}`);
      }
    assertOnlyAllowed();
  });

  test(`${victim}: by the tunnel, every spelling and method, and as TCP`, async () => {
    for (const target of TARGETS)
      for (const method of target === '/orders/1' ? METHODS : (['GET'] as const)) {
        const socket = await dial(victim, ['meshctl/1'], undefined);
        if (socket !== undefined) await say(socket, tunnelled(method, target));
      }
    const raw = await dial(victim, ['meshctl/1'], undefined);
    if (raw !== undefined)
      await say(raw, Buffer.concat([frame(FRAME.open, 1, OPEN_TCP), frame(FRAME.data, 1, 'GET /charge HTTP/1.1\r\nhost: x\r\n\r\n')]));
    assertOnlyAllowed();
  });

  test(`${victim}: by HTTP/2, every spelling that its client can send`, async () => {
    for (const target of TARGETS.filter((each) => /^[\x21-\x7e]+$/.test(each)))
      for (const method of target === '/orders/1' ? METHODS : (['GET'] as const)) {
        const status = await askHttp2(victim, method, target);
        if (status === 200) assert.ok(victim === 'orders' && method === 'GET', `${method} ${target}`);
      }
    assertOnlyAllowed();
  });

  test(`${victim}: by any SNI and any ALPN, with bytes of another protocol than was agreed on`, async () => {
    const names = [undefined, 'payments', 'orders.test.mesh', 'localhost', 'store'];
    const protocols = [[], ['meshctl/1'], ['h2'], ['http/1.1'], ['h2', 'http/1.1', 'meshctl/1'], ['meshctl/2'], ['spdy/3']];
    for (const servername of names)
      for (const alpn of protocols)
        for (const bytes of [
          http1('GET', '/charge'),
          tunnelled('GET', '/charge'),
          'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
          Buffer.from('\x00\x00\x00\x08SELECT 1'),
        ]) {
          const socket = await dial(victim, alpn, servername);
          if (socket === undefined) continue;
          socket.setTimeout(150, () => socket.destroy());
          const answer = (await say(socket, bytes)).toString('latin1');
          assert.doesNotMatch(answer, /^HTTP\/1\.[01] 2/);
        }
    assertOnlyAllowed();
  });
}

test('two requests on one connection: the first is allowed, the second is judged for itself', async () => {
  const socket = await dial('orders', ['http/1.1'], undefined);
  assert.ok(socket !== undefined);
  const both = `GET /orders/9 HTTP/1.1\r\nhost: orders\r\n\r\nGET /admin HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n`;
  const answer = await new Promise<string>((resolve) => {
    let text = '';
    socket.on('data', (part: Buffer) => {
      text += part.toString('latin1');
    });
    socket.on('error', () => resolve(text)).on('close', () => resolve(text));
    socket.write(both);
  });
  assert.deepEqual(
    [...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status),
    ['200', '403'],
  );
  assertOnlyAllowed();
});
