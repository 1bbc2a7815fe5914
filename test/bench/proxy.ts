// `npm run bench`: CPU microseconds per request of a pair of proxies (outbound and inbound, mTLS, policy, metrics, trace headers and
// spans on), against the CPU of the application that answers, in one run. Linux: reads /proc.
import { readFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { Workplace } from '../support/cli.ts';
import { call } from '../support/test-mesh.ts';

const SECONDS = 4;
const ROUNDS = 3;
const CONNECTIONS = 32;
const MESH = `apiVersion: meshctl.dev/v1
kind: Mesh
name: bench
ingress: {routes: [{path: /, service: app}]}
services: {app: {command: [node, app.js]}}
policy: [policy.yaml]
`;
const POLICY = 'apiVersion: meshctl.dev/v1\nkind: Policy\nallow:\n  - ingress -> app: GET /**\n';
const APP = "require('http').createServer((q, s) => { q.resume(); s.end('x'.repeat(128)); }).listen(process.env.PORT, '127.0.0.1');\n";

function cpuMs(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

async function load(port: number): Promise<number> {
  const end = Date.now() + SECONDS * 1000;
  let done = 0;
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      while (Date.now() < end) {
        if ((await call(port, '/x', { agent })).status !== 200) throw new Error('a request failed');
        done++;
      }
      agent.destroy();
    }),
  );
  return done;
}

interface Status {
  instances: { instance: string; pid: number; proxyPid: number }[];
}

await using work = new Workplace();
work.write('mesh.yaml', MESH);
work.write('policy.yaml', POLICY);
work.write('app.js', APP);
const up = await work.json<{ ingressUrl: string }>(['up', '-d']);
const { instances } = await work.json<Status>(['status']);
const pid = (name: string, key: 'pid' | 'proxyPid'): number => instances.find((each) => each.instance === name)?.[key] ?? 0;
const watched = { outbound: pid('ingress-0', 'proxyPid'), inbound: pid('app-0', 'proxyPid'), app: pid('app-0', 'pid') };
process.stdout.write(
  `round  requests/s  outbound µs  inbound µs  pair µs  app µs  pair/app   (${CONNECTIONS} connections, 128-byte bodies)\n`,
);
for (let round = 1; round <= ROUNDS; round++) {
  const before = { outbound: cpuMs(watched.outbound), inbound: cpuMs(watched.inbound), app: cpuMs(watched.app) };
  const requests = await load(Number(new URL(up.ingressUrl).port));
  const each = (name: keyof typeof watched): number => ((cpuMs(watched[name]) - before[name]) * 1000) / requests;
  const pair = each('outbound') + each('inbound');
  process.stdout.write(
    `${String(round).padStart(5)}  ${(requests / SECONDS).toFixed(0).padStart(10)}  ${each('outbound').toFixed(0).padStart(11)}  ${each('inbound').toFixed(0).padStart(10)}  ${pair.toFixed(0).padStart(7)}  ${each('app').toFixed(0).padStart(6)}  ${(pair / each('app')).toFixed(2).padStart(8)}\n`,
  );
}
