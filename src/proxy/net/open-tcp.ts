// One TCP connection of the own application to a TCP service: pick, open a stream or a connection to it, copy bytes both ways.
import type { Refusal } from '../../mesh/refusal.ts';
import type { Upstream } from '../../mesh/snapshot.ts';
import { nowMs } from '../clock.ts';
import { permitOutbound } from '../permit.ts';
import type { Runtime } from '../runtime.ts';
import { recordTcp } from '../tcp-record.ts';
import type { Channel } from './channel.ts';

/** `onOpen` runs before the first byte of the service is passed on. Never throws; a failure resets the application's connection. */
export async function openTcp(runtime: Runtime, upstream: Upstream, caller: Channel, onOpen: () => void): Promise<void> {
  const startMs = nowMs();
  const finish = (refusal: Refusal | undefined, requestBytes: number, responseBytes: number): void =>
    recordTcp(runtime, {
      kind: 'client',
      peerService: upstream.service,
      peerId: upstream.spiffeId,
      startMs,
      outcome: refusal ?? 'tcp',
      requestBytes,
      responseBytes,
    });
  const { pool } = runtime;
  const cluster = runtime.clusters.of(upstream, runtime.tables?.zone);
  const { traffic } = upstream;
  if (cluster.connections >= traffic.circuit.maxConnections) {
    finish('circuit_open', 0, 0);
    caller.reset('circuit_open');
    return;
  }
  cluster.connections++;
  const tried = new Set<string>();
  for (;;) {
    const endpoint = cluster.pick(permitOutbound(upstream), traffic, tried, startMs);
    if (endpoint !== undefined) endpoint.inFlight++;
    const result = endpoint === undefined ? ({ refusal: 'no_endpoint', why: '' } as const) : await pool.channel(endpoint);
    if ('refusal' in result) {
      if (endpoint !== undefined) {
        endpoint.inFlight--;
        tried.add(endpoint.key);
        const now = nowMs();
        cluster.settle(endpoint, false, now - startMs, now);
      }
      if (endpoint !== undefined && cluster.hasUntried(tried)) continue;
      cluster.connections--;
      finish(result.refusal, 0, 0);
      caller.reset(result.refusal);
      return;
    }
    onOpen();
    runtime.joins.join(undefined, caller, result, ({ aToB, bToA, cut }) => {
      cluster.connections--;
      if (endpoint !== undefined) endpoint.inFlight--;
      if (cut === 'identity_expired') runtime.recorder.identityExpired++;
      finish(cut, aToB, bToA);
    });
    return;
  }
}
