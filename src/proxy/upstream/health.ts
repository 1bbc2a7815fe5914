// Active health checks: every endpoint of a service that was called is asked in its interval, over the same connections as requests.
import { messageOf } from '../../base/fault.ts';
import { nowMs } from '../clock.ts';
import type { Runtime } from '../runtime.ts';
import { ask } from './ask.ts';
import type { Cluster, EndpointState } from './cluster.ts';
import type { UpstreamRequest } from './stream.ts';

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
        check(runtime, cluster, endpoint).catch((error: unknown) => runtime.log(`a health check failed: ${messageOf(error)}`));
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
  const { path, timeoutMs } = health;
  const request: UpstreamRequest = {
    head: { method: 'GET', target: path, major: 1, minor: 1, fields: [] },
    target: path,
    fields: ['host', cluster.upstream?.service ?? '', 'user-agent', 'meshctl-health'],
    framing: { kind: 'none' },
    upgrade: undefined,
  };
  const result = await ask(connection, request, [], timeoutMs);
  cluster.checked(endpoint, 'status' in result && result.status < 500);
}
