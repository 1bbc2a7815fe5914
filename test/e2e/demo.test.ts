// The main job, as `npm start` runs it: the whole shop, without a terminal, ends by itself with a summary.
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { LAUNCHER, Workplace } from '../support/cli.ts';
import { call } from '../support/test-mesh.ts';

interface Hop {
  to: string;
  verdict: string;
  rule: string;
  callerId: string | null;
}

test('runs, prints signals, ends with a summary, and leaves nothing behind', async () => {
  await using work = new Workplace();
  const result = await work.run(['demo', '--duration', '7s', '--load', '20']);
  assert.equal(result.code, 0, result.stderr);
  const { stdout } = result;
  for (const service of ['ingress', 'web', 'orders', 'inventory', 'payments', 'reviews', 'ledger'])
    assert.match(stdout, new RegExp(`^${service} +\\d/\\d +\\d`, 'm'));
  assert.match(stdout, /8 of 8 proxies answered; 0 spans dropped/);
  assert.match(stdout, /One request\ntrace [0-9a-f]{32} {2}request [0-9a-f-]{36}\n/);
  for (const hop of ['outside → ingress-0', 'ingress → web-0', 'web → orders-0', 'orders → payments-0', 'orders → inventory-'])
    assert.ok(stdout.includes(hop), hop);
  assert.match(
    stdout,
    /One denial\nspiffe:\/\/shop\.local\/ns\/default\/sa\/reviews → payments GET \/buyers: 403, tier floor: high accepts from high, caller is low/,
  );
  assert.match(stdout, /Certificates in use\n[\s\S]*ledger-0 +spiffe:/);
  assert.deepEqual(readdirSync(join(work.directory, 'home', 'meshctl')), ['meshes']);
  assert.deepEqual(readdirSync(join(work.directory, 'home', 'meshctl', 'meshes')), []);
});

test('in the background: found without being named, and every headline command works on it', async () => {
  await using work = new Workplace();
  const up = await work.json<{ ingressUrl: string; stateDir: string; pid: number }>(['demo', '-d', '--load', '20']);
  const answer = await call(Number(new URL(up.ingressUrl).port), '/checkout');
  const id = String(answer.headers['x-request-id']);
  const trace = await work.json<{ kind: string; hops: Hop[]; complete: boolean }>(['trace', id]);
  assert.equal(trace.kind, 'Trace');
  assert.equal(trace.complete, true);
  const hops = trace.hops.map((hop) => hop.to);
  for (const service of ['ingress', 'web', 'orders', 'inventory', 'payments'])
    assert.ok(hops.includes(service), `${service} in ${hops.join()}`);
  assert.ok(trace.hops.every((hop) => hop.verdict === 'allowed' && hop.rule !== ''));
  const product = await call(Number(new URL(up.ingressUrl).port), '/product/17');
  const denied = (await work.json<{ hops: Hop[] }>(['trace', String(product.headers['x-request-id'])])).hops.at(-1);
  assert.deepEqual([denied?.to, denied?.verdict, denied?.callerId], ['payments', 'denied', 'spiffe://shop.local/ns/default/sa/reviews']);
  const unknown = await work.run(['trace', '00000000-0000-4000-8000-000000000000']);
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /no trace or request has the id[\s\S]*x-request-id/);
  const stat = await work.json<{
    rows: { service: string; requestsPerSecond: number; cpuPercent: number | null; memoryBytes: number | null; inFlight: number | null }[];
  }>(['stat']);
  const web = stat.rows.find((row) => row.service === 'web');
  assert.ok(web !== undefined && web.requestsPerSecond > 0 && web.inFlight !== null);
  if (process.platform === 'linux') assert.ok((web.memoryBytes ?? 0) > 1_000_000 && web.cpuPercent !== null);
  const lines = (await work.run(['top', '--count', '2', '--interval', '200ms', '-o', 'json'])).stdout.trim().split('\n');
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as { kind: string }).kind),
    ['Stat', 'Stat'],
  );
  assert.equal((await work.run(['proxy', 'status'])).code, 0);
  assert.match((await work.run(['logs', 'orders'])).stdout, /orders-0 +POST \/orders 200 request=/);
  assert.match(
    (await work.run(['logs', 'payments', '--proxy'])).stdout,
    /denied spiffe:\/\/shop\.local\/ns\/default\/sa\/reviews GET \/buyers: tier floor/,
  );
  const second = await work.json<{ stateDir: string }>(['demo', '-d', '--load', '0']);
  const chosen = await work.run(['status']);
  assert.match(chosen.stderr, /2 demos are running; this is the newest/);
  assert.match(chosen.stderr, new RegExp(second.stateDir));
  assert.equal((await work.run(['down'])).code, 0);
  assert.equal((await work.run(['down'])).code, 0);
  assert.ok(!existsSync(up.stateDir) && !existsSync(second.stateDir));
});

test('SIGTERM and Ctrl-C end it cleanly: exit 0, nothing left', async () => {
  await using work = new Workplace();
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    const code = await new Promise((resolve) => {
      const child = execFile(process.execPath, [LAUNCHER, 'demo', '--duration', '0'], { cwd: work.directory, env: work.env }, (error) =>
        resolve(error === null ? 0 : (error.code ?? error.signal)),
      );
      child.stdout?.once('data', () => child.kill(name));
    });
    assert.equal(code, 0, name);
    assert.deepEqual(readdirSync(join(work.directory, 'home', 'meshctl')), ['meshes']);
  }
});

test('a reader that goes away ends it cleanly: nothing is left', async () => {
  await using work = new Workplace();
  spawnSync('bash', ['-c', '"$0" "$1" demo --duration 0 | head -n 1', process.execPath, LAUNCHER], {
    cwd: work.directory,
    env: work.env,
    timeout: 40_000,
  });
  assert.deepEqual(readdirSync(join(work.directory, 'home', 'meshctl')), ['meshes']);
});

const HAS_TMUX = spawnSync('tmux', ['-V']).status === 0;

test('on a terminal it goes into the live screen; q quits and stops everything', { skip: !HAS_TMUX && 'tmux is not here' }, async () => {
  await using work = new Workplace();
  const socket = join(work.directory, 'tmux');
  const tmux = (...args: string[]): string =>
    execFileSync('tmux', ['-S', socket, ...args], { encoding: 'utf8', env: { ...work.env, TERM: 'xterm-256color', LC_ALL: 'C.UTF-8' } });
  tmux('-u', 'new-session', '-d', '-x', '120', '-y', '30', `${process.execPath} ${LAUNCHER} demo; echo "ended with $?"; sleep 30`);
  const screen = async (wanted: RegExp, ms: number): Promise<string> => {
    const end = Date.now() + ms;
    for (;;) {
      const text = tmux('capture-pane', '-p');
      if (wanted.test(text)) return text;
      if (Date.now() >= end) assert.fail(`the screen never showed ${wanted}:\n${text}`);
      await new Promise((done) => setTimeout(done, 100));
    }
  };
  const text = await screen(/payments +1\/1 +[1-9]/, 20_000);
  assert.match(text, /meshctl top {2}demo shop {2}ingress http:\/\/127\.0\.0\.1:\d+/);
  assert.match(text, /NAME +READY +RPS +SUCCESS +DENIED\/S +P50 +P95 +P99 +CPU +MEM +IN-FLIGHT/);
  tmux('send-keys', 'p');
  await screen(/PAUSED/, 5000);
  tmux('send-keys', 'q');
  await screen(/ended with 0/, 15_000);
  tmux('kill-server');
  assert.deepEqual(readdirSync(join(work.directory, 'home', 'meshctl')), ['meshes']);
});
