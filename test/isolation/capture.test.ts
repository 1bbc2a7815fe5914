// Connections that the kernel redirects to a proxy, in a network namespace that the test makes: Linux, root, `ip` and `nft`.
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { originalDestination } from '../../src/proxy/net/original-destination.ts';
import { issueFor, makeTestAuthority, service } from '../support/ca.ts';
import { LAUNCHER, Workplace } from '../support/cli.ts';
import { isolationSkip } from '../support/isolation.ts';
import { listen } from '../support/test-mesh.ts';

const skip = isolationSkip();
/** The user of the service whose connections are redirected; the proxies are root. */
const SERVICE_UID = 61_001;
const VIRTUAL = '10.96.3.4';

class Namespace extends Workplace {
  readonly name = `mctl-${process.pid}-${Math.random().toString(36).slice(2, 8)}`;
  readonly #children: ChildProcess[] = [];

  constructor() {
    super();
    execFileSync('ip', ['netns', 'add', this.name]);
    this.inside(['ip', 'link', 'set', 'lo', 'up']);
    // A route, so that a connection to the virtual address is made at all.
    this.inside(['ip', 'addr', 'add', '10.96.0.1/16', 'dev', 'lo']);
    const ca = makeTestAuthority();
    this.write('ca.crt', ca.files.rootCertificate);
    for (const name of ['web', 'orders']) {
      const { key, chain } = issueFor(ca, service(name));
      this.write(`${name}.key`, key);
      this.write(`${name}.crt`, chain);
    }
    chmodSync(this.directory, 0o700);
  }

  inside(argv: readonly string[], input?: string): string {
    return execFileSync('ip', ['netns', 'exec', this.name, ...argv], { input, encoding: 'utf8', timeout: 20_000 });
  }

  /** As the service: a short script, its output. Only the service's connections are redirected. */
  asService(script: string): string {
    const user = ['setpriv', `--reuid=${SERVICE_UID}`, '--clear-groups', '--inh-caps=-all'];
    return this.inside([...user, process.execPath, '-e', script]);
  }

  async spawn(argv: readonly string[], says: RegExp): Promise<void> {
    const child = spawn('ip', ['netns', 'exec', this.name, process.execPath, ...argv], { cwd: this.directory, env: this.env });
    this.#children.push(child);
    let text = '';
    const collect = (part: Buffer): void => {
      text += part.toString();
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    while (!says.test(text)) {
      if (child.exitCode !== null) throw new Error(text);
      await Promise.race([once(child.stdout, 'data'), once(child, 'exit')]);
    }
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null) continue;
      const exit = once(child, 'exit');
      child.kill('SIGKILL');
      await exit;
    }
    execFileSync('ip', ['netns', 'del', this.name]);
    await super[Symbol.asyncDispose]();
  }
}

const APP = `
const http = require('http'), net = require('net');
http.createServer((q, s) => s.end(q.headers.host + ' ' + q.headers['x-forwarded-client-cert'])).listen(18080, '127.0.0.1');
net.createServer((s) => { s.on('error', () => {}); s.end('220 ready\\n'); }).listen(18081, '127.0.0.1', () => console.log('ready'));
`;
const identity = (name: string): string =>
  `apiVersion: meshctl.dev/v1\nkind: Proxy\nidentity: {certFile: ${name}.crt, keyFile: ${name}.key, bundleFile: ca.crt}\n`;

async function captured(): Promise<Namespace> {
  const space = new Namespace();
  space.write('app.js', APP);
  space.write(
    'orders.yaml',
    `${identity('orders')}listeners:\n  - {name: http, direction: inbound, address: 15006, app: 18080}\n  - {name: db, direction: inbound, address: 15007, app: 18081, protocol: tcp}\n---\napiVersion: meshctl.dev/v1\nkind: Policy\nallow:\n  - "id:spiffe://test.mesh/ns/default/sa/web -> orders": [GET /open, tcp]\n`,
  );
  const id = 'identity: "spiffe://test.mesh/ns/default/sa/orders"';
  space.write(
    'web.yaml',
    `${identity('web')}listeners: [{direction: capture, address: 15001}]\nservices:\n  orders: {${id}, endpoints: [15006], addresses: ["${VIRTUAL}:80"]}\n  db: {${id}, protocol: tcp, endpoints: [15007], addresses: ["${VIRTUAL}:5432"]}\n`,
  );
  await space.spawn(['app.js'], /ready/);
  await space.spawn([LAUNCHER, 'proxy', 'run', '-f', 'orders.yaml'], /listening/);
  await space.spawn([LAUNCHER, 'proxy', 'run', '-f', 'web.yaml'], /listening: capture 15001/);
  // Whatever the service connects to, and whatever comes for the application's port, meets a proxy.
  space.inside(
    ['nft', '-f', '-'],
    `table ip mesh {\n  chain output {\n    type nat hook output priority -100;\n    meta skuid ${SERVICE_UID} meta l4proto tcp redirect to :15001\n  }\n}\n`,
  );
  return space;
}

const get = (url: string, headers = '{}'): string =>
  `require('http').get('${url}', { headers: ${headers} }, (r) => { let t = ''; r.on('data', (p) => t += p).on('end', () => console.log(r.statusCode, t.trim())); }).on('error', (e) => console.log('error', e.code));`;
const raw = (host: string, port: number): string =>
  `let t = ''; require('net').connect(${port}, '${host}').on('data', (p) => t += p).on('error', (e) => { t = 'error ' + e.code; }).on('close', () => console.log(t.trim()));`;

test('what a service connects to by address goes through its proxy, judged by identity', { skip }, async () => {
  await using space = await captured();
  assert.equal(
    space.asService(get(`http://${VIRTUAL}/open`, "{ host: 'orders.example' }")).trim(),
    '200 orders.example URI=spiffe://test.mesh/ns/default/sa/web',
  );
  assert.equal(space.asService(get(`http://${VIRTUAL}/closed`)).trim(), '403 forbidden');
  assert.equal(space.asService(raw(VIRTUAL, 5432)).trim(), '220 ready', 'a server that speaks first is heard');
});

test('a captured service reaches nothing past its proxy: not the application, not another address, not the proxy itself', {
  skip,
}, async () => {
  await using space = await captured();
  assert.match(space.asService(get('http://127.0.0.1:18080/open')), /^502 no_route/, 'the neighbour by its own port');
  assert.match(space.asService(raw('127.0.0.1', 18081)), /^error ECONNRESET|^$/, 'and its TCP port');
  assert.match(space.asService(raw('10.96.9.9', 9999)), /^error ECONNRESET|^$/);
  assert.match(space.asService(get('http://10.96.9.9/')), /^502 no_route/);
  assert.match(space.asService(get('http://127.0.0.1:15001/')), /^502 no_route/, 'the capture listener leads nowhere by itself');
  assert.equal(
    space.asService(get('http://127.0.0.1:15006/closed')).trim(),
    '403 forbidden',
    "the other proxy's port: through its own, as itself",
  );
});

test('a connection that nobody redirected has no original destination', { skip: process.platform !== 'linux' && 'Linux' }, async () => {
  const server = createServer((socket) => {
    assert.equal(originalDestination(socket), undefined);
    socket.end();
  });
  const port = await listen(server);
  const { connect } = await import('node:net');
  await once(connect(port, '127.0.0.1').resume(), 'close');
  server.close();
});
