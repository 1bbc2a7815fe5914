// `up`, `status`, `down` and what happens when processes die, as a user sees it.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { processesOf, startTimeOf } from '../../src/platform/node/proc.ts';
import { pairWorkplace, Workplace } from '../support/cli.ts';
import { call, listen } from '../support/test-mesh.ts';

interface Up {
  ingressUrl: string;
  stateDir: string;
  pid: number;
}
interface Status {
  ready: boolean;
  instances: {
    instance: string;
    service: string;
    state: string;
    pid: number;
    proxyPid: number;
    restarts: number;
    lastExit: string | null;
    proxyConnected: boolean;
  }[];
}

const portOf = (up: Up): number => Number(new URL(up.ingressUrl).port);

async function until<T>(look: () => Promise<T | undefined>, ms = 15_000): Promise<T> {
  const end = Date.now() + ms;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() >= end) throw new Error('it did not come about in time');
    await new Promise((done) => setTimeout(done, 50));
  }
}

async function ready(work: Workplace): Promise<Status> {
  return until(async () => {
    const { stdout } = await work.run(['status', '-o', 'json']);
    const status = stdout.startsWith('{') ? (JSON.parse(stdout) as Status) : undefined;
    return status?.ready ? status : undefined;
  });
}

test('runs the commands of a mesh file; a second up tells what changed; down leaves nothing behind', async () => {
  await using work = pairWorkplace();
  const up = await work.json<Up>(['up', '-d']);
  const answer = await call(portOf(up), '/call');
  assert.match(answer.body, /^back-[01] \d+$/);
  const status = await work.json<Status>(['status']);
  assert.deepEqual(
    status.instances.map((each) => each.instance),
    ['ingress-0', 'front-0', 'back-0', 'back-1'],
  );
  assert.equal((await work.run(['trace', String(answer.headers['x-request-id'])])).code, 0);
  assert.match((await work.run(['up'])).stdout, /^already running \(pid \d+\)\n$/);
  work.write(
    'mesh.yaml',
    readFileSync(join(work.directory, 'mesh.yaml'), 'utf8')
      .replace('instances: 2', 'instances: 1')
      .replace('calls: [back]', 'calls: [back], env: {LEVEL: "2"}'),
  );
  assert.equal((await work.run(['up'])).stdout, 'service/front restarted (env changed)\nservice/back scaled from 2 to 1\n');
  const after = await ready(work);
  assert.deepEqual(
    after.instances.map((each) => each.instance),
    ['ingress-0', 'back-0', 'front-0'],
  );
  assert.equal((await call(portOf(up), '/call')).status, 200);
  const pids = [up.pid, ...after.instances.flatMap((each) => [each.pid, each.proxyPid])].filter((pid) => pid !== null);
  assert.equal((await work.run(['down'])).stdout, 'mesh/pair stopped\n');
  assert.deepEqual(
    pids.filter((pid) => startTimeOf(pid) !== undefined),
    [],
  );
  assert.deepEqual(readdirSync(join(work.directory, '.meshctl')).sort(), ['ca', 'db', 'logs', 'policy']);
  assert.equal((await work.run(['down'])).code, 3);
});

test('a service gets what the documents say in its environment, and nothing of our own', async () => {
  await using work = pairWorkplace();
  work.write('env.js', "require('http').createServer((q, s) => s.end(JSON.stringify(process.env))).listen(process.env.PORT, '127.0.0.1');");
  work.write(
    'mesh.yaml',
    readFileSync(join(work.directory, 'mesh.yaml'), 'utf8').replace(
      'front: {command: [node, echo.js], calls: [back]}',
      'front: {command: [node, env.js, "{port}"], calls: [back, some-db], env: {LOG: info}}\n  some-db: {command: [node, echo.js], ports: {sql: {protocol: tcp}}}',
    ),
  );
  const up = await work.json<Up>(['up', '-d']);
  const env = JSON.parse((await call(portOf(up), '/')).body) as Record<string, string>;
  assert.match(env['BACK_URL'] ?? '', /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.match(`${env['SOME_DB_HOST']}:${env['SOME_DB_PORT']}`, /^127\.0\.0\.1:\d+$/);
  assert.match(env['HTTP_PROXY'] ?? '', /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.deepEqual(
    [env['http_proxy'], env['NO_PROXY'], env['NODE_USE_ENV_PROXY'], env['LOG'], env['MESHCTL_INSTANCE']],
    [env['HTTP_PROXY'], 'localhost,127.0.0.1,::1', '1', 'info', 'front-0'],
  );
  assert.equal(env['PORT'], env['PORT_HTTP']);
  assert.deepEqual(
    Object.keys(env)
      .filter((name) => name.startsWith('MESHCTL_'))
      .sort(),
    ['MESHCTL_INSTANCE', 'MESHCTL_OWNER', 'MESHCTL_SERVICE'],
  );
});

test('state is for its owner only, and no key of a proxy is in it', async () => {
  await using work = pairWorkplace();
  await work.json<Up>(['up', '-d']);
  const root = join(work.directory, '.meshctl');
  const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8);
  for (const directory of ['', 'run', 'ca', 'db', 'logs', 'policy']) assert.equal(mode(join(root, directory)), '700', directory);
  for (const key of [
    'ca/root-1-key.pem',
    'ca/peer-1-key.pem',
    'ca/edge-1-key.pem',
    'ca/record.db',
    'ctl.sock',
    'db/control.db',
    'db/telemetry.db',
  ])
    assert.equal(mode(join(root, key)), '600', key);
  const files = (readdirSync(root, { recursive: true }) as string[]).filter((file) => statSync(join(root, file)).isFile());
  const withKeys = files.filter((file) => /PRIVATE KEY/.test(readFileSync(join(root, file), 'latin1')));
  assert.deepEqual(withKeys.sort(), ['ca/edge-1-key.pem', 'ca/peer-1-key.pem', 'ca/root-1-key.pem']);
  for (const { proxyPid } of (await work.json<Status>(['status'])).instances) {
    if (process.platform !== 'linux') break;
    const argv = readFileSync(`/proc/${proxyPid}/cmdline`, 'latin1');
    const environment = readFileSync(`/proc/${proxyPid}/environ`, 'latin1');
    assert.doesNotMatch(argv + environment, /token|[0-9a-f]{64}|PRIVATE/i, 'the join token is neither in argv nor in the environment');
  }
});

test('kill -9 of control, of a proxy and of a service: each is started again, and traffic goes on', async () => {
  await using work = pairWorkplace();
  const up = await work.json<Up>(['up', '-d']);
  const before = await work.json<Status>(['status']);
  const children = JSON.parse(readFileSync(join(up.stateDir, 'run', 'children.json'), 'utf8')) as { pid: number; what: string }[];
  const control = children.find((child) => child.what === 'control')?.pid ?? 0;
  process.kill(control, 'SIGKILL');
  for (let i = 0; i < 20; i++) assert.equal((await call(portOf(up), '/call')).status, 200, 'traffic does not need control');
  await until(async () => ((await work.run(['stat'])).code === 0 ? true : undefined));
  await ready(work);
  const back = before.instances.find((each) => each.instance === 'back-0');
  process.kill(back?.pid ?? 0, 'SIGKILL');
  process.kill(before.instances.find((each) => each.instance === 'back-1')?.proxyPid ?? 0, 'SIGKILL');
  const after = await until(async () => {
    const status = await ready(work);
    // Another process may have taken its port meanwhile: then it takes one more start.
    return (status.instances.find((each) => each.instance === 'back-0')?.restarts ?? 0) >= 1 ? status : undefined;
  });
  assert.notEqual(after.instances.find((each) => each.instance === 'back-0')?.pid, back?.pid);
  const seen = new Set<string>();
  for (let i = 0; i < 30; i++) {
    const answer = await call(portOf(up), '/call');
    assert.equal(answer.status, 200);
    seen.add(answer.body.split(' ')[0] ?? '');
  }
  assert.deepEqual([...seen].sort(), ['back-0', 'back-1']);
});

test('kill -9 of the supervisor: services and proxies go on; the next up ends them and starts anew with the same authority', async () => {
  await using work = pairWorkplace();
  const up = await work.json<Up>(['up', '-d']);
  const before = await work.json<Status>(['status']);
  const root = readFileSync(join(up.stateDir, 'ca', 'root-1.pem'), 'utf8');
  process.kill(up.pid, 'SIGKILL');
  await until(async () => (startTimeOf(up.pid) === undefined ? true : undefined));
  assert.equal((await call(portOf(up), '/call')).status, 200);
  const again = await work.json<Up>(['up', '-d']);
  assert.equal((await call(portOf(again), '/call')).status, 200);
  assert.deepEqual(
    before.instances.flatMap((each) => [each.pid, each.proxyPid]).filter((pid) => pid !== null && startTimeOf(pid) !== undefined),
    [],
  );
  assert.equal(readFileSync(join(up.stateDir, 'ca', 'root-1.pem'), 'utf8'), root);
});

test('kill -9 at whatever moment of the start leaves something that starts again', async () => {
  await using work = pairWorkplace();
  for (const ms of [120, 250, 330, 410, 520, 700]) {
    const starting = work.run(['up', '-d']);
    await new Promise((done) => setTimeout(done, ms));
    const marker = join(work.directory, 'mesh.yaml');
    for (const name of process.platform === 'linux' ? readdirSync('/proc').filter((entry) => /^\d+$/.test(entry)) : []) {
      // The supervisor of this mesh: its command line names the mesh file.
      try {
        if (readFileSync(`/proc/${name}/cmdline`, 'latin1').includes(`\0-f\0${marker}\0`)) process.kill(Number(name), 'SIGKILL');
      } catch {
        // Gone meanwhile.
      }
    }
    await starting;
  }
  const up = await work.json<Up>(['up', '-d']);
  assert.equal((await call(portOf(up), '/call')).status, 200);
  assert.equal((await ready(work)).instances.length, 4);
  const owner = join(work.directory, '.meshctl');
  if (process.platform === 'linux')
    assert.equal(processesOf(owner).length, 8, 'control, 4 proxies and 3 services, and nothing of the earlier ones');
  await work.run(['down']);
  assert.deepEqual(processesOf(owner), []);
});

test('down ends what a killed supervisor left', async () => {
  await using work = pairWorkplace();
  const up = await work.json<Up>(['up', '-d']);
  const { instances } = await work.json<Status>(['status']);
  process.kill(up.pid, 'SIGKILL');
  await until(async () => (startTimeOf(up.pid) === undefined ? true : undefined));
  assert.equal((await work.run(['down'])).code, 0);
  assert.deepEqual(
    instances.flatMap((each) => [each.pid, each.proxyPid]).filter((pid) => pid !== null && startTimeOf(pid) !== undefined),
    [],
  );
});

test('a lock and records of processes that are gone do not keep a mesh from starting', async () => {
  await using work = pairWorkplace();
  work.write('.meshctl/lock', JSON.stringify({ pid: process.pid, startTime: '1' }));
  work.write(
    '.meshctl/run/children.json',
    JSON.stringify([{ pid: process.pid, startTime: '1', what: 'somebody else by now', group: false }]),
  );
  work.write('.meshctl/run/supervisor.json', '{"schemaVersion": 1, "proc');
  const up = await work.json<Up>(['up', '-d']);
  assert.equal((await call(portOf(up), '/')).status, 200);
});

test('says what is in the way: an ingress port in use', async () => {
  await using work = pairWorkplace();
  const holder = createServer();
  const port = await listen(holder);
  work.write('mesh.yaml', readFileSync(join(work.directory, 'mesh.yaml'), 'utf8').replace('port: 0', `port: ${port}`));
  const result = await work.run(['up', '-d']);
  assert.equal(result.code, 1);
  assert.match(result.stderr, new RegExp(`port ${port} \\(ingress\\) is in use \\(PORT_IN_USE\\)`));
  assert.equal((await work.run(['status'])).code, 3, 'nothing is left running');
  holder.close();
});

for (const [title, command, expected] of [
  ['a command that does not exist', '[no-such-command]', /cannot start: no command `no-such-command`/],
  ['a service that ends at once', "[node, -e, 'process.exit(3)']", /the service ended \(exit 3\); tried again in/],
  [
    'a service that never listens',
    "[node, -e, 'setInterval(() => 0, 1000)'], ready: {timeout: 300ms}",
    /not ready within 0\.3s: nothing answers on port \d+ \(\$PORT\)/,
  ],
  ['a directory that does not exist', '[node, echo.js], cwd: ./nowhere', /the directory .*nowhere does not exist/],
] as const) {
  test(`says what is in the way: ${title}`, async () => {
    await using work = pairWorkplace();
    work.write(
      'mesh.yaml',
      readFileSync(join(work.directory, 'mesh.yaml'), 'utf8').replace(
        'back: {command: [node, echo.js], instances: 2}',
        `back: {command: ${command}}`,
      ),
    );
    const result = await work.run(['up', '-d', '--timeout', '2500ms']);
    assert.equal(result.code, 3);
    assert.match(result.stderr, expected);
    assert.match(result.stderr, /NOT_READY/);
  });
}

test('another mesh file on the same state directory is refused and names the owner', async () => {
  await using work = pairWorkplace();
  const up = await work.json<Up>(['up', '-d']);
  work.write('other/mesh.yaml', readFileSync(join(work.directory, 'mesh.yaml'), 'utf8'));
  work.write('other/policy.yaml', readFileSync(join(work.directory, 'policy.yaml'), 'utf8'));
  const result = await work.run(['up', '-f', 'other/mesh.yaml', '--state', '.meshctl']);
  assert.equal(result.code, 1);
  assert.match(result.stderr, new RegExp(`belongs to the mesh of .*mesh\\.yaml \\(pid ${up.pid}\\)`));
});

test('keys that others can read are refused with the command that mends it', async () => {
  await using work = pairWorkplace();
  await work.json<Up>(['up', '-d']);
  await work.run(['down']);
  const { chmodSync } = await import('node:fs');
  chmodSync(join(work.directory, '.meshctl/ca/peer-1-key.pem'), 0o644);
  const result = await work.run(['up', '-d']);
  assert.notEqual(result.code, 0);
  assert.match(result.stderr, /chmod 600|others can read the key/);
});

test('a policy that was applied survives a restart, and --reset-policy takes the file again', async () => {
  await using work = pairWorkplace();
  let up = await work.json<Up>(['up', '-d']);
  writeFileSync(join(work.directory, 'closed.yaml'), 'apiVersion: meshctl.dev/v1\nkind: Policy\nallow:\n  - ingress -> front: GET /only\n');
  const applied = await work.run(['policy', 'apply', 'closed.yaml', '--message', 'close']);
  assert.equal(applied.stdout, 'policy/2 applied\n');
  assert.equal((await call(portOf(up), '/')).status, 403);
  await work.run(['down']);
  up = await work.json<Up>(['up', '-d']);
  assert.equal((await call(portOf(up), '/')).status, 403);
  await work.run(['down']);
  up = await work.json<Up>(['up', '-d', '--reset-policy']);
  assert.equal((await call(portOf(up), '/')).status, 200);
  assert.match((await work.run(['policy', 'history'])).stdout, /2 .*close[\s\S]*3 .*from the mesh file/);
});

test('a policy with errors is not applied, and the one in force stays', async () => {
  await using work = pairWorkplace();
  const up = await work.json<Up>(['up', '-d']);
  work.write('bad.yaml', 'apiVersion: meshctl.dev/v1\nkind: Policy\nallow:\n  - ingress -> frnt: any\n');
  const result = await work.run(['policy', 'apply', 'bad.yaml']);
  assert.equal(result.code, 1);
  assert.match(result.stdout, /not applied: 1 error/);
  assert.match(result.stderr, /bad\.yaml:4:16 .*unknown-service[\s\S]*did you mean `front`/);
  assert.equal((await call(portOf(up), '/')).status, 200);
  assert.equal((await work.run(['policy', 'apply', 'policy.yaml', '--dry-run'])).code, 0);
});

test('issues certificates to files that a service can use, keys 0600, and swaps them whole', async () => {
  await using work = pairWorkplace();
  await work.json<Up>(['up', '-d']);
  for (let i = 0; i < 3; i++) assert.equal((await work.run(['certs', 'issue', 'front', '--out', 'certs', '--ttl', '1h'])).code, 0);
  const directory = join(work.directory, 'certs', 'front');
  assert.deepEqual(readdirSync(directory).sort(), ['bundle.pem', 'chain.pem', 'key.pem', 'leaf.pem']);
  assert.equal((statSync(join(directory, 'key.pem')).mode & 0o777).toString(8), '600');
  assert.equal(
    readdirSync(join(work.directory, 'certs')).filter((name) => name.startsWith('.front.')).length,
    2,
    'the version before is kept, older ones go',
  );
  const { items } = await work.json<{ items: { type: string; spiffeId?: string; ca?: boolean }[] }>([
    'certs',
    'inspect',
    'certs/front/chain.pem',
    'certs/front/key.pem',
    'certs/front/bundle.pem',
  ]);
  assert.deepEqual(
    items.map((item) => [item.type, item.spiffeId, item.ca]),
    [
      ['certificate', 'spiffe://pair.local/ns/default/sa/front', false],
      ['certificate', 'spiffe://pair.local', true],
      ['private-key', undefined, undefined],
      ['certificate', 'spiffe://pair.local', true],
    ],
  );
  const noKey = await work.run(['certs', 'issue', 'front', '-o', 'json']);
  assert.doesNotMatch(noKey.stdout, /PRIVATE KEY/);
  for (const [name, code] of [
    ['Front', 2],
    ['spiffe://other.org/ns/default/sa/front', 2],
    ['a/b/c', 2],
    ['../x', 2],
  ] as const) {
    assert.equal((await work.run(['certs', 'issue', name, '--out', 'certs'])).code, code, name);
  }
  assert.equal((await work.run(['certs', 'issue', 'front', '--out', 'certs', '--ttl', '1s'])).code, 2);
  assert.equal((await work.run(['certs', 'issue', 'front'])).code, 2, 'the key has to go somewhere');
  const listed = await work.json<{ items: { channel: string }[] }>(['certs', 'list']);
  assert.deepEqual(
    ['proxy', 'file'].map((channel) => listed.items.filter((item) => item.channel === channel).length),
    [4, 4],
  );
});

test('`init` writes a mesh that `up` runs', async () => {
  await using work = new Workplace();
  assert.equal((await work.run(['init', 'shop'])).code, 0);
  const again = await work.run(['init', 'shop']);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /there already/);
  const file = join(work.directory, 'shop', 'mesh.yaml');
  assert.equal((await work.run(['policy', 'lint', 'shop/policy.yaml'])).code, 0);
  writeFileSync(file, readFileSync(file, 'utf8').replace('port: 8080', 'port: 0'));
  const up = JSON.parse((await work.run(['up', '-d', '-f', 'shop/mesh.yaml', '-o', 'json'])).stdout) as Up;
  const page = await call(portOf(up), '/');
  assert.equal(page.status, 200);
  assert.doesNotMatch(page.body, /meshctl\//, 'the state directory is not served');
  assert.ok((await call(portOf(up), '/.meshctl/ca/root-1-key.pem')).status >= 400);
  assert.equal((await work.run(['down', '--state', 'shop/.meshctl'])).code, 0);
  assert.ok(existsSync(join(work.directory, 'shop', '.meshctl', 'ca')));
});
