// Certificates that live for seconds are renewed under load, and no request is lost by it.
import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { call, listen, startApp, TestMesh } from '../support/test-mesh.ts';

const MESH = `certificates: {ttl: 5s}
services:
  web: {command: x, calls: [orders, ledger]}
  orders: {command: x}
  ledger: {command: x, ports: {ledger: {protocol: tcp}}}
`;

test('renews before expiry without a lost request, and each renewal has a new key', async () => {
  await using mesh = await TestMesh.start(MESH, 'allow:\n  - web -> orders: any\n');
  await using app = await startApp((_request, response) => void setTimeout(() => response.end('ok'), 3));
  const web = await mesh.addProxy('web');
  const orders = await mesh.addProxy('orders', { appPort: app.port });
  const port = web.ports.outbound['orders'] ?? 0;
  const serials = new Set<string>();
  const keys = new Set<string>();
  const end = Date.now() + 9000;
  let answered = 0;
  const lost: string[] = [];
  const client = async (): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    while (Date.now() < end) {
      const { status, body, headers } = await call(port, '/x', { agent });
      if (status === 200 && body === 'ok') answered++;
      else lost.push(`${status} ${headers['x-meshctl-refusal']}`);
      const current = orders.running.runtime.credentials.current;
      serials.add(current?.serial ?? '');
      keys.add(current?.chain.slice(0, 400) ?? '');
    }
    agent.destroy();
  };
  await Promise.all(Array.from({ length: 6 }, client));
  assert.deepEqual(lost, []);
  assert.ok(answered > 500, `${answered} requests`);
  assert.ok(serials.size >= 2, `${serials.size} certificates in 9 s with a life of 5 s`);
  assert.equal(app.seen.length, answered, 'every answered request reached the service exactly once');
  const left = (orders.running.runtime.credentials.current?.notAfterMs ?? 0) - Date.now();
  assert.ok(left > 0 && left <= 5000);
});

test('a TCP connection does not outlive the certificates that it was made with', async () => {
  await using mesh = await TestMesh.start(MESH, 'allow:\n  - web -> ledger: tcp\n');
  const echo = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  const web = await mesh.addProxy('web');
  const ledger = await mesh.addProxy('ledger', { appPort: await listen(echo) });
  const opened = Date.now();
  const lifeEnd = Math.max(
    web.running.runtime.credentials.current?.notAfterMs ?? 0,
    ledger.running.runtime.credentials.current?.notAfterMs ?? 0,
  );
  const closedAt = await new Promise<number>((resolve) => {
    const socket = connect(web.ports.outbound['ledger'] ?? 0, '127.0.0.1', () => socket.write('hello'));
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(Date.now()));
  });
  assert.ok(closedAt - opened > 1000, 'it was open while its certificates were valid');
  assert.ok(closedAt <= lifeEnd + 1000, `closed ${closedAt - lifeEnd} ms after the end of life`);
  echo.close();
});
