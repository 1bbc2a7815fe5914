// HTTP through an ingress and two proxies: bodies, framing, discovery, names, policy, traces.
import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import type { Trace } from '../../src/traces/assemble.ts';
import { call, listen, startApp, TestMesh } from '../support/test-mesh.ts';

const MESH = `ingress: {routes: [{path: /, service: web}, {path: /api, service: orders}]}
services:
  web: {command: x, calls: [orders, ledger]}
  orders: {command: x}
  ledger: {command: x, ports: {ledger: {protocol: tcp}}}
`;
const POLICY = 'allow:\n  - ingress -> web: any\n  - ingress -> orders: any\n  - web -> orders: any\n  - web -> ledger: tcp\n';
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** The trace once it has that many hops and both sides of each. */
async function traceOf(mesh: TestMesh, id: string, hops: number): Promise<Trace> {
  const end = Date.now() + 10_000;
  for (;;) {
    const found = await mesh.client.request('trace.get', { id }).catch(() => undefined);
    const trace = found !== undefined && 'trace' in found ? found.trace : undefined;
    const whole = trace?.complete === true && trace.hops.length >= hops && trace.hops.every((hop) => hop.instance !== null);
    if (trace !== undefined && (whole || Date.now() >= end)) return trace;
    if (Date.now() >= end) throw new Error(`no trace ${id}`);
    await new Promise((done) => setTimeout(done, 30));
  }
}

test('follows a request over every hop, though the service passes on nothing but its request id', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using orders = await startApp();
  const ordersProxy = await mesh.addProxy('orders', { appPort: orders.port });
  let port = 0;
  await using web = await startApp((request, response) => {
    void call(port, '/orders', { headers: { 'x-request-id': String(request.headers['x-request-id']) } }).then((answer) =>
      response.end(answer.body),
    );
  });
  const webProxy = await mesh.addProxy('web', { appPort: web.port });
  port = webProxy.ports.outbound['orders'] ?? 0;
  const ingress = await mesh.addProxy('ingress', { ingress: true });
  const answer = await call(ingress.ports.ingress ?? 0, '/a?secret=1', {
    headers: { 'x-request-id': 'chosen-outside', 'x-forwarded-client-cert': 'URI=spiffe://test.mesh/ns/default/sa/admin' },
  });
  assert.equal(answer.status, 200);
  const id = String(answer.headers['x-request-id']);
  assert.match(id, UUID, 'the ingress makes the request id');
  assert.equal(web.seen[0]?.headers['x-request-id'], id);
  assert.equal(orders.seen[0]?.headers['x-request-id'], id);
  assert.equal(
    web.seen[0]?.headers['x-forwarded-client-cert'],
    'URI=spiffe://test.mesh/ns/default/sa/ingress',
    'what a caller says of itself is replaced by what its certificate says',
  );
  assert.equal(orders.seen[0]?.headers['x-forwarded-client-cert'], 'URI=spiffe://test.mesh/ns/default/sa/web');
  const traceId = String(orders.seen[0]?.headers['traceparent']).split('-')[1];
  assert.equal(String(web.seen[0]?.headers['traceparent']).split('-')[1], traceId);
  const trace = await traceOf(mesh, id, 3);
  assert.equal(trace.complete, true);
  assert.equal(trace.traceId, traceId);
  assert.deepEqual(
    trace.hops.map((hop) => [hop.from, hop.to, hop.instance, hop.callerId, hop.verdict, hop.rule, hop.status, hop.path]),
    [
      ['outside', 'ingress', 'ingress-0', null, 'allowed', 'ingress: open to callers from outside', 200, '/a'],
      ['ingress', 'web', 'web-0', 'spiffe://test.mesh/ns/default/sa/ingress', 'allowed', 'ingress -> web: any', 200, '/a'],
      ['web', 'orders', 'orders-0', 'spiffe://test.mesh/ns/default/sa/web', 'allowed', 'web -> orders: any', 200, '/orders'],
    ],
  );
  assert.ok(!JSON.stringify(trace).includes('secret'), 'the query is not stored');
  assert.equal((await traceOf(mesh, traceId ?? '', 3)).requestId, id);
  assert.equal((await traceOf(mesh, id.slice(0, 8), 3)).requestId, id);
  assert.equal(ordersProxy.log.length, 0);
});

test("continues a caller's trace at the ingress and restarts an invalid one", async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using web = await startApp();
  await mesh.addProxy('web', { appPort: web.port });
  const ingress = await mesh.addProxy('ingress', { ingress: true });
  const port = ingress.ports.ingress ?? 0;
  const outside = '0af7651916cd43dd8448eb211c80319c';
  await call(port, '/', { headers: { traceparent: `00-${outside}-b7ad6b7169203331-01`, tracestate: 'a=1' } });
  await call(port, '/', { headers: { traceparent: `00-${outside}-b7ad6b7169203331-01-junk`, tracestate: 'a=1' } });
  const [first, second] = web.seen.map((request) => ({
    trace: String(request.headers['traceparent']).split('-')[1],
    state: request.headers['tracestate'],
  }));
  assert.deepEqual(first, { trace: outside, state: 'a=1' });
  assert.notEqual(second?.trace, outside);
  assert.equal(second?.state, undefined);
});

test('a new policy is enforced within a second, and the trace names the rule', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using web = await startApp();
  await mesh.addProxy('web', { appPort: web.port });
  const ingress = await mesh.addProxy('ingress', { ingress: true });
  const port = ingress.ports.ingress ?? 0;
  assert.equal((await call(port, '/admin')).status, 200);
  const began = Date.now();
  await mesh.client.request('policy.apply', {
    files: [{ file: 'p.yaml', text: 'apiVersion: meshctl.dev/v1\nkind: Policy\nallow:\n  - ingress -> web: GET /public/**\n' }],
    user: 't',
    message: '',
  });
  let answer = await call(port, '/admin');
  while (answer.status !== 403 && Date.now() - began < 1000) answer = await call(port, '/admin');
  assert.equal(answer.status, 403);
  assert.equal(answer.headers['x-meshctl-refusal'], undefined);
  for (const path of ['//admin', '/public/../admin', '/%61dmin', '/public/..%2fadmin', '/admin?x=/public/', '/PUBLIC/x']) {
    assert.ok([400, 403].includes((await call(port, path)).status), path);
  }
  assert.equal((await call(port, '/x/../public/./a')).status, 200);
  assert.equal(web.seen.at(-1)?.url, '/public/a', 'the service gets the path that was judged');
  const trace = await traceOf(mesh, String(answer.headers['x-request-id']), 2);
  const denied = trace.hops.at(-1);
  assert.deepEqual([denied?.verdict, denied?.rule, denied?.status, denied?.instance], ['denied', 'default: deny', 403, 'web-0']);
});

test('finds the instances that are there, and notices within a second when one goes or comes', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using a = await startApp((_request, response) => void response.end('a'));
  await using b = await startApp((_request, response) => void response.end('b'));
  const web = await mesh.addProxy('web');
  const port = web.ports.outbound['orders'] ?? 0;
  const empty = await call(port, '/');
  assert.deepEqual([empty.status, empty.headers['x-meshctl-refusal']], [503, 'no_endpoint']);
  await mesh.addProxy('orders', { appPort: a.port, index: 0 });
  await mesh.addProxy('orders', { appPort: b.port, index: 1 });
  const seen = new Set<string>();
  for (let i = 0; i < 40; i++) seen.add((await call(port, '/')).body);
  assert.deepEqual([...seen].sort(), ['a', 'b']);
  const began = Date.now();
  await mesh.remove('orders-0');
  await mesh.settled();
  assert.ok(Date.now() - began < 1000);
  for (let i = 0; i < 20; i++) assert.equal((await call(port, '/')).body, 'b');
});

test('a proxy that is gone but still announced costs no request as long as another instance is there', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using a = await startApp();
  const web = await mesh.addProxy('web');
  await mesh.addProxy('orders', { appPort: a.port, index: 0 });
  await mesh.addProxy('orders', { appPort: a.port, index: 1 });
  await mesh.place('orders-1', { http: 1 });
  for (let i = 0; i < 30; i++)
    assert.equal((await call(web.ports.outbound['orders'] ?? 0, '/', { method: 'POST', body: 'x' })).status, 200);
});

test('services are found by name through HTTP_PROXY, and nothing else is', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using orders = await startApp((_request, response) => void response.end('orders'));
  const web = await mesh.addProxy('web');
  await mesh.addProxy('orders', { appPort: orders.port });
  const port = web.ports.forward ?? 0;
  const get = (url: string) => call(port, url, { headers: { host: 'wrong' } });
  assert.equal((await get('http://orders/x')).body, 'orders');
  assert.equal(orders.seen[0]?.headers.host, 'orders');
  assert.equal((await get('http://orders:80/x')).status, 200);
  const outside = await get('http://example.com/');
  assert.equal(outside.status, 502);
  assert.match(outside.body, /external:/);
  assert.equal((await get('http://ledger/')).status, 502);
  assert.equal((await get('http://user@orders/')).status, 400);
});

test('CONNECT reaches TCP services of the mesh and nothing else', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  const echo = createServer((socket) => socket.pipe(socket));
  const web = await mesh.addProxy('web');
  await mesh.addProxy('ledger', { appPort: await listen(echo) });
  const tunnel = (target: string, bytes: string): Promise<string> =>
    new Promise((resolve) => {
      let text = '';
      const socket = connect(web.ports.forward ?? 0, '127.0.0.1', () =>
        socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n${bytes}`),
      );
      socket.setTimeout(2000, () => socket.destroy());
      socket.on('data', (part) => {
        text += part.toString();
        if (text.endsWith(bytes)) socket.end();
      });
      socket.on('error', () => undefined);
      socket.on('close', () => resolve(text));
    });
  assert.match(await tunnel('ledger:5432', 'MARK'), /^HTTP\/1\.1 200 [\s\S]*\r\n\r\nMARK$/);
  for (const target of ['example.com:443', '127.0.0.1:22', 'orders:80']) assert.match(await tunnel(target, ''), /^HTTP\/1\.1 502 /, target);
  echo.close();
});

test('bodies stream both ways, of known and of unknown length, with trailers', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using web = await startApp((request, response) => {
    response.setHeader('trailer', 'x-sum');
    let size = 0;
    request.on('data', (part: Buffer) => {
      size += part.length;
      response.write(part);
    });
    request.on('end', () => {
      response.addTrailers({ 'x-sum': String(size) });
      response.end();
    });
  });
  await mesh.addProxy('web', { appPort: web.port });
  const ingress = await mesh.addProxy('ingress', { ingress: true });
  const body = 'abcdefghij'.repeat(400_000);
  const known = await call(ingress.ports.ingress ?? 0, '/', { method: 'POST', body, headers: { 'content-length': String(body.length) } });
  assert.equal(known.body.length, body.length);
  const chunked = await call(ingress.ports.ingress ?? 0, '/', { method: 'POST', body, headers: { 'transfer-encoding': 'chunked' } });
  assert.ok(chunked.body === body);
});

test('keeps a connection for many requests, answers pipelined ones in order, and speaks HTTP/1.0', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using web = await startApp((request, response) => void setTimeout(() => response.end(request.url), request.url === '/1' ? 50 : 0));
  await mesh.addProxy('web', { appPort: web.port });
  const ingress = await mesh.addProxy('ingress', { ingress: true });
  const port = ingress.ports.ingress ?? 0;
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  for (let i = 0; i < 10; i++) assert.equal((await call(port, `/k${i}`, { agent })).status, 200);
  agent.destroy();
  const raw = (text: string): Promise<string> =>
    new Promise((resolve) => {
      let received = '';
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => socket.end(text));
      socket.on('data', (part) => {
        received += part.toString();
      });
      socket.on('error', () => undefined);
      socket.on('close', () => resolve(received));
    });
  const answers = await raw(
    'GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
  );
  assert.deepEqual(answers.match(/(?<=\r\n\r\n)\/[123]/g), ['/1', '/2', '/3']);
  assert.match(await raw('GET /old HTTP/1.0\r\nHost: a\r\n\r\n'), /^HTTP\/1\.1 200 [\s\S]*connection: close[\s\S]*\/old$/);
  assert.match(await raw('HEAD /h HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 200 [\s\S]*\r\n\r\n$/);
});

for (const [title, bytes] of [
  [
    'two framings',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n',
  ],
  ['two hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
  ['no host', 'GET / HTTP/1.1\r\n\r\n'],
  ['a host with a path', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n'],
  ['a fragment', 'GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['an encoded slash', 'GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['an encoded NUL', 'GET /a%00 HTTP/1.1\r\nHost: a\r\n\r\n'],
] as const) {
  test(`refuses a request with ${title}, and the service sees nothing`, async () => {
    await using mesh = await TestMesh.start(MESH, POLICY);
    await using web = await startApp();
    await mesh.addProxy('web', { appPort: web.port });
    const ingress = await mesh.addProxy('ingress', { ingress: true });
    const answer = await new Promise<string>((resolve) => {
      let received = '';
      const socket = connect(ingress.ports.ingress ?? 0, '127.0.0.1', () => socket.write(bytes));
      socket.on('data', (part) => {
        received += part.toString();
        socket.end();
      });
      socket.on('error', () => undefined);
      socket.on('close', () => resolve(received));
    });
    assert.match(answer, /^HTTP\/1\.1 400 /);
    assert.equal(answer.match(/HTTP\/1\.1/g)?.length, 1);
    assert.equal(web.seen.length, 0);
  });
}

for (const [title, bytes] of [
  ['a status of 000', 'HTTP/1.1 000 X\r\n\r\n'],
  ['a line break in a field', 'HTTP/1.1 200 OK\r\na: b\nset-cookie: c\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 5\r\n\r\nhello'],
  ['an unasked 101', 'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'],
  ['no HTTP at all', '220 mail ready\r\n\r\n'],
] as const) {
  test(`maps an application's answer with ${title} to 502, and serves the next request`, async () => {
    await using mesh = await TestMesh.start(MESH, POLICY);
    let answer: string = bytes;
    const app = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', () => socket.write(answer));
    });
    await mesh.addProxy('web', { appPort: await listen(app) });
    const ingress = await mesh.addProxy('ingress', { ingress: true });
    const broken = await call(ingress.ports.ingress ?? 0, '/');
    assert.equal(broken.status, 502);
    assert.equal(broken.headers['set-cookie'], undefined);
    answer = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
    assert.equal((await call(ingress.ports.ingress ?? 0, '/')).status, 200);
    app.close();
  });
}

test('an application that dies inside its answer breaks the answer off; it does not look whole', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  const app = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf'));
  });
  await mesh.addProxy('web', { appPort: await listen(app) });
  const ingress = await mesh.addProxy('ingress', { ingress: true });
  await assert.rejects(call(ingress.ports.ingress ?? 0, '/'));
  app.close();
});

test('nothing behind the proxy: 503 that says so', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await mesh.addProxy('web', { appPort: 1 });
  const ingress = await mesh.addProxy('ingress', { ingress: true });
  const answer = await call(ingress.ports.ingress ?? 0, '/');
  assert.deepEqual([answer.status, answer.headers['x-meshctl-refusal']], [503, 'upstream_refused']);
});

test('a path that no ingress route covers is 404, and routes end at segments', async () => {
  await using mesh = await TestMesh.start(
    'ingress: {routes: [{path: /api, service: orders}]}\nservices: {orders: {command: x}}\n',
    'allow:\n  - ingress -> orders: any\n',
  );
  await using orders = await startApp();
  await mesh.addProxy('orders', { appPort: orders.port });
  const ingress = await mesh.addProxy('ingress', { ingress: true });
  const status = async (path: string): Promise<number> => (await call(ingress.ports.ingress ?? 0, path)).status;
  assert.deepEqual([await status('/api'), await status('/api/x'), await status('/apiary'), await status('/')], [200, 200, 404, 404]);
});

test('a draining proxy finishes what is under way', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  let arrived: () => void = () => undefined;
  const has = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  await using orders = await startApp((_request, response) => {
    arrived();
    setTimeout(() => response.end('done'), 300);
  });
  const web = await mesh.addProxy('web');
  const proxy = await mesh.addProxy('orders', { appPort: orders.port });
  const answer = call(web.ports.outbound['orders'] ?? 0, '/');
  await has;
  await proxy.running.stop();
  assert.deepEqual([(await answer).status, (await answer).body], [200, 'done']);
});
