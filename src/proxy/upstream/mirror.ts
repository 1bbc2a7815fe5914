// A copy of a request, sent to another service: what becomes of it changes nothing for the caller.
import type { Upstream } from '../../mesh/snapshot.ts';
import { nowMs } from '../clock.ts';
import { permitOutbound } from '../permit.ts';
import type { Runtime } from '../runtime.ts';
import type { UpstreamEvents, UpstreamRequest, UpstreamStream } from './stream.ts';

const LIMIT_MS = 30_000;

/** Sends the request with its whole body; counted under the service, without a span. */
export function sendCopy(runtime: Runtime, upstream: Upstream, request: UpstreamRequest, body: readonly Buffer[]): void {
  const cluster = runtime.clusters.of(upstream);
  const { traffic } = upstream;
  const startMs = nowMs();
  const endpoint = cluster.pick(permitOutbound(upstream), traffic, undefined, startMs);
  if (endpoint === undefined || cluster.requests >= traffic.circuit.maxRequests) return;
  cluster.requests++;
  endpoint.inFlight++;
  let stream: UpstreamStream | undefined;
  let status: number | undefined;
  let over = false;
  const finish = (outcome: string, ok: boolean | undefined): void => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    cluster.requests--;
    endpoint.inFlight--;
    const now = nowMs();
    cluster.settle(endpoint, ok, now - startMs, now);
    runtime.recorder.count('outbound', upstream.service, 'http', outcome, now - startMs);
  };
  const timer = setTimeout(() => {
    stream?.abort();
    finish('timeout', false);
  }, LIMIT_MS);
  const events: UpstreamEvents = {
    onInterim: () => undefined,
    onHead: (head) => {
      status = head.status;
    },
    onUpgrade: (_head, channel) => channel.reset('canceled'),
    onData: () => undefined,
    onEnd: () => finish(`${Math.floor((status ?? 0) / 100)}xx`, (status ?? 0) < 500),
    onFault: (refusal) => finish(refusal, false),
    onDrain: () => undefined,
  };
  const ready = runtime.pool.ready(endpoint);
  void (ready === undefined ? runtime.pool.connect(endpoint, request.head.major) : Promise.resolve(ready)).then((connection) => {
    if ('refusal' in connection) return finish(connection.refusal, false);
    if (over) return connection.giveBack();
    stream = connection.open(request, events);
    for (const bytes of body) stream.write(bytes);
    stream.end([]);
  });
}
