// Active health checks: every endpoint of a service that was called is asked in its interval, over the same connections as requests.
import { nowMs } from '../clock.ts';
import type { Runtime } from '../runtime.ts';
import type { Cluster, EndpointState } from './cluster.ts';
import type { UpstreamConnection, UpstreamStream } from './stream.ts';

const LOOK_EVERY_MS = 100;

/** Runs until the returned function is called. */
export function watchHealth(runtime: Runtime): () => void {
  const due = new WeakMap<EndpointState, number>();
  const timer = setInterval(() => {
    const now = nowMs();
    for (const cluster of runtime.clusters.all()) {
      const { traffic } = cluster.upstream ?? {};
      if (traffic?.health === undefined) continue;
      for (const endpoint of cluster.endpoints) {
        if ((due.get(endpoint) ?? 0) > now) continue;
        due.set(endpoint, now + traffic.health.intervalMs);
        void check(runtime, cluster, endpoint);
      }
    }
  }, LOOK_EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}

async function check(runtime: Runtime, cluster: Cluster, endpoint: EndpointState): Promise<void> {
  const health = cluster.upstream?.traffic.health;
  if (health === undefined) return;
  const connection = runtime.pool.ready(endpoint) ?? (await runtime.pool.connect(endpoint, 1));
  if ('refusal' in connection) return cluster.checked(endpoint, false);
  if (health.path === undefined) {
    connection.giveBack();
    return cluster.checked(endpoint, true);
  }
  cluster.checked(endpoint, await asks(connection, health.path, cluster.upstream?.service ?? '', health.timeoutMs));
}

function asks(connection: UpstreamConnection, path: string, host: string, limitMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    let stream: UpstreamStream | undefined;
    let status = 0;
    const finish = (ok: boolean): void => {
      clearTimeout(timer);
      resolve(ok);
    };
    const timer = setTimeout(() => {
      stream?.abort();
      finish(false);
    }, limitMs);
    stream = connection.open(
      {
        head: { method: 'GET', target: path, major: 1, minor: 1, fields: [] },
        target: path,
        fields: ['host', host, 'user-agent', 'meshctl-health'],
        framing: { kind: 'none' },
        upgrade: undefined,
      },
      {
        onInterim: () => undefined,
        onHead: (head) => {
          status = head.status;
        },
        onUpgrade: (_head, channel) => channel.reset('canceled'),
        onData: () => undefined,
        onEnd: () => finish(status < 500),
        onFault: () => finish(false),
        onDrain: () => undefined,
      },
    );
    stream.end([]);
  });
}
