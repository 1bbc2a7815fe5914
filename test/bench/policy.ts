// `npm run bench -- policy`: what a decision costs at 10, 1,000 and 100,000 rules, how long they take to compile, and what linting,
// proving and changing a large policy takes. CPU time, in one process; the generator of the policies is here.
//
//   --check   exit 1 when a bar is missed
import { parseArgs } from 'node:util';
import { makeSpiffeId, type SpiffeId } from '../../src/mesh/identity.ts';
import { compilePolicy, meshOfPolicy } from '../../src/policy/compile.ts';
import { diffPolicies } from '../../src/policy/diff.ts';
import { evaluate } from '../../src/policy/evaluate.ts';
import { lintPolicy } from '../../src/policy/lint.ts';
import { collectNames } from '../../src/policy/names.ts';
import { normalizePath } from '../../src/policy/path.ts';
import { verify } from '../../src/policy/verify.ts';

const TRUST_DOMAIN = 'bench.local';
const CALLERS = 1000;

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } }, allowPositionals: true });
let missed = 0;

function bar(what: string, value: number, atMost: number, unit: string): void {
  if (value > atMost) missed++;
  process.stdout.write(`  ${what}: ${value.toPrecision(3)} ${unit} (bar ${atMost}) ${value > atMost ? 'MISSED' : 'held'}\n`);
}

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

/** Rules about one destination: a third exact paths, a third with `*`, a third with `**`; groups, tiers and denies among them. */
function rulesTo(count: number): string {
  const services = Array.from({ length: CALLERS }, (_, i) => `  c${i}: {tier: ${i % 3 === 0 ? 'low' : 'high'}}\n`).join('');
  const groups = Array.from(
    { length: 20 },
    (_, i) => `  g${i}: [${Array.from({ length: 10 }, (__, k) => `c${i * 10 + k}`).join(', ')}]\n`,
  ).join('');
  const paths = (i: number): string => [`/v1/item${i}/detail`, `/v1/item${i}/*/parts`, `/v1/item${i}/**`][i % 3] as string;
  const allow = Array.from(
    { length: count },
    (_, i) => `  - ${i % 50 === 0 ? `g${i % 20}` : `c${i % CALLERS}`} -> target: ${i % 2 === 0 ? 'GET' : 'GET|POST'} ${paths(i)}\n`,
  ).join('');
  const deny = Array.from({ length: Math.min(50, count / 5) }, (_, i) => `  - c${i * 7} -> target: any :9${i}\n`).join('');
  return `apiVersion: meshctl.dev/v1\nkind: Policy\ntrustDomain: ${TRUST_DOMAIN}\ntiers: [low, {name: high, acceptsFrom: low}]\nservices:\n  target: {tier: high}\n${services}groups:\n${groups}allow:\n${allow}deny:\n${deny}`;
}

function compile(text: string) {
  const { document, findings } = lintPolicy([{ file: 'bench.yaml', text }], undefined, { verify: false });
  const mesh = meshOfPolicy(document);
  const policy = compilePolicy(document, findings, mesh, 1);
  if (policy.unreadable !== undefined) throw new Error(policy.unreadable);
  return { document, policy, mesh };
}

function decisions(count: number): number {
  const { policy } = compile(rulesTo(count));
  const callee = makeSpiffeId(TRUST_DOMAIN, 'default', 'target');
  const callers = Array.from({ length: CALLERS }, (_, i) => makeSpiffeId(TRUST_DOMAIN, 'default', `c${i}`));
  const requests = Array.from({ length: 20_000 }, (_, i) => {
    const rule = (i * 7919) % count;
    const hit = i % 2 === 0;
    const path = [`/v1/item${rule}/detail`, `/v1/item${rule}/x/parts`, `/v1/item${rule}/x/y?q=1`][rule % 3] as string;
    return { caller: callers[hit ? rule % CALLERS : (rule + 1) % CALLERS] as SpiffeId, target: hit ? path : `${path}/none` };
  });
  const port = { name: 'http', number: 8080 };
  const header = (): readonly string[] => [];
  const judge = ({ caller, target }: (typeof requests)[number]): boolean => {
    const normal = normalizePath(target);
    if (!('path' in normal)) return false;
    return (
      evaluate(policy, { caller, callee, port, http: { method: 'GET', path: normal.path, grpc: false, header }, atMs: 0 }).rule.length > 0
    );
  };
  for (let round = 0; round < 3; round++) for (const request of requests) judge(request);
  const samples: number[] = [];
  for (let i = 0; i < requests.length; i += 50) {
    const start = process.hrtime.bigint();
    for (let k = i; k < i + 50; k++) judge(requests[k] as (typeof requests)[number]);
    samples.push(Number(process.hrtime.bigint() - start) / 50_000);
  }
  samples.sort((a, b) => a - b);
  return samples[samples.length >> 1] as number;
}

/** A mesh of services in tiers, with rules between neighbours and an invariant for each tier. */
function large(services: number, rules: number): string {
  const tiers = ['edge', 'low', 'standard', 'high'];
  const entries = Array.from({ length: services }, (_, i) => `  s${i}: {tier: ${tiers[Math.floor((i * tiers.length) / services)]}}\n`).join(
    '',
  );
  const allow = Array.from({ length: rules }, (_, i) => {
    const from = i % services;
    return `  - s${from} -> s${Math.min(services - 1, from + 1 + (i % 7))}: GET /r${i}/*\n`;
  }).join('');
  const invariants = tiers
    .slice(0, -1)
    .map((tier) => `  - never: tier<${tiers[tiers.indexOf(tier) + 1]} -> tier:high\n`)
    .join('');
  return `apiVersion: meshctl.dev/v1\nkind: Policy\ntrustDomain: ${TRUST_DOMAIN}\ntiers:\n${tiers.map((name, i) => `  - {name: ${name}, acceptsFrom: ${tiers[Math.max(0, i - 1)]}}\n`).join('')}services:\n${entries}allow:\n${allow}invariants:\n${invariants}`;
}

process.stdout.write('decision, normalisation and rule id included, half of the requests misses, 1,000 callers of one callee\n');
const cost = new Map<number, number>();
for (const count of [10, 1000, 100_000]) {
  const us = decisions(count);
  cost.set(count, us);
  bar(`${count} rules`, us, 1, 'µs');
}
bar('100,000 rules over 10', (cost.get(100_000) ?? 0) / (cost.get(10) ?? 1), 3, '×');

globalThis.gc?.();
const before = process.memoryUsage().rss;
let start = cpuMs();
const text = rulesTo(100_000);
compile(text);
bar('compile 100,000 rules, reading included', (cpuMs() - start) / 1000, 2, 's');
bar('memory for it', (process.memoryUsage().rss - before) / 2 ** 20, 300, 'MiB');

const again = compile(text);
start = cpuMs();
compilePolicy(again.document, [], again.mesh, 2);
process.stdout.write(`  compiling alone: ${(cpuMs() - start).toFixed(0)} ms\n`);

start = cpuMs();
const { document, findings } = lintPolicy([{ file: 'large.yaml', text: large(1000, 10_000) }], undefined, { verify: false });
const mesh = meshOfPolicy(document);
const policy = compilePolicy(document, findings, mesh, 1);
const results = verify({ policy, names: collectNames(document, mesh), invariants: document.invariants, ports: [], atMs: 0 });
process.stdout.write(`${results.map(({ invariant, verdict }) => `  ${invariant.id}: ${verdict}`).join('\n')}\n`);
bar('lint and verify 1,000 services with 10,000 rules', (cpuMs() - start) / 1000, 3, 's');
start = cpuMs();
const other = compile(large(1000, 10_000).replaceAll('GET /r77', 'GET|POST /r77'));
const diff = diffPolicies(policy, other.policy, [], 0);
process.stdout.write(`  ${diff.widened.length} widened, ${diff.narrowed.length} narrowed, exact: ${diff.isExact}\n`);
bar('diff of two such, reading one of them included', (cpuMs() - start) / 1000, 5, 's');
if (values.check && missed > 0) process.exitCode = 1;
