// Golden signals by every kind of row, live requests, and what a scraper gets: against what a load generator counted.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TapEvent } from '../../src/mesh/tap.ts';
import { call, startApp, TestMesh } from '../support/test-mesh.ts';

const MESH = 'services:\n  web: {command: x, calls: [orders]}\n  reviews: {command: x, calls: [orders]}\n  orders: {command: x}\n';
const POLICY = 'allow:\n  - name: shopping\n    from: web\n    to: orders\n    methods: [GET]\n    path: /**\n';

async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const end = Date.now() + 6000;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > end) assert.fail(`not in time: ${what}`);
    await new Promise((done) => setTimeout(done, 30));
  }
}

test('edges, routes and callers say to the unit what was sent, and who was denied', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using app = await startApp((request, response) => {
    response.statusCode = request.url?.includes('broken') === true ? 500 : request.url?.includes('gone') === true ? 404 : 200;
    response.end('x'.repeat(100));
  });
  const web = await mesh.addProxy('web');
  const reviews = await mesh.addProxy('reviews');
  await mesh.addProxy('orders', { appPort: app.port });
  const [fromWeb, fromReviews] = [web, reviews].map((proxy) => proxy.ports.outbound['orders'] ?? 0) as [number, number];
  for (let i = 0; i < 30; i++) await call(fromWeb, `/orders/${1000 + i}`);
  for (let i = 0; i < 10; i++) await call(fromWeb, '/broken');
  for (let i = 0; i < 5; i++) await call(fromWeb, '/gone');
  for (let i = 0; i < 7; i++) await call(fromReviews, '/orders/1');
  const stat = (by: 'edge' | 'route' | 'caller' | 'instance' | 'service', view?: 'inbound' | 'outbound') =>
    mesh.client.request('stat', { windowMs: 60_000, by, ...(view === undefined ? {} : { view }) });
  const times = async (by: 'edge' | 'route' | 'caller' | 'instance' | 'service', view?: 'inbound' | 'outbound') => {
    const { rows, window } = await stat(by, view);
    const count = (perSecond: number): number => Math.round(perSecond * window.seconds);
    return rows
      .filter(({ requestsPerSecond, deniedPerSecond }) => requestsPerSecond + deniedPerSecond > 0)
      .map((row) => [
        row.peer ?? row.route ?? row.instance ?? row.service,
        count(row.requestsPerSecond),
        count(row.deniedPerSecond),
        row.successPercent,
      ]);
  };
  await until('all of them', async () =>
    (await times('service'))[0]?.[1] === 45 && (await times('edge')).length === 2 ? true : undefined,
  );
  assert.deepEqual(await times('service'), [['orders', 45, 7, 77.78]]);
  assert.deepEqual(await times('edge'), [
    ['web', 45, 0, 77.78],
    ['reviews', 0, 7, null],
  ]);
  assert.deepEqual(await times('instance'), [['orders-0', 45, 7, 77.78]]);
  assert.deepEqual(
    new Set((await times('route')).map((each) => JSON.stringify(each))),
    new Set(
      [
        ['GET /orders/{id}', 30, 7, 100],
        ['GET /broken', 10, 0, 0],
        ['GET /gone', 5, 0, 100],
      ].map((each) => JSON.stringify(each)),
    ),
  );
  assert.deepEqual(await times('edge', 'outbound'), [
    ['orders', 45, 0, 77.78],
    ['orders', 7, 0, 100],
  ]);
  const [service] = (await stat('service')).rows.filter(({ service: name }) => name === 'orders');
  assert.ok((service?.clientErrorsPerSecond ?? 0) > 0 && Object.keys(service?.failuresPerSecond ?? {}).join() === '5xx');
  assert.ok((service?.maxMs ?? 0) >= (service?.p50Ms ?? Number.POSITIVE_INFINITY));
  assert.ok((service?.sentBytesPerSecond ?? 0) > 0);
});

test('an edge shows what both ends proved, and the rule that can let it; after a rotation the new generation', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using app = await startApp();
  const web = await mesh.addProxy('web');
  await mesh.addProxy('orders', { appPort: app.port });
  await call(web.ports.outbound['orders'] ?? 0, '/');
  const edge = await until('an edge', async () => (await mesh.client.request('edges', { windowMs: 60_000 })).rows[0]);
  assert.deepEqual(
    [edge.callerId, edge.calleeId, edge.rules],
    ['spiffe://test.mesh/ns/default/sa/web', 'spiffe://test.mesh/ns/default/sa/orders', ['shopping']],
  );
  const [link] = edge.links;
  assert.deepEqual(
    [link?.tls, link?.serial, edge.callerGenerations, edge.calleeGenerations],
    ['TLSv1.3', web.running.runtime.credentials.current?.serial, [1], [1]],
  );
  assert.match(link?.cipher ?? '', /^TLS_/);
});

test('a look at live requests shows those that fit as they end, with the rule that denied them, and no secret', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using app = await startApp((request, response) => {
    response.statusCode = request.url?.includes('broken') === true ? 500 : 200;
    response.end();
  });
  const web = await mesh.addProxy('web');
  const reviews = await mesh.addProxy('reviews');
  await mesh.addProxy('orders', { appPort: app.port });
  const [fromWeb, fromReviews] = [web, reviews].map((proxy) => proxy.ports.outbound['orders'] ?? 0) as [number, number];
  const headers = { 'x-tenant': 'blue', authorization: 'Bearer SECRET-TOKEN', cookie: 'session=SECRET-COOKIE' };
  const look = async (filter: object, wanted: number): Promise<TapEvent[]> => {
    const { id } = await mesh.client.request('tap.open', { filter, perSecond: 1000 });
    const seen: TapEvent[] = [];
    const end = Date.now() + 5000;
    let sent = false;
    while (seen.length < wanted && Date.now() < end) {
      const reading = mesh.client.request('tap.read', { id });
      if (!sent) {
        sent = true;
        await call(fromWeb, '/orders/7?token=SECRET-QUERY', { headers });
        await call(fromWeb, '/broken');
        await call(fromReviews, '/orders/8');
      }
      seen.push(...(await reading).events);
    }
    await mesh.client.request('tap.close', { id });
    return seen;
  };
  const all = await look({ service: 'orders', headers: ['x-tenant', 'authorization', 'cookie', 'absent'] }, 3);
  const by = (path: string): TapEvent | undefined => all.find((event) => event.path === path);
  assert.deepEqual(by('/orders/7')?.headers, { 'x-tenant': 'blue', authorization: '(redacted)', cookie: '(redacted)' });
  assert.doesNotMatch(JSON.stringify(all), /SECRET/);
  assert.deepEqual(
    [by('/orders/7')?.from, by('/orders/7')?.verdict, by('/orders/7')?.rule, by('/orders/7')?.status],
    ['web', 'allowed', 'shopping', 200],
  );
  assert.deepEqual(
    [by('/orders/8')?.verdict, by('/orders/8')?.status, by('/orders/8')?.fromId],
    ['denied', 403, 'spiffe://test.mesh/ns/default/sa/reviews'],
  );
  for (const [filter, paths] of [
    [{ service: 'orders', status: '5xx' }, ['/broken']],
    [{ service: 'orders', denied: true }, ['/orders/8']],
    [{ service: 'orders', from: 'web', path: '/orders/*' }, ['/orders/7']],
    [{ service: 'orders', status: '403' }, ['/orders/8']],
  ] as const)
    assert.deepEqual(
      (await look(filter, 1)).map(({ path }) => path),
      paths,
      JSON.stringify(filter),
    );
  await assert.rejects(mesh.client.request('tap.open', { filter: { service: 'nobody' }, perSecond: 1 }), { code: 'SERVICE_UNKNOWN' });
  await assert.rejects(mesh.client.request('tap.read', { id: 999 }), { code: 'TAP_GONE' });
});

test('what is over the rate of a look is counted, not kept', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using app = await startApp();
  const web = await mesh.addProxy('web');
  await mesh.addProxy('orders', { appPort: app.port });
  const { id } = await mesh.client.request('tap.open', { filter: { service: 'orders' }, perSecond: 3 });
  const port = web.ports.outbound['orders'] ?? 0;
  // The first look of the proxy begins with the first message; wait until one request is seen.
  await until('the look has begun', async () => {
    await call(port, '/begin');
    return (await mesh.client.request('tap.read', { id })).events.length > 0 ? true : undefined;
  });
  let [events, dropped] = [0, 0];
  for (let i = 0; i < 60; i++) await call(port, '/x');
  await until('sixty', async () => {
    const read = await mesh.client.request('tap.read', { id });
    events += read.events.length;
    dropped += read.dropped;
    return events + dropped >= 60 ? true : undefined;
  });
  assert.ok(events < 20 && dropped > 40, `${events} shown, ${dropped} counted`);
});

test('a scraper gets what was counted, in the form that it asks for', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using app = await startApp();
  const web = await mesh.addProxy('web');
  await mesh.addProxy('orders', { appPort: app.port });
  for (let i = 0; i < 12; i++) await call(web.ports.outbound['orders'] ?? 0, '/x');
  const text = await until('twelve', async () => {
    const { text: all } = await mesh.client.request('metrics', { format: 'text' });
    return /^http_server_request_duration_seconds_count\{service="orders",instance="orders-0",client="web",http_response_status_class="2xx"\} 12$/m.test(
      all,
    )
      ? all
      : undefined;
  });
  assert.match(text, /^http_client_request_duration_seconds_count\{service="web",instance="web-0",server="orders"[^}]*\} 12$/m);
  assert.match(text, /^meshctl_certificate_life_left_ratio\{service="orders",instance="orders-0"\} (?:1|0\.99\d*)$/m);
  assert.match(text, /^meshctl_proxy_in_sync\{[^}]*\} 1$/m);
  await mesh.killControl();
  await mesh.startControl();
  await mesh.settled();
  const again = await mesh.client.request('metrics', { format: 'openmetrics', compat: 'linkerd' });
  assert.match(again.text, /^http_server_request_duration_seconds_count\{[^}]*client="web"[^}]*\} 12$/m, 'control may come and go');
  assert.match(again.text, /^response_total\{direction="inbound",[^}]*deployment="orders",[^}]*classification="success"\} 12$/m);
  assert.match(again.text, /# EOF\n$/);
});

test('a gap is a gap and no zero; steps add up to what was sent', async () => {
  await using mesh = await TestMesh.start(MESH, POLICY);
  await using app = await startApp();
  const web = await mesh.addProxy('web');
  await mesh.addProxy('orders', { appPort: app.port });
  const fromMs = Math.floor(Date.now() / 1000) * 1000 - 5000;
  for (let i = 0; i < 9; i++) await call(web.ports.outbound['orders'] ?? 0, '/x');
  const sum = (steps: { rows: readonly { requestsPerSecond: number }[] | null }[]): number =>
    Math.round(steps.reduce((all, { rows }) => all + (rows?.[0]?.requestsPerSecond ?? 0), 0));
  const { steps } = await until('nine', async () => {
    const timeline = await mesh.client.request('timeline', { fromMs, toMs: Date.now() + 1000, stepMs: 1000, service: 'orders' });
    return sum(timeline.steps) === 9 ? timeline : undefined;
  });
  assert.equal(steps[0]?.rows, null);
  await assert.rejects(mesh.client.request('timeline', { fromMs: 0, toMs: 1e12, stepMs: 1 }), { code: 'USAGE' });
});
