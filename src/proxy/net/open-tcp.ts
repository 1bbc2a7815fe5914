// One TCP connection of the own application to a TCP service: pick, open a stream or a connection to it, copy bytes both ways.
import type { Refusal } from '../../mesh/refusal.ts';
import type { Upstream } from '../../mesh/snapshot.ts';
import { nowMs } from '../clock.ts';
import { permitOutbound } from '../permit.ts';
import type { Runtime } from '../runtime.ts';
import { recordTcp } from '../tcp-record.ts';
import { pick } from '../upstream/pick.ts';
import type { Channel } from './channel.ts';
import { join } from './join.ts';

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
  const tried = new Set<string>();
  for (;;) {
    const destination = pick(permitOutbound(upstream), pool.inFlight, tried);
    if (destination !== undefined) pool.enter(destination.key);
    const result = destination === undefined ? ({ refusal: 'no_endpoint', why: '' } as const) : await pool.channel(destination);
    if ('refusal' in result) {
      if (destination !== undefined) {
        pool.leave(destination.key);
        tried.add(destination.key);
      }
      if (tried.size < upstream.endpoints.length) continue;
      finish(result.refusal, 0, 0);
      caller.reset(result.refusal);
      return;
    }
    onOpen();
    join(caller, result, ({ aToB, bToA, cut }) => {
      if (destination !== undefined) pool.leave(destination.key);
      if (cut === 'identity_expired') runtime.recorder.identityExpired++;
      finish(cut, aToB, bToA);
    });
    return;
  }
}
