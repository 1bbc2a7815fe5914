// The SPIFFE Workload API as a service sees it: an identity of its own, kept fresh, for its own processes and nobody else's.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Result, Workplace } from '../support/cli.ts';

const LINUX = { skip: process.platform !== 'linux' && 'peer credentials are Linux' };
const CLIENT = fileURLToPath(new URL('../support/workload.ts', import.meta.url));

interface Answer {
  readonly code?: number;
  readonly details?: string;
  readonly svids?: readonly { spiffeId: string; chain: string; key: string; bundle: string; keyHash: string }[];
  readonly bundles?: readonly string[];
  readonly federated?: readonly string[];
}

/** The service starts the client as a child of its own, in its process group or out of it, and keeps what it prints. */
const SERVICE = `
const { spawn } = require('child_process');
const fs = require('fs');
const run = (name, detached) => {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', process.env.CLIENT, process.env.SPIFFE_ENDPOINT_SOCKET, name.split('-')[0]], { detached, stdio: ['ignore', fs.openSync(name + '.out', 'w'), 'inherit'] });
  if (detached) child.unref();
};
run('svid-child', false);
run('svid-detached', true);
run('bundles-child', false);
require('http').createServer((q, s) => s.end('ok')).listen(process.env.PORT, '127.0.0.1');
`;
const MESH = `apiVersion: meshctl.dev/v1
kind: Mesh
name: work
services:
  asks: {command: [node, service.js], workloadApi: true, env: {CLIENT: ${JSON.stringify(CLIENT)}}}
  silent: {command: [node, plain.js]}
`;

function makePlace(): Workplace {
  const place = new Workplace();
  place.write('service.js', SERVICE);
  place.write(
    'plain.js',
    "require('http').createServer((q, s) => s.end(String(process.env.SPIFFE_ENDPOINT_SOCKET))).listen(process.env.PORT, '127.0.0.1');",
  );
  place.write('mesh.yaml', MESH.replaceAll('[node,', `[${process.execPath},`));
  return place;
}

const answers = (place: Workplace, name: string): Answer[] => {
  const file = join(place.directory, `${name}.out`);
  return existsSync(file)
    ? readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Answer)
    : [];
};

async function until<T>(what: string, look: () => T | undefined): Promise<T> {
  const end = Date.now() + 20_000;
  for (;;) {
    const found = look();
    if (found !== undefined) return found;
    if (Date.now() > end) assert.fail(`not in time: ${what}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

/** The same client, as a stranger. */
function ask(socketPath: string, what: string, metadata = 'yes'): Promise<Answer> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', CLIENT, `unix://${socketPath}`, what, metadata], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    createInterface({ input: child.stdout }).once('line', (line) => {
      resolve(JSON.parse(line) as Answer);
      child.kill();
    });
  });
}

const run = (place: Workplace, ...args: string[]): Promise<Result> => place.run(args);

test('a service gets an identity of its own, follows every change of it, and a stranger gets none', LINUX, async () => {
  await using place = makePlace();
  const up = await place.json<{ stateDir: string }>(['up', '-d']);
  const socketPath = join(up.stateDir, 'run/w/asks-0.sock');
  const first = await until('an SVID', () => answers(place, 'svid-child')[0]?.svids?.[0]);
  assert.equal(first.spiffeId, 'spiffe://work.local/ns/default/sa/asks');
  const leaf = new X509Certificate(Buffer.from(first.chain, 'base64'));
  assert.ok(leaf.checkPrivateKey(createPrivateKey({ key: Buffer.from(first.key, 'base64'), format: 'der', type: 'pkcs8' })));
  const root = new X509Certificate(Buffer.from(first.bundle, 'base64'));
  assert.equal(root.toString().trim(), readFileSync(join(up.stateDir, 'ca/root-1.pem'), 'utf8').trim());
  // A process that left the group still descends from the service; both have the one identity of the instance.
  const detached = await until('an SVID for a process of its own group', () => answers(place, 'svid-detached')[0]?.svids?.[0]);
  assert.equal(detached.spiffeId, first.spiffeId);
  assert.deepEqual((await until('bundles', () => answers(place, 'bundles-child')[0])).bundles, ['spiffe://work.local']);
  const { items } = await place.json<{ items: { channel: string; service: string; serial: string }[] }>(['certs', 'list']);
  const serialOf = (channel: string): string => items.find((item) => item.channel === channel && item.service === 'asks')?.serial ?? '';
  assert.equal(serialOf('workload-api'), leaf.serialNumber.toLowerCase());
  assert.notEqual(serialOf('proxy'), serialOf('workload-api'), "never the proxy's own");
  assert.equal(statSync(socketPath).mode & 0o777, 0o600);

  const stranger = await ask(socketPath, 'svid');
  assert.deepEqual([stranger.code, stranger.svids], [7, undefined], 'PermissionDenied');
  assert.equal((await ask(socketPath, 'bundles')).code, 7);
  assert.equal((await ask(socketPath, 'svid', 'no')).code, 3, 'InvalidArgument without the metadata');

  const count = answers(place, 'svid-child').length;
  const rotated = await run(place, 'certs', 'rotate', 'root');
  assert.equal(rotated.code, 0, rotated.stderr);
  const last = await until('one of the new root', () => {
    const all = answers(place, 'svid-child');
    const svid = all.at(-1)?.svids?.[0];
    return all.length > count && svid?.bundle === rootOf(up.stateDir, 'root-2') ? svid : undefined;
  });
  assert.notEqual(last.keyHash, first.keyHash, 'a new key');

  const serial = new X509Certificate(Buffer.from(last.chain, 'base64')).serialNumber.toLowerCase();
  assert.equal((await run(place, 'certs', 'revoke', serial)).code, 0);
  await until('another for the revoked one', () =>
    answers(place, 'svid-child').at(-1)?.svids?.[0]?.keyHash !== last.keyHash ? true : undefined,
  );
  assert.equal((await run(place, 'certs', 'revoke', 'asks')).code, 0);
  assert.equal((await until('the end of it', () => answers(place, 'svid-child').find(({ code }) => code !== undefined))).code, 7);
  for (const name of ['svid-child', 'svid-detached', 'bundles-child'])
    for (const answer of answers(place, name)) for (const svid of answer.svids ?? []) assert.equal(svid.spiffeId, first.spiffeId);
  const logs = ['workload-api.log', 'control.log', 'asks-0.log']
    .map((name) => readFileSync(join(up.stateDir, 'logs', name), 'utf8'))
    .join('');
  assert.doesNotMatch(logs, /PRIVATE KEY/);
  assert.equal((await run(place, 'down')).code, 0);
  assert.equal(existsSync(socketPath), false);
});

const rootOf = (stateDir: string, name: string): string => {
  const path = join(stateDir, 'ca', `${name}.pem`);
  return existsSync(path) ? new X509Certificate(readFileSync(path)).raw.toString('base64') : '';
};

test(
  'the process that serves it is started again when it dies; a service that did not ask has no socket; garbage does not harm',
  LINUX,
  async () => {
    await using place = makePlace();
    const up = await place.json<{ stateDir: string }>(['up', '-d']);
    await until('an SVID', () => answers(place, 'svid-child')[0]?.svids?.[0]);
    assert.equal(existsSync(join(up.stateDir, 'run/w/silent-0.sock')), false);
    const socketPath = join(up.stateDir, 'run/w/asks-0.sock');
    for (const garbage of [
      'GET / HTTP/1.1\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\u0000\u0000\u0010\u0000'.repeat(50),
      '\u0000'.repeat(100_000),
    ])
      await new Promise<void>((done) => {
        const socket = connect(socketPath, () => socket.end(garbage));
        socket.on('error', () => undefined);
        socket.on('close', () => done());
        socket.resume();
      });
    const pid = (): number =>
      (JSON.parse(readFileSync(join(up.stateDir, 'run/children.json'), 'utf8')) as { pid: number; what: string }[]).find(
        ({ what }) => what === 'workload api',
      )?.pid ?? 0;
    const before = pid();
    process.kill(before, 'SIGKILL');
    await until('another process', () => (pid() !== before && pid() !== 0 ? true : undefined));
    await until('its socket', () => (existsSync(socketPath) ? true : undefined));
    assert.equal((await ask(socketPath, 'svid')).code, 7);
  },
);
