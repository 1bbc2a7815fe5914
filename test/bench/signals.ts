// `npm run bench -- signals`: what counting costs a proxy, and what a thousand proxies cost the control plane's store. CPU time, one run.
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SeriesSample } from '../../src/mesh/messages.ts';
import { LocalStore } from '../../src/platform/local/store.ts';
import { Recorder } from '../../src/proxy/record.ts';
import { Routes } from '../../src/proxy/route/template.ts';
import { goldenRows, isCounted } from '../../src/signals/golden.ts';

const REQUESTS = 1_000_000;
/** Requests between two messages to control: a busy second. */
const PER_MESSAGE = 2000;
const PROXIES = 1000;
const SERIES = 50;
const SECONDS = 12;
const BUCKETS = 20;

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};
const print = (what: string, text: string): void => void process.stdout.write(`  ${what.padEnd(66)} ${text}\n`);

const mib = (bytes: number): string => `${(bytes / 1024 ** 2).toFixed(0)} MiB`;

process.stdout.write('A proxy\n');
{
  const recorder = new Recorder();
  const routes = new Routes();
  const outcomes = ['2xx', '2xx', '2xx', '2xx', '2xx', '2xx', '2xx', '4xx', '5xx', '2xx'];
  const work = (times: number): void => {
    for (let i = 0; i < times; i++) {
      const outcome = outcomes[i % outcomes.length] ?? '2xx';
      const ms = (i * 7919) % 300;
      recorder.count('inbound', i % 3 === 0 ? 'web' : 'orders', 'http', outcome, ms, 100, 2000);
      recorder.countRoute(routes.of('GET', `/orders/${i % 5000}`), outcome, ms, 100, 2000);
      if (i % PER_MESSAGE === 0) JSON.stringify(recorder.series(false));
    }
  };
  work(100_000);
  const start = cpuMs();
  work(REQUESTS);
  print(
    'one request counted by caller and by route, its share of sending',
    `${(((cpuMs() - start) / REQUESTS) * 1000).toFixed(2)} µs (bar 1)`,
  );
}

process.stdout.write(`Control: ${PROXIES} proxies, ${SERIES} series each, ${BUCKETS} buckets in each, every second\n`);
{
  const directory = mkdtempSync(join(tmpdir(), 'meshctl-bench-'));
  const store = new LocalStore(directory, () => 3_600_000);
  const messages = (second: number): string[] =>
    Array.from({ length: PROXIES }, () =>
      JSON.stringify(
        Array.from(
          { length: SERIES },
          (_, k): SeriesSample => ({
            direction: k % 2 === 0 ? 'inbound' : 'outbound',
            peer: `service-${k}`,
            protocol: 'http',
            outcome: '2xx',
            count: second * BUCKETS,
            sumMs: second * 40,
            maxMs: 20,
            requestBytes: second * 100,
            responseBytes: second * 2000,
            buckets: Array.from({ length: BUCKETS * 2 }, (__, b) => (b % 2 === 0 ? b / 2 : second)),
          }),
        ),
      ),
    );
  const begin = Date.now() - SECONDS * 1000;
  const costs: number[] = [];
  for (let second = 1; second <= SECONDS; second++) {
    const texts = messages(second);
    const start = cpuMs();
    texts.forEach((text, i) => {
      const name = `service-${i}`;
      store.addSamples({ id: `${name}-0`, epoch: 'e', service: name, instance: `${name}-0` }, begin + second * 1000, JSON.parse(text));
    });
    store.flush();
    // The first second makes the series.
    if (second > 1) costs.push(cpuMs() - start);
  }
  costs.sort((a, b) => a - b);
  print(
    'read from JSON and stored, share of one core',
    `${((costs[costs.length >> 1] ?? 0) / 10).toFixed(0)} % (bar 50, without the socket)`,
  );
  const start = cpuMs();
  store.prune(begin + (SECONDS + 2) * 1000);
  print('made coarser, each ten seconds', `${(cpuMs() - start).toFixed(0)} ms`);
  globalThis.gc?.();
  const { rss, heapUsed } = process.memoryUsage();
  print('memory of this process, its own messages included', `${mib(rss)}, of which in use ${mib(heapUsed)} (bar 300 MiB)`);
  print('file', `${(statSync(join(directory, 'telemetry.db')).size / 1024 ** 2).toFixed(0)} MiB for ${SECONDS} s`);
  const known = Array.from({ length: PROXIES }, (_, i) => ({ name: `service-${i}`, protocol: 'http' as const }));
  const asked = cpuMs();
  const rows = goldenRows(
    known,
    store.window(begin, begin + SECONDS * 1000, (labels) => isCounted(labels, 'service', 'inbound')),
    [],
    SECONDS,
    'service',
    'inbound',
  );
  print(`stat of ${rows.length} services over these seconds`, `${(cpuMs() - asked).toFixed(0)} ms`);
  store.close();
  rmSync(directory, { recursive: true, force: true });
}
