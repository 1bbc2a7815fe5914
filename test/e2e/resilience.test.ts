// Retries, timeouts, deadlines, limits, faults, mirrors and splits through real proxies.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { type Answer, call, listen, startApp, TestMesh, type TestProxy } from '../support/test-mesh.ts';

const POLICY = 'allow:\n  - front -> back: any\n  - front -> other: any\n';
const mesh = (traffic: string, more = '') =>
  TestMesh.start(
    `services: {front: {command: x, calls: [back]}, back: {command: x, traffic: ${traffic}}, other: {command: x}${more}}\n`,
    POLICY,
  );
const ask = (front: TestProxy, path: string, options: Parameters<typeof call>[2] = {}): Promise<Answer> =>
  call(front.ports.outbound['back'] ?? 0, path, options);
const refusal = ({ status, headers }: Answer): unknown[] => [status, headers['x-meshctl-refusal']];

test('each instance of a caller prefers the callee in its own zone, and goes on elsewhere when that is gone', async () => {
  await using running = await TestMesh.start(
    'services: {front: {command: x, calls: [back], instances: 2, zones: [a, b]}, back: {command: x, instances: 2, zones: [a, b]}, other: {command: x}}\n',
    POLICY,
  );
  const says = (text: string) => startApp((_request, response) => void response.end(text));
  await using near = await says('a');
  await using far = await says('b');
  await running.addProxy('back', { appPort: near.port, index: 0 });
  await running.addProxy('back', { appPort: far.port, index: 1 });
  const fronts = [await running.addProxy('front', { index: 0 }), await running.addProxy('front', { index: 1 })];
  const said = async (front: TestProxy | undefined): Promise<string> => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(front as TestProxy, '/')));
    return [...new Set(answers.map(({ body }) => body))].sort().join('');
  };
  assert.deepEqual([await said(fronts[0]), await said(fronts[1])], ['a', 'b']);
  await near[Symbol.asyncDispose]();
  assert.equal(await said(fronts[0]), 'b');
});

test('a request that may be repeated is tried again at another instance, with its body', async () => {
  await using running = await mesh('{retries: {backoff: 1ms}}');
  await using bad = await startApp((request, response) => {
    request.resume();
    response.statusCode = 503;
    response.end('bad');
  });
  await using good = await startApp((request, response) => void request.pipe(response));
  await running.addProxy('back', { appPort: bad.port, index: 0 });
  await running.addProxy('back', { appPort: good.port, index: 1 });
  const front = await running.addProxy('front');
  for (let i = 0; i < 15; i++) {
    const answer = await ask(front, '/x', { method: 'PUT', body: `body ${i}` });
    assert.deepEqual([answer.status, answer.body], [200, `body ${i}`]);
  }
  assert.ok(bad.seen.length > 0 && bad.seen.length <= 15, 'and an instance that fails five times in a row rests');
});

for (const [title, options] of [
  ['POST', { method: 'POST', body: 'x' }],
  ['a body of more than 64 KiB', { method: 'PUT', body: 'x'.repeat(70_000) }],
] as const) {
  test(`${title} is not tried again once an application may have seen it`, async () => {
    await using running = await mesh('{retries: {backoff: 1ms}}');
    await using bad = await startApp((request, response) => {
      request.resume().on('end', () => {
        response.statusCode = 503;
        response.end('bad');
      });
    });
    await running.addProxy('back', { appPort: bad.port });
    const front = await running.addProxy('front');
    assert.equal((await ask(front, '/x', options)).status, 503);
    assert.equal(bad.seen.length, 1);
  });
}

test('retries are within the budget: nothing is multiplied against a service that is down', async () => {
  await using running = await mesh('{retries: {attempts: 3, backoff: 1ms, budget: 20, minPerSecond: 0}, outliers: {consecutive: 0}}');
  await using bad = await startApp((_request, response) => {
    response.statusCode = 503;
    response.end();
  });
  await running.addProxy('back', { appPort: bad.port });
  const front = await running.addProxy('front');
  for (let i = 0; i < 50; i++) assert.equal((await ask(front, '/')).status, 503);
  assert.ok(bad.seen.length >= 55 && bad.seen.length <= 60, String(bad.seen.length));
});

test('an answer that began is not tried again', async () => {
  await using running = await mesh('{retries: {backoff: 1ms}}');
  await using app = await startApp((_request, response) => {
    response.write('half');
    setImmediate(() => response.destroy());
  });
  await running.addProxy('back', { appPort: app.port });
  const front = await running.addProxy('front');
  await assert.rejects(ask(front, '/'));
  assert.equal(app.seen.length, 1);
});

test('a try that takes too long is tried elsewhere; the whole takes no longer than its time', async () => {
  await using running = await mesh('{timeouts: {request: 2s, perTry: 150ms}, retries: {backoff: 1ms}}');
  await using stuck = await startApp(() => undefined);
  await using quick = await startApp();
  await running.addProxy('back', { appPort: stuck.port, index: 0 });
  await running.addProxy('back', { appPort: quick.port, index: 1 });
  const front = await running.addProxy('front');
  for (let i = 0; i < 6; i++) assert.equal((await ask(front, '/')).status, 200);
  await running.remove('back-1');
  await running.settled();
  const began = Date.now();
  assert.deepEqual(refusal(await ask(front, '/')), [504, 'timeout']);
  assert.ok(Date.now() - began < 2500);
});

test('what is left of the time reaches the callee, and a call that it makes has no more', async () => {
  await using running = await TestMesh.start(
    'services: {front: {command: x, calls: [middle]}, middle: {command: x, calls: [back]}, back: {command: x}}\n',
    'allow:\n  - front -> middle: any\n  - middle -> back: any\n',
  );
  await using stuck = await startApp(() => undefined);
  await running.addProxy('back', { appPort: stuck.port });
  let toBack = 0;
  const given: (string | string[] | undefined)[] = [];
  await using middle = await startApp((request, response) => {
    given.push(request.headers['grpc-timeout']);
    void call(toBack, '/', { headers: { 'x-request-id': String(request.headers['x-request-id']) } }).then((answer) => {
      response.statusCode = answer.status;
      response.end(String(answer.headers['x-meshctl-refusal']));
    });
  });
  const proxy = await running.addProxy('middle', { appPort: middle.port });
  toBack = proxy.ports.outbound['back'] ?? 0;
  const front = await running.addProxy('front');
  const began = Date.now();
  const headers = { 'content-type': 'application/grpc', 'grpc-timeout': '400m' };
  await call(front.ports.outbound['middle'] ?? 0, '/a.B/C', { method: 'POST', headers, body: '' }).catch(() => undefined);
  assert.ok(Date.now() - began < 3000);
  assert.match(String(given[0]), /^[1-3][0-9]{2}m$/);
});

test('more requests at once than the circuit lets through are refused at once', async () => {
  await using running = await mesh('{circuit: {maxRequests: 3}}');
  const waiting: (() => void)[] = [];
  await using app = await startApp((_request, response) => void waiting.push(() => response.end('ok')));
  await running.addProxy('back', { appPort: app.port });
  const front = await running.addProxy('front');
  const slow = Array.from({ length: 3 }, () => ask(front, '/'));
  while (waiting.length < 3) await new Promise((done) => setImmediate(done));
  assert.deepEqual(refusal(await ask(front, '/')), [503, 'circuit_open']);
  for (const answer of waiting.splice(0)) answer();
  for (const answer of slow) assert.equal((await answer).status, 200);
  const next = ask(front, '/');
  while (waiting.length < 1) await new Promise((done) => setImmediate(done));
  waiting[0]?.();
  assert.equal((await next).status, 200);
});

test('a service takes what its rate limit says, counted at its own proxy', async () => {
  await using running = await mesh('{routes: [{path: /limited, rateLimit: {requestsPerSecond: 0.01, burst: 2}}]}');
  await using app = await startApp();
  await running.addProxy('back', { appPort: app.port });
  const front = await running.addProxy('front');
  const answers: unknown[] = [];
  for (let i = 0; i < 4; i++) answers.push((await ask(front, '/limited')).status);
  assert.deepEqual(answers, [200, 200, 429, 429]);
  const refused = await ask(front, '/limited');
  assert.deepEqual([...refusal(refused), refused.headers['retry-after']], [429, 'rate_limited', '1']);
  assert.equal((await ask(front, '/')).status, 200);
  assert.equal(app.seen.length, 3);
});

test('injected faults delay and abort, for the callers that they name', async () => {
  await using running = await mesh('{faults: [{from: [front], delay: 200ms, abort: 418}]}');
  await using app = await startApp();
  await running.addProxy('back', { appPort: app.port });
  const front = await running.addProxy('front');
  const other = await running.addProxy('other', { appPort: app.port });
  const began = Date.now();
  assert.deepEqual(refusal(await ask(front, '/', { method: 'POST', body: 'x' })), [418, 'fault_injected']);
  assert.ok(Date.now() - began >= 190);
  assert.equal(app.seen.length, 0);
  const viaForward = await call(other.ports.forward ?? 0, 'http://back/', { headers: { host: 'back' } });
  assert.equal(viaForward.status, 403, 'another caller meets the policy, not the fault');
});

test('a mirror gets a copy with its body, and what becomes of it changes nothing', async () => {
  await using running = await mesh('{mirror: {service: other}}');
  await using app = await startApp((request, response) => void request.pipe(response));
  const bodies: string[] = [];
  await using shadow = await startApp((request, response) => {
    let text = '';
    request.on('data', (part: Buffer) => {
      text += part.toString();
    });
    request.on('end', () => {
      bodies.push(text);
      response.statusCode = 500;
      response.end();
    });
  });
  await running.addProxy('back', { appPort: app.port });
  await running.addProxy('other', { appPort: shadow.port });
  const front = await running.addProxy('front');
  for (const body of ['one', 'two']) assert.equal((await ask(front, '/x?y=1', { method: 'POST', body })).body, body);
  const end = Date.now() + 5000;
  while (bodies.length < 2 && Date.now() < end) await new Promise((done) => setImmediate(done));
  assert.deepEqual(bodies.sort(), ['one', 'two']);
  assert.equal(shadow.seen[0]?.url, '/x?y=1');
  assert.match(String(shadow.seen[0]?.headers['x-mirrored-from']), /^[0-9a-f-]{36}$/);
});

test('traffic is split by weight, and each service is called as itself', async () => {
  await using running = await mesh('{split: [{service: back, weight: 1}, {service: other, weight: 1}]}');
  await using a = await startApp((_request, response) => void response.end('back'));
  await using b = await startApp((_request, response) => void response.end('other'));
  await running.addProxy('back', { appPort: a.port });
  await running.addProxy('other', { appPort: b.port });
  const front = await running.addProxy('front');
  for (let i = 0; i < 60; i++) await ask(front, '/');
  assert.ok(a.seen.length > 10 && b.seen.length > 10 && a.seen.length + b.seen.length === 60);
});

test('nothing comes of a connection within its time: another endpoint, else a refusal', async () => {
  await using running = await mesh('{timeouts: {connect: 200ms}}');
  // Accepts TCP and never answers the handshake.
  const silent = createServer((socket) => void socket.on('error', () => undefined));
  await using app = await startApp();
  await running.addProxy('back', { appPort: app.port, index: 0 });
  await running.addProxy('back', { appPort: app.port, index: 1 });
  await running.place('back-1', { http: await listen(silent) });
  const front = await running.addProxy('front');
  for (let i = 0; i < 4; i++) assert.equal((await ask(front, '/')).status, 200);
  await running.remove('back-0');
  await running.settled();
  assert.deepEqual(refusal(await ask(front, '/')), [504, 'timeout']);
  silent.close();
});

test('server-sent events arrive one by one, and the stream lasts longer than the time for an answer', async () => {
  await using running = await mesh('{timeouts: {request: 300ms, idle: 2s}}');
  await using app = await startApp((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    let sent = 0;
    const timer = setInterval(() => {
      response.write(`data: ${sent++}\n\n`);
      if (sent === 5) {
        clearInterval(timer);
        response.end();
      }
    }, 120);
  });
  await running.addProxy('back', { appPort: app.port });
  const front = await running.addProxy('front');
  const answer = await fetch(`http://127.0.0.1:${front.ports.outbound['back']}/`);
  const parts: string[] = [];
  for await (const part of answer.body ?? []) parts.push(Buffer.from(part as Uint8Array).toString());
  assert.deepEqual(parts, ['data: 0\n\n', 'data: 1\n\n', 'data: 2\n\n', 'data: 3\n\n', 'data: 4\n\n']);
});

test('a policy that denies what is open ends it: TCP is reset within a second', async () => {
  await using running = await TestMesh.start(
    'services: {front: {command: x, calls: [db]}, db: {command: x, ports: {db: {protocol: tcp}}}}\n',
    'allow:\n  - front -> db: tcp\n',
  );
  const echo = createServer((socket) => void socket.on('error', () => undefined).pipe(socket));
  await running.addProxy('db', { appPort: await listen(echo) });
  const front = await running.addProxy('front');
  const { connect } = await import('node:net');
  const socket = connect(front.ports.outbound['db'] ?? 0, '127.0.0.1');
  const closed = new Promise<void>((done) => socket.on('close', () => done()));
  socket.on('error', () => undefined);
  await new Promise<void>((done) => socket.once('data', () => done()).write('hello'));
  await running.applyPolicy('allow:\n  - front -> db: tcp\n  - front -> front: any\n');
  await new Promise<void>((done) => socket.once('data', () => done()).write('still there'));
  const began = Date.now();
  await running.applyPolicy('allow: []\n');
  await closed;
  assert.ok(Date.now() - began < 1000);
  echo.close();
});

test('an instance whose health check fails gets no requests until it is well again', async () => {
  await using running = await mesh(
    '{health: {path: /health, interval: 100ms, timeout: 80ms, healthy: 1, unhealthy: 2}, retries: {attempts: 0}}',
  );
  let ill = false;
  const asked: string[] = [];
  const app = (name: string) =>
    startApp((request, response) => {
      if (request.url === '/health') asked.push(name);
      response.statusCode = ill && name === 'b' && request.url === '/health' ? 500 : 200;
      response.end(name);
    });
  await using a = await app('a');
  await using b = await app('b');
  await running.addProxy('back', { appPort: a.port, index: 0 });
  await running.addProxy('back', { appPort: b.port, index: 1 });
  const front = await running.addProxy('front');
  const names = async (): Promise<string> => {
    const seen = new Set<string>();
    for (let i = 0; i < 30; i++) seen.add((await ask(front, '/')).body);
    return [...seen].sort().join();
  };
  const until = async (wanted: string): Promise<void> => {
    const end = Date.now() + 8000;
    while ((await names()) !== wanted) assert.ok(Date.now() < end, `never ${wanted}`);
  };
  await until('a,b');
  ill = true;
  await until('a');
  ill = false;
  await until('a,b');
  assert.ok(asked.includes('a') && asked.includes('b'));
});

test('the control plane cuts what an identity has open, and only that', async () => {
  await using running = await TestMesh.start(
    'services: {front: {command: x, calls: [back]}, other: {command: x, calls: [back]}, back: {command: x}}\n',
    'allow:\n  - front -> back: any\n  - other -> back: any\n',
  );
  const waiting: (() => void)[] = [];
  await using app = await startApp((_request, response) => void waiting.push(() => response.end('ok')));
  await running.addProxy('back', { appPort: app.port });
  const proxies = [await running.addProxy('front'), await running.addProxy('other')];
  const [front, other] = proxies.map((proxy) => call(proxy.ports.outbound['back'] ?? 0, '/', { method: 'POST', body: '' }));
  while (waiting.length < 2) await new Promise((done) => setImmediate(done));
  const began = Date.now();
  const { proxies: ended } = await running.client.request('proxy.cut', { identity: 'spiffe://test.mesh/ns/default/sa/front' });
  assert.deepEqual(ended.map((each) => [each.instance, each.ended]).sort(), [
    ['back-0', 1],
    ['front-0', 0],
    ['other-0', 0],
  ]);
  assert.equal((await front)?.status, 502);
  assert.ok(Date.now() - began < 1000);
  for (const answer of waiting) answer();
  assert.equal((await other)?.status, 200);
  assert.deepEqual(
    (await running.client.request('proxy.cut', { serial: 'ff' })).proxies.map((each) => each.ended),
    [0, 0, 0],
  );
});

/** Answers `/endless` without end, as fast as it is read; `onWritten` counts. Anything else is read whole and answered with `ok`. */
function startEndless(onWritten: (bytes: number) => void): ReturnType<typeof startApp> {
  return startApp((request, response) => {
    if (request.url !== '/endless') return void request.resume().on('end', () => response.end('ok'));
    const part = Buffer.alloc(64 * 1024);
    const more = (): void => {
      do onWritten(part.length);
      while (response.write(part));
    };
    response.on('drain', more);
    more();
  });
}

test('a caller that never reads stops the service that answers, and costs the proxies a window', async () => {
  await using running = await mesh('{}');
  let written = 0;
  await using app = await startEndless((bytes) => {
    written += bytes;
  });
  await running.addProxy('back', { appPort: app.port });
  const front = await running.addProxy('front');
  const { connect } = await import('node:net');
  const socket = connect(front.ports.outbound['back'] ?? 0, '127.0.0.1', () => socket.write('GET /endless HTTP/1.1\r\nHost: back\r\n\r\n'));
  socket.on('error', () => undefined).pause();
  let before = -1;
  while (written === 0 || written !== before) {
    before = written;
    await new Promise((done) => setTimeout(done, 300));
  }
  assert.ok(written < 32 * 1024 * 1024, `${written} bytes are on their way`);
  assert.equal((await ask(front, '/')).status, 200, 'and the others are served');
  socket.destroy();
});

test('an upload that stalls is 408, and an answer that nobody reads is ended, after the idle time', async () => {
  await using running = await mesh('{timeouts: {idle: 300ms}}');
  await using app = await startEndless(() => undefined);
  await running.addProxy('back', { appPort: app.port });
  const front = await running.addProxy('front');
  const { connect } = await import('node:net');
  const talk = (bytes: string, reads: boolean): Promise<string> =>
    new Promise((done) => {
      let text = '';
      const socket = connect(front.ports.outbound['back'] ?? 0, '127.0.0.1', () => socket.write(bytes));
      socket.on('error', () => undefined).on('close', () => done(text));
      if (reads) socket.on('data', (part: Buffer) => (text += part.toString('latin1')));
      // Reads again at last, to hear how it ended.
      else setTimeout(() => socket.resume(), 1500);
    });
  const began = Date.now();
  assert.match(
    await talk('PUT / HTTP/1.1\r\nHost: back\r\nContent-Length: 10\r\n\r\nabc', true),
    /^HTTP\/1\.1 408 [\s\S]*nothing has moved/,
  );
  await talk('GET /endless HTTP/1.1\r\nHost: back\r\n\r\n', false);
  assert.ok(Date.now() - began < 8000);
  assert.equal((await ask(front, '/')).status, 200);
});
