// What people read, as files: look at the diff of a screen as you read code. Renewed by `npm run snap`.
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Finding } from '../../src/base/finding.ts';
import type { Stat, StatRow } from '../../src/signals/golden.ts';
import { assembleTrace } from '../../src/traces/assemble.ts';
import { completenessLine, goldenTable } from '../../src/views/golden.ts';
import { renderFindings, summarize } from '../../src/views/report/table.ts';
import { renderTable } from '../../src/views/table.ts';
import { renderWaterfall } from '../../src/views/trace/waterfall.ts';
import { LAUNCHER } from '../support/cli.ts';
import { makeSpan } from '../support/span.ts';

const directory = join(dirname(fileURLToPath(import.meta.url)), '..', 'fixtures', 'golden');
const golden = (t: TestContext, name: string, text: string): void =>
  t.assert.fileSnapshot(text, join(directory, name), { serializers: [String] });

const row = (change: Partial<StatRow>): StatRow => ({
  service: 'web',
  protocol: 'http',
  instances: 1,
  instancesReady: 1,
  requestsPerSecond: 12.34,
  successPercent: 100,
  deniedPerSecond: 0,
  failuresPerSecond: {},
  clientErrorsPerSecond: 0,
  maxMs: 250,
  receivedBytesPerSecond: 1000,
  sentBytesPerSecond: 20_000,
  cpuLimitPercent: null,
  memoryLimitBytes: null,
  openConnections: 3,
  queued: 0,
  queueLimit: 1024,
  circuitPercent: 1,
  proxyLoopPercent: 4,
  proxyCpuPercent: 3,
  proxyMemoryBytes: 60 * 1024 ** 2,
  p50Ms: 1.84,
  p95Ms: 12.5,
  p99Ms: 240,
  cpuPercent: 3.2,
  memoryBytes: 48 * 1024 ** 2,
  inFlight: 2,
  ...change,
});

const STAT: Stat = {
  by: 'service',
  view: 'inbound',
  window: { from: '2026-11-21T10:00:00.000Z', to: '2026-11-21T10:00:10.000Z', seconds: 10 },
  completeness: { proxiesAnswered: 5, proxiesTotal: 6, samplesDropped: 3 },
  rows: [
    row({}),
    row({ service: 'orders', successPercent: 97.5 }),
    row({ service: 'payments', successPercent: 80, deniedPerSecond: 1.5, instances: 2 }),
    row({ service: 'ledger', protocol: 'tcp', p50Ms: null, p95Ms: null, p99Ms: null }),
    row({
      service: 'idle',
      requestsPerSecond: 0,
      successPercent: null,
      p50Ms: null,
      p95Ms: null,
      p99Ms: null,
      cpuPercent: null,
      memoryBytes: null,
      inFlight: null,
    }),
    row({ service: 'x\u001b[2J', requestsPerSecond: 12345.6 }),
  ],
};

test('golden signals as a table', (t) => golden(t, 'stat.txt', `${goldenTable(STAT)}${completenessLine(STAT)}\n`));

const ID = (service: string): string => `spiffe://shop.local/ns/default/sa/${service}`;
const START = Date.UTC(2026, 10, 21, 10);
const TRACE = assembleTrace([
  makeSpan({
    traceId: 'a'.repeat(32),
    requestId: '3f2a7c1e-8a44-4f0e-9a53-0c7a4a6f9d10',
    spanId: '1',
    service: 'ingress',
    instance: 'ingress-0',
    path: '/checkout',
    startMs: START,
    durationMs: 31,
    rule: 'ingress: open to callers from outside',
  }),
  makeSpan({
    traceId: 'a'.repeat(32),
    spanId: '2',
    parentId: '1',
    kind: 'client',
    service: 'ingress',
    peerService: 'web',
    path: '/checkout',
    startMs: START + 1,
    durationMs: 29,
    verdict: undefined,
  }),
  makeSpan({
    traceId: 'a'.repeat(32),
    spanId: '3',
    parentId: '2',
    service: 'web',
    instance: 'web-0',
    peerId: ID('ingress'),
    path: '/checkout',
    startMs: START + 2,
    durationMs: 27,
    rule: 'ingress -> web: any',
    rulePlace: 'policy.yaml:19',
  }),
  makeSpan({
    traceId: 'a'.repeat(32),
    spanId: '4',
    parentId: '3',
    kind: 'client',
    service: 'web',
    peerService: 'orders',
    method: 'POST',
    path: `/orders/${'x'.repeat(60)}`,
    startMs: START + 4,
    durationMs: 20,
    attempt: 2,
    status: 502,
    verdict: undefined,
  }),
  makeSpan({
    traceId: 'a'.repeat(32),
    spanId: '5',
    parentId: '4',
    service: 'orders',
    instance: 'orders-1',
    peerId: ID('web'),
    method: 'POST',
    path: `/orders/${'x'.repeat(60)}`,
    startMs: START + 5,
    durationMs: 18,
    status: 502,
    refusal: 'upstream_reset',
    rule: 'web -> orders: any',
  }),
  makeSpan({
    traceId: 'a'.repeat(32),
    spanId: '6',
    parentId: '5',
    kind: 'client',
    service: 'orders',
    peerService: 'payments',
    path: '/buyers',
    startMs: START + 8,
    durationMs: 2,
    status: 403,
    verdict: undefined,
  }),
  makeSpan({
    traceId: 'a'.repeat(32),
    spanId: '7',
    parentId: '6',
    service: 'payments',
    instance: 'payments-0',
    peerId: ID('orders'),
    path: '/buyers',
    startMs: START + 9,
    durationMs: 0.4,
    status: 403,
    refusal: 'denied',
    verdict: 'denied',
    rule: 'tier floor: high accepts from high, caller is low',
  }),
  makeSpan({
    traceId: 'a'.repeat(32),
    spanId: '8',
    parentId: '5',
    kind: 'client',
    service: 'orders',
    peerService: 'stock',
    path: '/s',
    startMs: START + 12,
    durationMs: 1,
    status: undefined,
    refusal: 'no_endpoint',
    verdict: undefined,
  }),
  makeSpan({
    traceId: 'a'.repeat(32),
    spanId: '9',
    parentId: 'missing',
    service: 'late',
    instance: 'late-0',
    peerId: ID('web'),
    path: '/\u001b[31m',
    startMs: START + 20,
    durationMs: 3,
  }),
]);

for (const columns of [80, 120, 200])
  test(`a trace as a waterfall, ${columns} columns`, (t) => golden(t, `trace-${columns}.txt`, renderWaterfall(TRACE, columns)));

const FINDINGS: Finding[] = [
  {
    rule: 'unknown-service',
    severity: 'error',
    what: 'no service or group is called `wbe` (did you mean `web`?)',
    fix: 'declare it in the mesh file or under `services:`',
    place: { file: 'policies/web.yaml', line: 14, column: 9 },
  },
  {
    rule: 'unused-service',
    severity: 'warning',
    what: 'service `old` is named by no rule',
    why: 'under default deny nothing may call it',
    place: { file: 'policies/web.yaml', line: 20, column: 3 },
  },
  { rule: 'service-mismatch', severity: 'info', what: 'without a place' },
];

test('findings as a report', (t) => golden(t, 'findings.txt', `${renderFindings(FINDINGS)}\n${summarize(FINDINGS)}\n`));

test('a table of wide characters and controls', (t) =>
  golden(
    t,
    'table.txt',
    renderTable(
      [{ name: 'NAME' }, { name: 'N', align: 'right' }],
      [
        ['größe', '1'],
        ['大', '22'],
        ['a\u0007b', '333'],
        ['', ''],
      ],
    ),
  ));

for (const [name, args] of [
  ['help.txt', ['--help']],
  ['help-trace.txt', ['trace', '--help']],
  ['help-policy.txt', ['policy', '--help']],
] as const) {
  test(`\`meshctl ${args.join(' ')}\``, (t) => golden(t, name, execFileSync(process.execPath, [LAUNCHER, ...args], { encoding: 'utf8' })));
}
