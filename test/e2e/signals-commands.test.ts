// The commands about golden signals, as processes against a mesh: stat, routes, watch, top, tap, metrics.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { LAUNCHER, pairWorkplace } from '../support/cli.ts';

const SENT = 24;
const place = pairWorkplace();
let ingress = '';

before(async () => {
  ({ ingressUrl: ingress } = await place.json<{ ingressUrl: string }>(['up', '-d']));
  for (let i = 0; i < SENT; i++) await (await fetch(`${ingress}/call`)).arrayBuffer();
  await (await fetch(`${ingress}/items/4711`)).arrayBuffer();
  for (;;) {
    const { rows, window } = await stat(['--window', '1m']);
    const front = rows.find(({ service }) => service === 'front');
    if (Math.round((front?.requestsPerSecond ?? 0) * window.seconds) === SENT + 1) break;
  }
});
after(async () => {
  await place[Symbol.asyncDispose]();
});

interface StatDocument {
  readonly window: { readonly seconds: number };
  readonly rows: readonly { readonly service: string; readonly route?: string; readonly requestsPerSecond: number }[];
  readonly before?: { readonly rows: readonly { readonly requestsPerSecond: number }[] };
}
const stat = (args: readonly string[]): Promise<StatDocument> => place.json<StatDocument>(['stat', ...args]);

/** A process that goes on until it is told to end. */
function begin(args: readonly string[]): ChildProcess & { text(): string } {
  const child = spawn(process.execPath, [LAUNCHER, ...args], { cwd: place.directory, env: place.env, stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  return Object.assign(child, { text: () => text });
}

async function says(child: ReturnType<typeof begin>, wanted: RegExp): Promise<RegExpExecArray> {
  for (;;) {
    const match = wanted.exec(child.text());
    if (match !== null) return match;
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${child.text()}`);
    await once(child.stdout ?? child, 'data');
  }
}

test('stat names one service, one kind, a window that was, and compares two windows', async () => {
  const one = await stat(['service/back', '--window', '1m']);
  assert.deepEqual(
    one.rows.map(({ service, requestsPerSecond }) => [service, Math.round(requestsPerSecond * one.window.seconds)]),
    [['back', SENT]],
  );
  const routes = await place.run(['routes', 'front', '--window', '1m']);
  assert.match(routes.stdout, /GET \/items\/\{id\}/);
  assert.doesNotMatch(routes.stdout, /4711/);
  const compared = await stat(['back', '--since', '1m-ago', '--compare', '1h-ago']);
  assert.deepEqual(
    compared.before?.rows.map(({ requestsPerSecond }) => requestsPerSecond),
    [0],
  );
  assert.match((await place.run(['stat', 'back', '--since', '1m', '--compare', '1h-ago'])).stdout, /BACK|back .*\(new\)/);
});

test('a condition that is met is exit 1, one that is not 0, one that cannot be told 2', async () => {
  const codeOf = async (...args: string[]): Promise<number> => (await place.run(['stat', ...args])).code;
  assert.equal(await codeOf('front', '--window', '1m', '--fail-if', 'success<99%'), 0);
  assert.equal(await codeOf('front', '--window', '1m', '--fail-if', 'success<99%', '--fail-if', 'p99>0ms'), 1);
  assert.equal(await codeOf('front', '--since', '3h-ago', '--until', '2h-ago', '--fail-if', 'success<99%'), 2);
});

test('an objective says what is left of its budget, and is exit 1 when it is overspent', async () => {
  const { items } = await place.json<{
    items: { service: string; budgetLeftPercent: number | null; burnRates: { rate: number | null }[] }[];
  }>(['stat', 'front', '--window', '1m', '--objective', '99.9%']);
  assert.deepEqual(
    items.map(({ service, budgetLeftPercent, burnRates }) => [service, budgetLeftPercent, burnRates[0]?.rate]),
    [['front', 100, 0]],
  );
});

test('watch tells when a condition begins, and hands it to a command', async () => {
  place.write(
    'told.cjs',
    "require('fs').appendFileSync('told.txt', process.env.MESHCTL_ALERT_STATE + ' ' + require('fs').readFileSync(0))",
  );
  const told = await place.run([
    'watch',
    'front',
    '--window',
    '1m',
    '--fail-if',
    'p99>0ms',
    '--count',
    '2',
    '--interval',
    '1s',
    '--exec',
    'node told.cjs',
    '-o',
    'json',
  ]);
  assert.equal(told.code, 1, told.stderr);
  const alerts = told.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    alerts.map(({ kind, state, row, condition }) => [kind, state, row, condition]),
    [['Alert', 'firing', 'front', 'p99>0ms']],
    'it is said once, not with every look',
  );
  assert.match(readFileSync(join(place.directory, 'told.txt'), 'utf8'), /^firing \{.*"condition":"p99>0ms"/);
});

test('up tells a command of its own when a service goes down, and when it is back', async () => {
  await using own = pairWorkplace();
  own.write(
    'told.cjs',
    "require('fs').appendFileSync('told.txt', process.env.MESHCTL_ALERT_STATE + ' ' + process.env.MESHCTL_ALERT_ROW + '\\n')",
  );
  const { ingressUrl } = await own.json<{ ingressUrl: string }>([
    ...['up', '-d', '--on-alert', 'node told.cjs'],
    ...['--alert-if', 'ready<100%', '--alert-if', 'rps>1000'],
  ]);
  const told = join(own.directory, 'told.txt');
  // It crashes each time it is asked to, and is started again after a pause that grows.
  const until = async (wanted: RegExp, work: () => Promise<unknown>): Promise<void> => {
    while (!existsSync(told) || !wanted.test(readFileSync(told, 'utf8'))) {
      await work();
      await new Promise((done) => setTimeout(done, 200));
    }
  };
  await until(/^firing front$/m, () =>
    fetch(`${ingressUrl}/crash`).then(
      (response) => response.arrayBuffer(),
      () => undefined,
    ),
  );
  await until(/^resolved front$/m, () => Promise.resolve());
  const ofFront = readFileSync(told, 'utf8').match(/^\w+ front$/gm);
  assert.deepEqual(ofFront?.slice(0, 2), ['firing front', 'resolved front']);
});

test('what top records it shows again', async () => {
  const recorded = await place.run(['top', '--count', '2', '--interval', '200ms', '--window', '1m', '--record', 'day.jsonl', '-o', 'json']);
  assert.equal(recorded.code, 0, recorded.stderr);
  const replayed = await place.run(['top', '--replay', 'day.jsonl', '--interval', '100ms', '-o', 'json']);
  assert.equal(replayed.stdout, recorded.stdout);
  assert.equal(replayed.stdout.trim().split('\n').length, 2);
  const table = await place.run(['top', '--replay', 'day.jsonl', '--once']);
  assert.match(table.stdout, /front/);
});

test('tap shows requests as they end, and stops at the number that was asked for', async () => {
  const tap = begin(['tap', 'back', '--count', '2', '--method', 'get', '-o', 'json']);
  const ended = once(tap, 'exit');
  while (tap.exitCode === null) await (await fetch(`${ingress}/call`)).arrayBuffer();
  assert.deepEqual(await ended, [0, null]);
  const events = tap
    .text()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    events.map(({ kind, from, service, path, verdict }) => [kind, from, service, path, verdict]),
    Array(2).fill(['TapEvent', 'front', 'back', '/called', 'allowed']),
  );
});

test('metrics are served to this machine only: any other name in Host, other method or path reads nothing', async (t) => {
  const served = begin(['metrics', '--listen', '127.0.0.1:0']);
  const ended = once(served, 'exit');
  t.after(() => {
    served.kill('SIGTERM');
    return ended;
  });
  const [, url = ''] = await says(served, /(http:\/\/127\.0\.0\.1:\d+\/metrics)/);
  const ask = (options: { path?: string; method?: string; host?: string; accept?: string }): Promise<[number, string, string]> =>
    new Promise((done, fail) => {
      const { host, accept, ...rest } = options;
      const headers = { ...(host === undefined ? {} : { host }), ...(accept === undefined ? {} : { accept }) };
      const sent = request(url, { ...rest, headers, agent: false }, (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => {
          text += chunk.toString();
        });
        response.on('end', () => done([response.statusCode ?? 0, String(response.headers['content-type']), text]));
      });
      sent.on('error', fail);
      sent.end();
    });
  const [status, type, text] = await ask({});
  assert.deepEqual([status, type], [200, 'text/plain; version=0.0.4; charset=utf-8']);
  const counted = [...text.matchAll(/^http_server_request_duration_seconds_count\{service="back",.*\} (\d+)$/gm)];
  assert.ok(counted.reduce((sum, [, times]) => sum + Number(times), 0) >= SENT);
  const [, openType, open] = await ask({ accept: 'application/openmetrics-text' });
  assert.match(openType, /^application\/openmetrics-text; version=1\.0\.0/);
  assert.match(open, /# EOF\n$/);
  for (const host of ['evil.example', 'evil.example:9464', '127.0.0.1.evil.example', 'localhost.evil.example'])
    assert.deepEqual((await ask({ host }))[0], 403, host);
  assert.equal((await ask({ method: 'POST' }))[0], 405);
  assert.equal((await ask({ path: '/' }))[0], 404);
  assert.equal((await ask({ path: '/metrics/../secret' }))[0], 404);
});

describe('refused', () => {
  const cases: [string, string[], number, RegExp][] = [
    ['an address that others reach', ['metrics', '--listen', '0.0.0.0:9464'], 2, /is no HOST:PORT on loopback/],
    ['names of another mesh that we do not know', ['metrics', '--compat', 'consul'], 2, /linkerd and istio are/],
    ['what nobody can print', ['metrics', '--print', 'jsonnet'], 2, /rules and dashboard are/],
    ['a condition without a value', ['stat', '--fail-if', 'success<'], 2, /is no condition/],
    ['a condition on what is not counted', ['stat', '--fail-if', 'happiness<1'], 2, /fields are success/],
    ['an objective of everything', ['stat', '--objective', '100%'], 2, /below 100%/],
    ['a window that ends before it begins', ['stat', '--since', '1m-ago', '--until', '2m-ago'], 2, /ends before/],
    ['a time that is none', ['stat', '--since', 'yesterday'], 2, /is no time/],
    ['a kind that is none', ['stat', 'pods/front'], 2, /is no kind of row/],
    ['a service that is none', ['routes', 'nobody'], 1, /has no service `nobody`/],
    ['a look at a service that is none', ['tap', 'nobody'], 1, /has no service `nobody`/],
    ['a status that is none', ['tap', '--status', '6xx'], 2, /is no status/],
    ['a path that is none', ['tap', '--path', 'orders'], 2, /is no path/],
    ['a field that is none', ['tap', '--header', 'a b'], 2, /is no name of a field/],
    ['a watch for nothing', ['watch'], 2, /what should be watched for/],
    ['a command with an open quote', ['watch', '--fail-if', 'rps<1', '--exec', "node 'x"], 2, /a quote is open/],
    ['alerts that nobody is told of', ['up', '--alert-if', 'rps<1'], 2, /add --on-alert/],
    ['an alert that is no condition', ['up', '--on-alert', 'true', '--alert-if', 'rps'], 2, /`--alert-if rps` is no condition/],
    ['an alert for nobody', ['up', '--on-alert', ''], 2, /it is empty/],
    ['alerts of a mesh that runs', ['up', '--on-alert', 'true'], 1, /whom it tells of alerts was said/],
    ['a recording that is none', ['top', '--replay', 'mesh.yaml', '--once'], 2, /line 1 is no reading/],
    ['a recording without rows', ['top', '--replay', 'half.jsonl', '--once'], 2, /line 1 is no reading/],
    ['a recording that is not there', ['top', '--replay', 'nothing.jsonl'], 2, /nothing\.jsonl/],
    ['a recording below a file', ['top', '--once', '--record', 'mesh.yaml/x'], 2, /cannot write/],
    ['rows by what is no kind', ['top', '--by', 'pod', '--once'], 2, /--by pod/],
  ];
  for (const [name, args, code, wanted] of cases)
    test(name, async () => {
      place.write('half.jsonl', '{"kind":"Stat"}\n');
      const result = await place.run(args);
      assert.equal(result.code, code, result.stdout + result.stderr);
      assert.match(result.stderr, wanted);
    });
});
