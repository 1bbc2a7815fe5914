// The root and the intermediate are exchanged while traffic goes on, by the commands that an operator uses.
import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeSpiffeId } from '../../src/mesh/identity.ts';
import { AuthorityFiles } from '../../src/platform/local/authority-files.ts';
import { issueFor, testAuthorityOf } from '../support/ca.ts';
import { pairWorkplace, type Workplace } from '../support/cli.ts';
import { present } from '../support/mutual.ts';
import { call } from '../support/test-mesh.ts';

interface Up {
  readonly ingressUrl: string;
  readonly stateDir: string;
}

/** Requests through ingress and two services until it is told to stop; what was not 200 is kept. */
function load(url: string): { stop: () => Promise<{ answered: number; lost: string[] }> } {
  const port = Number(new URL(url).port);
  let running = true;
  let answered = 0;
  const lost: string[] = [];
  const client = async (): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    while (running) {
      const { status, headers } = await call(port, '/call', { agent });
      if (status === 200) answered++;
      else lost.push(`${status} ${headers['x-meshctl-refusal']}`);
    }
    agent.destroy();
  };
  const clients = Promise.all(Array.from({ length: 4 }, client));
  return {
    stop: async () => {
      running = false;
      await clients;
      return { answered, lost };
    },
  };
}

const rotate = (work: Workplace, ...args: string[]) => work.run(['certs', 'rotate', ...args]);
const authorityIn = (up: Up) => {
  const files = new AuthorityFiles(join(up.stateDir, 'ca'));
  const state = files.load();
  const keys = new Map(
    state.certificates.flatMap(({ name }) => {
      const pem = files.readKey(name);
      return pem === undefined ? [] : [[name, createPrivateKey(pem)] as const];
    }),
  );
  return testAuthorityOf({ state, keys });
};
const FRONT = makeSpiffeId('pair.local', 'default', 'front');
const plan = async (work: Workplace): Promise<string[]> =>
  (await work.json<{ steps: { state: string }[] }>(['certs', 'rotate', 'root', '--plan'])).steps.map(({ state }) => state);
const generations = async (work: Workplace): Promise<Set<number>> =>
  new Set((await work.json<{ items: { generation: number }[] }>(['certs', 'list'])).items.map(({ generation }) => generation));
const rootCount = async (work: Workplace): Promise<number> =>
  (await work.run(['certs', 'bundle'])).stdout.split('BEGIN CERTIFICATE').length - 1;
/** An inbound port of `back`. */
const backPort = async (work: Workplace): Promise<number> => {
  const config = await work.json<{ upstreams: { service: string; endpoints: { port: number }[] }[] }>(['proxy', 'config', 'front-0']);
  return config.upstreams.find(({ service }) => service === 'back')?.endpoints[0]?.port ?? 0;
};

test('the root is rotated step by step under load, and no request fails; afterwards the old root is worth nothing', async () => {
  await using work = pairWorkplace();
  const up = await work.json<Up>(['up', '-d']);
  const old = authorityIn(up);
  const front = issueFor(old, FRONT);
  const credential = { key: front.key, cert: front.chain, ca: undefined };
  const port = await backPort(work);
  const asked = 'GET /called HTTP/1.1\r\nHost: back\r\nConnection: close\r\n\r\n';
  assert.match(await present(port, credential, asked), /^HTTP\/1\.1 200/);
  const traffic = load(up.ingressUrl);
  assert.deepEqual(await plan(work), ['next', 'later', 'later']);
  assert.equal(await rootCount(work), 1);
  const trusted = await rotate(work, 'root', '--step');
  assert.equal(trusted.code, 0, trusted.stderr);
  assert.match(trusted.stdout, /^√ trust .*root-2.*\(4 proxies, 9 handshakes/);
  assert.deepEqual(await plan(work), ['done', 'next', 'later']);
  assert.equal(await rootCount(work), 2);
  assert.deepEqual(await generations(work), new Set([1]), 'the old still signs');
  const signed = await rotate(work, 'root', '--step');
  assert.equal(signed.code, 0, signed.stderr);
  assert.deepEqual(await generations(work), new Set([2]));
  assert.deepEqual(await plan(work), ['done', 'done', 'next']);
  assert.match(await present(port, credential, asked), /^HTTP\/1\.1 200/, 'who has nothing newer is still believed');
  const dropped = await rotate(work, 'root', '--step');
  assert.equal(dropped.code, 0, dropped.stderr);
  assert.equal(await rootCount(work), 1);
  assert.deepEqual(await plan(work), ['next', 'later', 'later']);
  const { answered, lost } = await traffic.stop();
  assert.deepEqual(lost, []);
  assert.ok(answered > 100, `${answered} requests`);
  assert.equal(await present(port, credential, asked), '');
  const after = authorityIn(up);
  assert.deepEqual(
    after.created.state.certificates.map(({ name }) => name),
    ['root-2', 'peer-2', 'edge-2'],
  );
  const again = await rotate(work, 'root');
  assert.equal(again.code, 0, again.stderr);
  assert.match(again.stdout, /√ trust[\s\S]*√ sign[\s\S]*√ drop/, 'a second one is possible');
});

test('a certificate that somebody may still use keeps the old root, and is named; --accept-loss is a decision', async () => {
  await using work = pairWorkplace();
  await work.json<Up>(['up', '-d']);
  assert.equal((await work.run(['certs', 'issue', 'front', '--out', 'certs', '--ttl', '1h'])).code, 0);
  const refused = await rotate(work, 'root');
  assert.equal(refused.code, 1);
  assert.match(refused.stdout, /√ trust[\s\S]*√ sign/);
  assert.match(
    refused.stderr,
    /1 unexpired certificates below root-1 may still be in use: spiffe:\/\/pair\.local\/ns\/default\/sa\/front \(file, /,
  );
  const waits = await rotate(work, 'root', '--plan');
  assert.match(waits.stdout, /drop {5}root-1 is trusted no more[\s\S]*front \(file[\s\S]*from then on root-1 can go without loss/);
  assert.equal(await rootCount(work), 2);
  // Renewed below the new root nothing keeps the old one any more.
  assert.equal((await work.run(['certs', 'renew', 'certs/front', '--force'])).code, 0);
  const dropped = await rotate(work, 'root');
  assert.equal(dropped.code, 0, dropped.stderr);
  assert.match(dropped.stdout, /^√ drop/);
  const { stdout } = await work.run(['certs', 'verify', 'certs/front/chain.pem', '--roots', 'certs/front/bundle.pem']);
  assert.match(stdout, /valid/);
  await rotate(work, 'root');
  const lossy = await rotate(work, 'root', '--accept-loss');
  assert.equal(lossy.code, 0, lossy.stderr);
  assert.match(lossy.stdout, /lost: spiffe:\/\/pair\.local\/ns\/default\/sa\/front/);
});

test('a rotation is taken back from either of its first two steps, under load', async () => {
  await using work = pairWorkplace();
  const up = await work.json<Up>(['up', '-d']);
  const traffic = load(up.ingressUrl);
  const root = readFileSync(join(up.stateDir, 'ca', 'root-1.pem'), 'utf8');
  for (const steps of [1, 2]) {
    for (let i = 0; i < steps; i++) assert.equal((await rotate(work, 'root', '--step')).code, 0);
    const back = await rotate(work, 'root', '--rollback');
    assert.equal(back.code, 0, back.stderr);
    assert.equal((await work.run(['certs', 'bundle'])).stdout, root);
    assert.deepEqual(await generations(work), new Set([1]));
  }
  const { lost } = await traffic.stop();
  assert.deepEqual(lost, []);
  const nothing = await rotate(work, 'root', '--rollback');
  assert.deepEqual([nothing.code, /nothing to take back/.test(nothing.stderr)], [1, true]);
});

test('control is killed in the middle of a rotation: it goes on where it was', async () => {
  await using work = pairWorkplace();
  const up = await work.json<Up>(['up', '-d']);
  assert.equal((await rotate(work, 'root', '--step')).code, 0);
  const children = JSON.parse(readFileSync(join(up.stateDir, 'run', 'children.json'), 'utf8')) as { pid: number; what: string }[];
  process.kill(children.find(({ what }) => what === 'control')?.pid ?? 0, 'SIGKILL');
  const rest = await rotate(work, 'root');
  assert.equal(rest.code, 0, rest.stderr);
  assert.match(rest.stdout, /^√ sign[\s\S]*√ drop/);
  assert.equal((await call(Number(new URL(up.ingressUrl).port), '/call')).status, 200);
});

test('the intermediate is rotated under load; in an emergency the old one is worth nothing at once', async () => {
  await using work = pairWorkplace();
  const up = await work.json<Up>(['up', '-d']);
  const traffic = load(up.ingressUrl);
  const stolen = authorityIn(up);
  const port = await backPort(work);
  const asked = 'GET /called HTTP/1.1\r\nHost: back\r\nConnection: close\r\n\r\n';
  const forged = (): Promise<string> => {
    const { key, chain } = issueFor(stolen, FRONT);
    return present(port, { key, cert: chain }, asked);
  };
  const plain = await rotate(work, 'intermediate');
  assert.equal(plain.code, 0, plain.stderr);
  assert.deepEqual(await generations(work), new Set([2]));
  assert.match(await forged(), /^HTTP\/1\.1 200/, 'the one before is believed while what it signed is valid');
  const { answered, lost } = await traffic.stop();
  assert.deepEqual([lost, answered > 20], [[], true]);
  const emergency = await rotate(work, 'intermediate', '--emergency');
  assert.equal(emergency.code, 0, emergency.stderr);
  assert.equal(await forged(), '');
  assert.equal((await call(Number(new URL(up.ingressUrl).port), '/call')).status, 200);
  assert.equal(await rootCount(work), 1);
  // Whoever reads the root's list knows as well.
  const chain = issueFor(stolen, FRONT).chain;
  work.write('forged.pem', chain);
  assert.equal((await work.run(['certs', 'crl', '--out', 'crl'])).code, 0);
  work.write('bundle.pem', (await work.run(['certs', 'bundle'])).stdout);
  const verdict = await work.run(['certs', 'verify', 'forged.pem', '--roots', 'bundle.pem', '--crl', 'crl/root-1.crl']);
  assert.equal(verdict.code, 1);
  assert.match(verdict.stdout, /revoked/);
});

test('leaves are rotated by name, and what cannot be is said', async () => {
  await using work = pairWorkplace();
  await work.json<Up>(['up', '-d']);
  const { items } = await work.json<{ items: { instance: string; before: string; after: string }[] }>(['certs', 'rotate', 'leaf', 'back']);
  assert.deepEqual(
    items.map(({ instance, before, after }) => [instance, before !== after && after !== null]),
    [
      ['back-0', true],
      ['back-1', true],
    ],
  );
  for (const [args, code, says] of [
    [['leaf', 'nobody'], 1, /no service or instance/],
    [['leaves'], 2, /leaf, intermediate or root/],
    [['root', 'back'], 2, /for `rotate leaf` only/],
    [['root', '--emergency'], 2, /stolen intermediate/],
    [['root', '--root-key', 'gone.pem', '--root-cert', 'gone.pem'], 2, /no such file/],
    [['intermediate', '--root-key', 'echo.js'], 2, /others can read|no private key/],
    [['intermediate', '--key-type', 'rsa1024'], 2, /not known/],
  ] as const) {
    const result = await rotate(work, ...args);
    assert.equal(result.code, code, `${args.join(' ')}: ${result.stderr}`);
    assert.match(result.stderr, says);
  }
});
