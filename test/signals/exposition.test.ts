// What a scraper reads: one family a name, one sample a set of labels, buckets that add up, in both formats.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ExportInput, type Exposition, expose } from '../../src/signals/exposition.ts';
import type { WindowSeries } from '../../src/signals/golden.ts';

const series = (change: Partial<WindowSeries>): WindowSeries => ({
  service: 'orders',
  instance: 'orders-0',
  direction: 'inbound',
  peer: 'web',
  protocol: 'http',
  outcome: '2xx',
  route: '',
  count: 10,
  sumMs: 120,
  maxMs: 40,
  requestBytes: 100,
  responseBytes: 2000,
  buckets: [0, 0, 0, 4, 0, 3, 0, 0, 0, 0, 0, 3],
  ...change,
});
const INPUT: ExportInput = {
  mesh: 'shop',
  namespace: 'default',
  series: [
    series({}),
    series({ outcome: '5xx', count: 2, buckets: [2] }),
    series({ outcome: 'denied', peer: 'reviews', count: 3, buckets: [3] }),
    series({ outcome: 'timeout', count: 1, buckets: Array.from({ length: 47 }, (_, i) => (i === 46 ? 1 : 0)) }),
    series({ direction: 'outbound', peer: 'ledger' }),
    series({ protocol: 'tcp', outcome: 'tcp', peer: 'web' }),
    series({ peer: '-', route: 'GET /orders/{id}' }),
    series({ peer: 'we"ird\\\n' }),
  ],
  loads: [
    {
      service: 'orders',
      instance: 'orders-0',
      cpuPercent: 12.5,
      memoryBytes: 1000,
      inFlight: 3,
      ready: true,
      openConnections: 2,
      queued: 0,
      queueLimit: 1024,
    },
  ],
  certificates: [{ service: 'orders', instance: 'orders-0', issuedAtMs: 0, notAfterMs: 1000, generation: 2 }],
  authority: [{ name: 'root-1', notAfterMs: 5000 }],
  proxies: [{ service: 'orders', instance: 'orders-0', isConnected: true, isInSync: false }],
  policyRevision: 3,
  droppedSpans: 4,
  nowMs: 250,
};
const FORMATS: Exposition[] = [
  { format: 'text' },
  { format: 'openmetrics' },
  { format: 'text', compat: 'linkerd' },
  { format: 'text', compat: 'istio' },
  { format: 'openmetrics', compat: 'linkerd' },
];
const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*\})? (\S+)$/;

for (const options of FORMATS)
  test(`${options.format}${options.compat === undefined ? '' : ` with the names of ${options.compat}`}: well formed, nothing stands there twice, buckets rise to the count`, () => {
    const lines = expose(INPUT, options).trimEnd().split('\n');
    assert.equal(lines.at(-1) === '# EOF', options.format === 'openmetrics');
    const types = new Map<string, string>();
    const seen = new Set<string>();
    const last = new Map<string, number>();
    for (const line of lines) {
      const type = /^# TYPE (\S+) (\S+)$/.exec(line);
      if (type !== null) {
        assert.ok(!types.has(type[1] ?? ''), `${type[1]} twice`);
        types.set(type[1] ?? '', type[2] ?? '');
      }
      if (line.startsWith('#')) continue;
      const match = LINE.exec(line);
      assert.ok(match !== null, line);
      const [, name = '', labels = '', value = ''] = match;
      assert.ok(!seen.has(name + labels), `${name}${labels} twice`);
      seen.add(name + labels);
      assert.ok(Number.isFinite(Number(value)), line);
      const family = [...types.keys()].find(
        (each) => name === each || [`${each}_bucket`, `${each}_sum`, `${each}_count`, `${each}_total`].includes(name),
      );
      assert.ok(family !== undefined, `${name} has no TYPE`);
      if (name.endsWith('_bucket')) {
        const key = `${name}${labels.replace(/,?le="[^"]*"/, '')}`;
        assert.ok(Number(value) >= (last.get(key) ?? 0), line);
        last.set(key, Number(value));
        if (labels.includes('le="+Inf"'))
          assert.ok(lines.includes(`${name.replace('_bucket', '_count')}${labels.replace(/,?le="[^"]*"/, '')} ${value}`), line);
      }
    }
  });

test('bounds are those of OpenTelemetry, in seconds, and none is estimated', () => {
  const text = expose({ ...INPUT, series: [series({})] }, { format: 'text' });
  const of = (le: string): string | undefined =>
    new RegExp(`^http_server_request_duration_seconds_bucket\\{.*le="${le.replace('+', '\\+')}"\\} (\\d+)$`, 'm').exec(text)?.[1];
  // Four of at most 1 ms, three of at most 2 ms, three of at most 10 ms.
  assert.deepEqual(['0.005', '0.01', '10', '+Inf'].map(of), ['7', '10', '10', '10']);
  assert.match(text, /http_server_request_duration_seconds_sum\{[^}]*\} 0\.12\n/);
});

test('what is not known is not there', () => {
  const text = expose(
    { ...INPUT, series: [], loads: [{ service: 'a', instance: 'a-0', cpuPercent: null, memoryBytes: null, inFlight: null, ready: true }] },
    { format: 'text' },
  );
  assert.doesNotMatch(text, /meshctl_service_cpu|active_requests|null|NaN/);
});

test('denials are a counter of their own, and the word for a refusal is error_type', () => {
  const text = expose(INPUT, { format: 'text' });
  assert.match(text, /^meshctl_policy_denied_total\{service="orders",instance="orders-0",client="reviews",protocol="http"\} 3$/m);
  assert.match(text, /error_type="timeout"/);
  assert.match(
    expose(INPUT, { format: 'text', compat: 'linkerd' }),
    /^response_total\{[^}]*status_code="5xx",classification="failure"\} 2$/m,
  );
  assert.match(
    expose(INPUT, { format: 'text', compat: 'istio' }),
    /^istio_requests_total\{reporter="source",source_workload="orders",[^}]*destination_workload="ledger"/m,
  );
});
