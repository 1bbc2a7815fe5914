// `up --isolate`: what an attacker inside one service can reach; and what the same attacker reaches without it. Linux, root.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Workplace } from '../support/cli.ts';
import { isolationSkip } from '../support/isolation.ts';
import { type Answer, call } from '../support/test-mesh.ts';

const skip = isolationSkip();

/** Answers like any service; `/run?code=…` is the attacker inside it: it runs what it is sent and prints what came of it. */
const APP = `
const http = require('http');
http.createServer(async (q, s) => {
  const url = new URL(q.url, 'http://x');
  if (url.pathname === '/call') return http.get(process.env.BACK_URL + '/called', (r) => { s.statusCode = r.statusCode; r.pipe(s); }).on('error', (e) => s.end(String(e)));
  if (url.pathname !== '/run') return s.end(process.env.MESHCTL_INSTANCE + ' ' + process.getuid() + ' ' + process.env.PORT);
  const code = Buffer.from(url.searchParams.get('code'), 'base64').toString();
  const done = await Promise.race([eval('(async () => {' + code + '})()').catch((e) => 'failed ' + (e.code || e.message)), new Promise((r) => setTimeout(r, 1500, 'failed TIMEOUT'))]);
  s.end(String(done));
}).listen(process.env.PORT, '127.0.0.1');
`;

interface Status {
  readonly isolated: boolean;
  readonly instances: readonly { readonly instance: string; readonly pid: number; readonly proxyPid: number }[];
}

class Shop extends Workplace {
  port = 0;
  stateDir = '';
  status!: Status;

  async up(...flags: string[]): Promise<void> {
    const app = join(this.directory, 'app');
    mkdirSync(app);
    chmodSync(this.directory, 0o711);
    chmodSync(app, 0o755);
    this.write('app/app.js', APP);
    this.write(
      'mesh.yaml',
      `apiVersion: meshctl.dev/v1\nkind: Mesh\nname: shop\ningress: {routes: [{path: /, service: front}]}\nservices:\n  front: {command: [node, app.js], cwd: app, calls: [back], workloadApi: true}\n  back: {command: [node, app.js], cwd: app, instances: 2}\n  vault: {command: [node, app.js], cwd: app, workloadApi: true}\npolicy: [policy.yaml]\n`,
    );
    this.write(
      'policy.yaml',
      'apiVersion: meshctl.dev/v1\nkind: Policy\nallow:\n  - ingress -> front: any\n  - front -> back: GET /called\n',
    );
    const up = await this.json<{ ingressUrl: string; stateDir: string }>(['up', '-d', ...flags]);
    this.port = Number(new URL(up.ingressUrl).port);
    this.stateDir = up.stateDir;
    this.status = await this.json<Status>(['status']);
  }

  pidOf(instance: string, key: 'pid' | 'proxyPid'): number {
    return this.status.instances.find((each) => each.instance === instance)?.[key] ?? 0;
  }

  /** Runs code inside the service `front`. */
  async attack(code: string): Promise<string> {
    const answer: Answer = await call(this.port, `/run?code=${encodeURIComponent(Buffer.from(code).toString('base64'))}`);
    assert.equal(answer.status, 200, answer.body);
    return answer.body;
  }

  /** The address of an instance's network, and its inbound port. */
  reach(instance: string): { host: string; app: number } {
    const environment = readFileSync(`/proc/${this.pidOf(instance, 'pid')}/environ`, 'utf8').split('\0');
    const app = Number(environment.find((line) => line.startsWith('PORT='))?.slice(5));
    const addresses = this.status.isolated
      ? execFileSync('nsenter', ['-t', String(this.pidOf(instance, 'pid')), '-n', 'ip', '-4', '-o', 'addr', 'show', 'eth0'], {
          encoding: 'utf8',
        })
      : 'inet 127.0.0.1/8';
    return { host: /inet ([0-9.]+)/.exec(addresses)?.[1] ?? '', app };
  }
}

const connectTo = (host: string, port: number): string =>
  `return new Promise((done) => { const s = require('net').connect(${port}, '${host}'); s.on('connect', () => s.write('GET /secret HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')); let t = ''; s.on('data', (p) => t += p); s.on('error', (e) => done('failed ' + e.code)); s.on('close', () => done(t.split('\\r\\n')[0] + (t.includes('vault-0') ? ' REACHED' : ''))); });`;
const read = (path: string): string => `return require('fs').readFileSync('${path}').length + ' bytes read';`;

test('services talk through their proxies, each as a user of its own', { skip }, async () => {
  await using shop = new Shop();
  await shop.up('--isolate');
  assert.equal(shop.status.isolated, true);
  assert.match((await shop.run(['status'])).stdout, /isolated: each instance has a network and users of its own/);
  const users = new Set<string>();
  for (let i = 0; i < 20; i++) {
    const answer = await call(shop.port, '/call');
    assert.equal(answer.status, 200, answer.body);
    users.add(answer.body.split(' ').slice(0, 2).join(' '));
  }
  const front = await call(shop.port, '/');
  users.add(front.body.split(' ').slice(0, 2).join(' '));
  assert.equal(users.size, 3);
  assert.equal(new Set([...users].map((user) => user.split(' ')[1])).size, 3, [...users].join());
  assert.ok(![...users].some((user) => user.endsWith(' 0')));
});

test('an attacker inside a service reaches no other service, no proxy past its own, no memory and no state', { skip }, async () => {
  await using shop = new Shop();
  await shop.up('--isolate');
  const vault = shop.reach('vault-0');
  const allowed = await shop.attack(
    "return new Promise((done) => require('http').get(process.env.BACK_URL + '/called', (r) => done(r.statusCode)));",
  );
  assert.equal(allowed, '200', 'what policy allows still passes');
  for (const [what, code, expected] of [
    ['the other application by its own port', connectTo(vault.host, vault.app), /^HTTP\/1\.1 502 /],
    ["the other's mTLS port, in plain text", connectTo(vault.host, 15_010), /^HTTP\/1\.1 403 /],
    ['loopback', connectTo('127.0.0.1', vault.app), /^failed ECONNREFUSED/],
    ['the host', connectTo(vault.host.replace(/\d+\.\d+$/, '0.1'), shop.port), /^HTTP\/1\.1 502 /],
    ['anybody else', connectTo('192.0.2.1', 443), /^HTTP\/1\.1 502 /],
    [
      'datagrams',
      "return new Promise((done) => { const s = require('dgram').createSocket('udp4'); s.send('x', 53, '192.0.2.1', (e) => { s.close(); done(e ? 'failed ' + e.code : 'sent'); }); });",
      /^failed E(?:PERM|ACCES)/,
    ],
    ["its proxy's memory", read(`/proc/${shop.pidOf('front-0', 'proxyPid')}/mem`), /^failed E(?:ACCES|PERM)/],
    ["its proxy's environment", read(`/proc/${shop.pidOf('front-0', 'proxyPid')}/environ`), /^failed E(?:ACCES|PERM)/],
    ["the other service's environment", read(`/proc/${shop.pidOf('vault-0', 'pid')}/environ`), /^failed E(?:ACCES|PERM)/],
    ["the authority's key", read(join(shop.stateDir, 'ca', 'peer-1-key.pem')), /^failed EACCES/],
    ["the authority's directory", `return require('fs').readdirSync('${join(shop.stateDir, 'ca')}').join();`, /^failed EACCES/],
    ['ending its proxy', `process.kill(${shop.pidOf('front-0', 'proxyPid')}, 'SIGKILL'); return 'killed';`, /^failed EPERM/],
    ['another user', "process.setuid(0); return 'root';", /^failed EPERM/],
  ] as const) {
    const outcome = await shop.attack(code);
    assert.match(outcome, expected, `${what}: ${outcome}`);
    assert.doesNotMatch(outcome, /REACHED/, what);
  }
  const record = JSON.parse(readFileSync(join(shop.stateDir, 'run', 'supervisor.json'), 'utf8')) as { socketPath: string };
  const control = `return new Promise((done) => require('net').connect('${record.socketPath}').on('connect', () => done('connected')).on('error', (e) => done('failed ' + e.code)));`;
  assert.match(await shop.attack(control), /^failed EACCES/);
});

test('nothing is left when it stops, and what a killed one left is no obstacle', { skip }, async () => {
  await using shop = new Shop();
  await shop.up('--isolate');
  const spaces = (): string[] =>
    execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' })
      .split('\n')
      .filter((line) => line.startsWith(prefix));
  const record = JSON.parse(readFileSync(join(shop.stateDir, 'run', 'supervisor.json'), 'utf8')) as {
    socketPath: string;
    process: { pid: number };
  };
  const prefix = `mctl${/meshctl-([0-9a-f]{6})/.exec(record.socketPath)?.[1]}`;
  assert.equal(spaces().length, 4);
  process.kill(record.process.pid, 'SIGKILL');
  const again = await shop.json<{ ingressUrl: string }>(['up', '-d', '--isolate']);
  assert.equal((await call(Number(new URL(again.ingressUrl).port), '/call')).status, 200);
  assert.equal(spaces().length, 4);
  await shop.run(['down']);
  assert.deepEqual(spaces(), []);
});

test('without isolation the same attacker reaches the other service: the limit that `up` and `status` state', { skip }, async () => {
  await using shop = new Shop();
  await shop.up();
  assert.match((await shop.run(['status'])).stdout, /not isolated: /);
  const moved = await shop.run(['up', '-d', '--isolate']);
  assert.deepEqual([moved.code, /runs without isolation/.test(moved.stderr)], [1, true], moved.stderr);
  const vault = shop.reach('vault-0');
  assert.match(await shop.attack(connectTo(vault.host, vault.app)), /200 OK REACHED$/);
  assert.match(await shop.attack(read(`/proc/${shop.pidOf('front-0', 'proxyPid')}/environ`)), /bytes read/);
});

test('the Workload API takes a service by its own socket, and its socket takes no other service', { skip }, async () => {
  await using shop = new Shop();
  await shop.up('--isolate');
  // The preface of HTTP/2 is answered by settings: somebody is there who lets this process in.
  const knock = (path: string): string =>
    `return new Promise((done) => { const s = require('net').connect(${path}); s.on('connect', () => s.write('PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n' + String.fromCharCode(0, 0, 0, 4, 0, 0, 0, 0, 0), 'latin1')); s.on('data', (p) => { done('answered ' + p[3]); s.destroy(); }); s.on('error', (e) => done('failed ' + e.code)); });`;
  assert.equal(await shop.attack(knock("process.env.SPIFFE_ENDPOINT_SOCKET.slice('unix://'.length)")), 'answered 4');
  const others = "process.env.SPIFFE_ENDPOINT_SOCKET.slice('unix://'.length).replace('front-0', 'vault-0')";
  assert.equal(await shop.attack(knock(others)), 'failed EACCES');
  const list =
    "return require('fs').readdirSync(require('path').dirname(process.env.SPIFFE_ENDPOINT_SOCKET.slice('unix://'.length))).join();";
  assert.equal(await shop.attack(list), 'failed EACCES');
});
