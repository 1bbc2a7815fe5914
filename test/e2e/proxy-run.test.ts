// `meshctl proxy run`: one proxy from one file, as processes; what it refuses, what it reads again, how it ends.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { connect } from 'node:http2';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { issueFor, makeTestAuthority, service } from '../support/ca.ts';
import { LAUNCHER, Workplace } from '../support/cli.ts';
import { type Answer, call, startApp } from '../support/test-mesh.ts';

const ca = makeTestAuthority();
const WEB = 'spiffe://test.mesh/ns/default/sa/web';
const APP = 'spiffe://test.mesh/ns/default/sa/app';

interface Running {
  readonly child: ChildProcess;
  readonly port: number;
  /** Resolves when the log says it. */
  says(pattern: RegExp): Promise<void>;
}

class Bench extends Workplace {
  readonly #children: ChildProcess[] = [];

  constructor() {
    super();
    mkdirSync(join(this.directory, 'tmp'));
    this.env['TMPDIR'] = join(this.directory, 'tmp');
    for (const name of ['web', 'app', 'other']) this.identity(name);
  }

  identity(name: string, as = name): void {
    const { key, chain } = issueFor(ca, service(as));
    this.write(`${name}.key`, key);
    this.write(`${name}.crt`, chain);
    this.write('ca.crt', ca.files.rootCertificate);
  }

  async start(file: string): Promise<Running> {
    const child = spawn(process.execPath, [LAUNCHER, 'proxy', 'run', '-f', file], { cwd: this.directory, env: this.env });
    this.#children.push(child);
    let text = '';
    child.stdout.on('data', (part: Buffer) => {
      text += part.toString();
    });
    child.stderr.on('data', (part: Buffer) => {
      text += part.toString();
    });
    const says = async (pattern: RegExp): Promise<void> => {
      while (!pattern.test(text)) {
        if (child.exitCode !== null) throw new Error(`ended: ${text}`);
        await Promise.race([once(child.stdout, 'data'), once(child.stderr, 'data'), once(child, 'exit')]);
      }
    };
    await says(/listening: .*\n/);
    return { child, port: Number(/listening: \D*(?:-0 )?(\d+)/.exec(text)?.[1]), says };
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    await super[Symbol.asyncDispose]();
  }
}

const inbound = (app: number, policy: string): string => `apiVersion: meshctl.dev/v1
kind: Proxy
identity: {certFile: app.crt, keyFile: app.key, bundleFile: ca.crt}
listeners: [{name: in, direction: inbound, address: 0, app: ${app}}]
---
apiVersion: meshctl.dev/v1
kind: Policy
allow:
${policy}`;
const outbound = (port: number, identity: string, who = 'web'): string => `apiVersion: meshctl.dev/v1
kind: Proxy
identity: {certFile: ${who}.crt, keyFile: ${who}.key, bundleFile: ca.crt}
listeners: [{direction: outbound, address: "127.0.0.1:0", service: app}]
services: {app: {identity: "${identity}", endpoints: [${port}]}}
`;
const ALLOW = `  - "id:${WEB} -> app": GET /**\n`;

async function pair(bench: Bench, appPort: number, change: { who?: string; expect?: string; policy?: string } = {}) {
  bench.write('in.yaml', inbound(appPort, change.policy ?? ALLOW));
  const served = await bench.start('in.yaml');
  bench.write('out.yaml', outbound(served.port, change.expect ?? APP, change.who));
  const caller = await bench.start('out.yaml');
  return { served, caller };
}

const told = ({ status, headers }: Answer): unknown[] => [status, headers['x-meshctl-refusal']];

test('two proxies carry a request between two services, and leave nothing when they end', async () => {
  await using app = await startApp();
  await using bench = new Bench();
  const { served, caller } = await pair(bench, app.port);
  const answer = await call(caller.port, '/x');
  assert.deepEqual([answer.status, answer.body], [200, 'ok']);
  assert.equal(app.seen[0]?.headers['x-forwarded-client-cert'], `URI=${WEB}`);
  for (const { child } of [served, caller]) {
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
  }
  assert.ok(!existsSync(join(bench.directory, '.meshctl')));
});

test('a caller that policy does not name is 403, and a callee that is somebody else gets nothing', async () => {
  await using app = await startApp();
  await using bench = new Bench();
  const denied = await pair(bench, app.port, { who: 'other' });
  assert.equal((await call(denied.caller.port, '/')).status, 403);
  const wrong = await pair(bench, app.port, { expect: 'spiffe://test.mesh/ns/default/sa/other' });
  assert.deepEqual(told(await call(wrong.caller.port, '/')), [502, 'identity_mismatch']);
  assert.equal(app.seen.length, 0);
});

test('a foreign client with a certificate of the mesh is served by HTTP/1.1 and HTTP/2 over mTLS, one without by neither', async () => {
  await using app = await startApp();
  await using bench = new Bench();
  const { served } = await pair(bench, app.port);
  const { key, chain } = issueFor(ca, service('web'));
  const options = { key, cert: chain, ca: ca.files.rootCertificate, checkServerIdentity: () => undefined };
  const session = connect(`https://127.0.0.1:${served.port}`, options);
  const stream = session.request({ ':path': '/two' });
  const status = await new Promise((done) => stream.on('response', (headers) => done(headers[':status'])));
  session.close();
  const socket = connectTls({ ...options, host: '127.0.0.1', port: served.port });
  socket.end('GET /one HTTP/1.1\r\nHost: a\r\n\r\n');
  const [part] = (await once(socket, 'data')) as [Buffer];
  assert.deepEqual([status, part.toString().split('\r\n')[0]], [200, 'HTTP/1.1 200 OK']);
  const bare = connectTls({ ca: ca.files.rootCertificate, checkServerIdentity: () => undefined, host: '127.0.0.1', port: served.port });
  bare.write('GET /bare HTTP/1.1\r\nHost: a\r\n\r\n');
  const outcome = await Promise.race([once(bare, 'error').then(() => 'refused'), once(bare, 'data').then(() => 'served')]);
  assert.equal(outcome, 'refused');
  assert.deepEqual(app.seen.map(({ url }) => url).sort(), ['/one', '/two']);
});

test('a changed policy is in force without a restart; one with errors is said and not taken', async () => {
  await using app = await startApp();
  await using bench = new Bench();
  const { served, caller } = await pair(bench, app.port);
  assert.equal((await call(caller.port, '/')).status, 200);
  bench.write('in.yaml', inbound(app.port, '  - "web -> nobody": GET /**\n'));
  await served.says(/not taken: [\s\S]*nobody/);
  assert.equal((await call(caller.port, '/')).status, 200);
  bench.write('in.yaml', inbound(app.port, `  - "id:${WEB} -> app": POST /**\n`));
  await served.says(/configuration \S+ is in force/);
  assert.equal((await call(caller.port, '/')).status, 403);
});

test('a new certificate is used for new connections; a key that does not fit is not taken', async () => {
  await using app = await startApp();
  await using bench = new Bench();
  const { caller } = await pair(bench, app.port);
  assert.equal((await call(caller.port, '/')).status, 200);
  bench.write('web.key', issueFor(ca, service('web')).key);
  await caller.says(/new identity is not taken: .*does not belong/);
  assert.equal((await call(caller.port, '/')).status, 200);
  const other = issueFor(ca, service('other'));
  bench.write('web.crt', other.chain);
  bench.write('web.key', other.key);
  const end = Date.now() + 20_000;
  while ((await call(caller.port, '/')).status !== 403) assert.ok(Date.now() < end, 'the new certificate is never used');
});

for (const [title, text, expected] of [
  ['an unknown key', 'listners: []\n', /unknown key `listners`.*did you mean `listeners`/],
  ['no listener', 'listeners: []\n', /at least one listener/],
  [
    'an outbound listener to nowhere',
    'listeners: [{direction: outbound, address: 0, service: ap}]\nservices: {app: {identity: "spiffe://a/b"}}\n',
    /`ap` is not under `services` \(did you mean `app`\?\)/,
  ],
  [
    'an inbound listener without an application',
    'listeners: [{direction: inbound, address: 0}]\n',
    /says in `app` where the application listens/,
  ],
  ['a port that is none', 'listeners: [{direction: ingress, address: "127.0.0.1:99999"}]\n', /a port from 0 to 65535/],
  ['an identity that is none', 'listeners: [{direction: forward, address: 0}]\nservices: {app: {identity: web}}\n', /a SPIFFE id such as/],
  [
    'a policy with an error',
    'listeners: [{direction: forward, address: 0}]\n---\napiVersion: meshctl.dev/v1\nkind: Policy\nallow: [{"web -> app": GET}]\n',
    /bad\.yaml:8:\d+.*GET.*no path/s,
  ],
] as const) {
  test(`refuses ${title} with exit 2, and with its place`, async () => {
    await using bench = new Bench();
    const head = 'apiVersion: meshctl.dev/v1\nkind: Proxy\nidentity: {certFile: app.crt, keyFile: app.key, bundleFile: ca.crt}\n';
    bench.write('bad.yaml', head + text);
    const result = await bench.run(['proxy', 'run', '-f', 'bad.yaml']);
    assert.equal(result.code, 2, result.stderr);
    assert.match(result.stderr, expected);
    assert.match(result.stderr, /bad\.yaml:\d+:\d+/);
  });
}

test('refuses an identity that is missing, unreadable or does not fit; --dry-run checks and starts nothing', async () => {
  await using bench = new Bench();
  bench.write('ok.yaml', inbound(1, ALLOW));
  const fine = await bench.run(['proxy', 'run', '-f', 'ok.yaml', '--dry-run']);
  assert.deepEqual([fine.code, fine.stdout], [0, `ok.yaml is fine: ${APP}, 1 listener\n`]);
  bench.write('app.key', issueFor(ca, service('app')).key);
  const foreign = await bench.run(['proxy', 'run', '-f', 'ok.yaml']);
  assert.deepEqual([foreign.code, /does not belong to the certificate.*PROXY_IDENTITY/.test(foreign.stderr)], [2, true], foreign.stderr);
  bench.write('app.crt', 'no certificate');
  assert.match((await bench.run(['proxy', 'run', '-f', 'ok.yaml'])).stderr, /no certificate of a workload.*PROXY_IDENTITY/s);
  assert.equal((await bench.run(['proxy', 'run'])).code, 2);
  assert.equal((await bench.run(['proxy', 'run', '-f', 'none.yaml'])).code, 2);
  assert.deepEqual(readdirSync(join(bench.directory, 'tmp')), []);
});

test('a port that is in use is exit 1 with its purpose', async () => {
  await using app = await startApp();
  await using bench = new Bench();
  bench.write('in.yaml', inbound(app.port, ALLOW).replace('address: 0', `address: ${app.port}`));
  const result = await bench.run(['proxy', 'run', '-f', 'in.yaml']);
  assert.deepEqual([result.code, /port \d+ \(mTLS in front of app\) is in use/.test(result.stderr)], [1, true], result.stderr);
});
