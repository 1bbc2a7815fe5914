// One TCP connection of the own application to a TCP service: pick, connect with mTLS, copy bytes both ways with half-close.
import type { Socket } from 'node:net';
import type { Refusal } from '../../mesh/refusal.ts';
import type { Upstream } from '../../mesh/snapshot.ts';
import { makeSpanId, makeTraceId } from '../../traces/context.ts';
import { nowMs } from '../clock.ts';
import { permitOutbound } from '../permit.ts';
import type { Runtime } from '../runtime.ts';
import { pick } from '../upstream/pick.ts';
import { connect } from './connect.ts';
import { joinSockets } from './join.ts';

/** `onOpen` runs before the first byte of the service is passed on. Never throws; a failure closes the application's socket. */
export async function openTunnel(runtime: Runtime, upstream: Upstream, socket: Socket, first: Buffer, onOpen: () => void): Promise<void> {
  const startMs = nowMs();
  socket.on('error', () => undefined);
  socket.pause();
  const finish = (refusal: Refusal | undefined, sent: number, received: number): void => {
    const durationMs = nowMs() - startMs;
    runtime.recorder.count('outbound', upstream.service, 'tcp', refusal ?? 'tcp', durationMs);
    runtime.recorder.span({
      traceId: makeTraceId(),
      spanId: makeSpanId(),
      parentId: undefined,
      requestId: '',
      kind: 'client',
      service: runtime.service,
      instance: runtime.instance,
      peerService: upstream.service,
      peerId: upstream.spiffeId,
      protocol: 'tcp',
      method: undefined,
      path: undefined,
      status: undefined,
      startMs,
      durationMs,
      attempt: 1,
      refusal,
      verdict: undefined,
      rule: undefined,
      rulePlace: undefined,
      revision: undefined,
      requestBytes: sent,
      responseBytes: received,
    });
  };
  const tried = new Set<string>();
  for (;;) {
    const destination = pick(permitOutbound(upstream), runtime.pool.inFlight, tried);
    const result =
      destination === undefined
        ? ({ refusal: 'no_endpoint', why: '' } as const)
        : await connect(destination, runtime.credentials, undefined);
    if ('refusal' in result) {
      if (destination !== undefined) tried.add(destination.key);
      if (tried.size < upstream.endpoints.length) continue;
      finish(result.refusal, 0, 0);
      socket.resetAndDestroy();
      return;
    }
    if (socket.destroyed) {
      result.socket.destroy();
      finish(undefined, 0, 0);
      return;
    }
    onOpen();
    if (first.length > 0) result.socket.write(first);
    joinSockets({ socket, reset: () => void socket.resetAndDestroy() }, result, result.expiresAtMs, (sent, received, expired) => {
      if (expired) runtime.recorder.identityExpired++;
      finish(expired ? 'identity_expired' : undefined, sent, received);
    });
    return;
  }
}
