// `npm run soak -- [--minutes N]`: a mesh under load while certificates rotate, policies change, services and proxies are killed and
// control restarts. Every request is accounted for: answered by the service that its id was written by, or refused with a reason.
import { readFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Workplace } from '../support/cli.ts';
import { type Answer, call } from '../support/test-mesh.ts';

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' } } });
const minutes = Number(values.minutes);
const CLIENTS = 16;

const APP = `
const fs = require('fs'), http = require('http');
const log = fs.openSync(process.env.SEEN, 'a');
const agent = new http.Agent({ keepAlive: true });
http.createServer((q, s) => {
  fs.writeSync(log, q.headers['x-soak'] + '\\n');
  const to = process.env.BACK_URL;
  if (!to || !q.url.startsWith('/through')) { q.resume(); q.on('end', () => s.end(String(q.headers['x-soak']))); return; }
  const next = http.request(to + '/end', { agent, method: q.method, headers: { 'x-soak': q.headers['x-soak'], 'x-request-id': q.headers['x-request-id'] } }, (r) => {
    s.writeHead(r.statusCode, r.headers['x-meshctl-refusal'] ? { 'x-soak-refusal': r.headers['x-meshctl-refusal'] } : {});
    r.pipe(s);
  });
  next.on('error', () => { s.statusCode = 500; s.end('the call failed'); });
  q.pipe(next);
}).listen(process.env.PORT, '127.0.0.1');
`;
const policy = (comment: string): string =>
  `apiVersion: meshctl.dev/v1\nkind: Policy\n# ${comment}\nallow:\n  - ingress -> front: any\n  - front -> back: "* /end"\n`;

interface Status {
  readonly instances: readonly { readonly instance: string; readonly pid: number | null; readonly proxyPid: number | null }[];
}

await using work = new Workplace();
const seen = (name: string): string => join(work.directory, `${name}.seen`);
work.write('app.js', APP);
work.write('policy.yaml', policy('the first'));
work.write(
  'mesh.yaml',
  `apiVersion: meshctl.dev/v1
kind: Mesh
name: soak
ingress: {routes: [{path: /, service: front}]}
services:
  front: {command: [node, app.js], instances: 2, calls: [back], env: {SEEN: ${seen('front')}}}
  back: {command: [node, app.js], instances: 3, env: {SEEN: ${seen('back')}}}
policy: [policy.yaml]
certificates: {ttl: 20s}
`,
);
const up = await work.json<{ ingressUrl: string; stateDir: string }>(['up', '-d']);
const port = Number(new URL(up.ingressUrl).port);
const endAt = Date.now() + minutes * 60_000;
const outcomes = new Map<string, number>();
const answered: string[] = [];
const problems: string[] = [];
let counter = 0;

function account(id: string, answer: Answer | Error): void {
  if (answer instanceof Error) {
    problems.push(`${id}: ${answer.message}`);
    return;
  }
  const reason = answer.headers['x-meshctl-refusal'] ?? answer.headers['x-soak-refusal'];
  const outcome = answer.status === 200 ? '200' : `${answer.status} ${reason ?? answer.body}`;
  outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  if (answer.status !== 200) return;
  if (answer.body !== id) problems.push(`${id}: answered with ${answer.body}`);
  answered.push(id);
}

async function client(): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  while (Date.now() < endAt) {
    const id = `r${counter++}`;
    const post = counter % 5 === 0;
    const options = {
      method: post ? 'POST' : 'GET',
      headers: { 'x-soak': id },
      agent,
      ...(post ? { body: 'x'.repeat(counter % 20_000) } : {}),
    };
    const given = new Promise<Error>((done) => setTimeout(() => done(new Error('no answer within 40 s')), 40_000).unref());
    account(id, await Promise.race([call(port, counter % 2 === 0 ? '/through' : '/', options).catch((error: Error) => error), given]));
  }
  agent.destroy();
}

const kill = (pid: number | null | undefined, signal: NodeJS.Signals): void => {
  if (pid === null || pid === undefined || pid === 0) return;
  try {
    process.kill(pid, signal);
  } catch {
    // It had ended by itself.
  }
};

async function trouble(): Promise<void> {
  const steps = ['service', 'policy', 'control', 'policy', 'proxy', 'policy', 'service-term'];
  for (let turn = 0; Date.now() < endAt - 5000; turn++) {
    await new Promise((done) => setTimeout(done, 2500));
    const status = await work.json<Status>(['status']).catch(() => undefined);
    const backs = status?.instances.filter(({ instance }) => instance.startsWith('back-')) ?? [];
    const one = backs[turn % Math.max(1, backs.length)];
    switch (steps[turn % steps.length]) {
      case 'service':
        kill(one?.pid, 'SIGKILL');
        break;
      case 'service-term':
        kill(one?.pid, 'SIGTERM');
        break;
      case 'proxy':
        kill(one?.proxyPid, 'SIGKILL');
        break;
      case 'control': {
        const children = JSON.parse(readFileSync(join(up.stateDir, 'run', 'children.json'), 'utf8')) as { pid: number; what: string }[];
        kill(children.find(({ what }) => what === 'control')?.pid, 'SIGKILL');
        break;
      }
      default:
        work.write('policy.yaml', policy(`of turn ${turn}`));
        await work.run(['policy', 'apply', 'policy.yaml']);
    }
  }
}

await Promise.all([trouble(), ...Array.from({ length: CLIENTS }, client)]);
const fronts = readFileSync(seen('front'), 'utf8').split('\n');
const times = new Map<string, number>();
for (const id of fronts) times.set(id, (times.get(id) ?? 0) + 1);
for (const id of answered) if (!times.has(id)) problems.push(`${id}: answered, but no service has seen it`);
const repeated = [...times].filter(([id, count]) => id !== '' && count > 1).length;
process.stdout.write(
  `${counter} requests in ${minutes} min: ${[...outcomes].map(([outcome, count]) => `${count} × ${outcome}`).join(', ')}\n`,
);
process.stdout.write(`${repeated} reached a service more than once (retries); ${problems.length} unaccounted for\n`);
for (const problem of problems.slice(0, 20)) process.stdout.write(`  ${problem}\n`);
const unreasoned = [...outcomes.keys()].filter((outcome) => outcome !== '200' && !/^\d+ [a-z_]+$/.test(outcome));
if (unreasoned.length > 0) process.stdout.write(`refused without a reason: ${unreasoned.join('; ')}\n`);
process.exitCode = problems.length > 0 || unreasoned.length > 0 ? 1 : 0;
