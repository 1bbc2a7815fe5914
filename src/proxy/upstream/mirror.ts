// A copy of a request, sent to another service: what becomes of it changes nothing for the caller.
import { messageOf } from '../../base/fault.ts';
import type { Upstream } from '../../mesh/snapshot.ts';
import { outcomeOf } from '../../signals/metrics.ts';
import { nowMs } from '../clock.ts';
import { permitOutbound } from '../permit.ts';
import type { Runtime } from '../runtime.ts';
import { ask } from './ask.ts';
import type { Cluster, EndpointState } from './cluster.ts';
import type { UpstreamRequest } from './stream.ts';

const LIMIT_MS = 30_000;

/** Sends the request with its whole body; counted under the service, without a span. */
export function sendCopy(runtime: Runtime, upstream: Upstream, request: UpstreamRequest, body: readonly Buffer[]): void {
  const cluster = runtime.clusters.of(upstream, runtime.tables?.zone);
  const { traffic } = upstream;
  const endpoint = cluster.pick(permitOutbound(upstream), traffic, undefined, nowMs());
  if (endpoint === undefined || cluster.requests >= traffic.circuit.maxRequests) return;
  cluster.requests++;
  endpoint.inFlight++;
  send(runtime, cluster, endpoint, upstream.service, request, body)
    .catch((error: unknown) => runtime.log(`a copy for ${upstream.service} failed: ${messageOf(error)}`))
    .finally(() => {
      cluster.requests--;
      endpoint.inFlight--;
    });
}

async function send(
  runtime: Runtime,
  cluster: Cluster,
  endpoint: EndpointState,
  service: string,
  request: UpstreamRequest,
  body: readonly Buffer[],
): Promise<void> {
  const startMs = nowMs();
  const connection = runtime.pool.ready(endpoint) ?? (await runtime.pool.connect(endpoint, request.head.major));
  const result = 'refusal' in connection ? connection : await ask(connection, request, body, LIMIT_MS);
  const now = nowMs();
  const failed = 'refusal' in result;
  cluster.settle(endpoint, !failed && result.status < 500, now - startMs, now);
  const outcome = failed ? result.refusal : outcomeOf(result.status, undefined);
  runtime.recorder.count('outbound', service, 'http', outcome, now - startMs);
}
