// One TCP connection of the own application to a TCP service: pick, connect with mTLS, copy bytes both ways with half-close.
import type { Socket } from 'node:net';
import type { Refusal } from '../../mesh/refusal.ts';
import type { Upstream } from '../../mesh/snapshot.ts';
import { nowMs } from '../clock.ts';
import { permitOutbound } from '../permit.ts';
import type { Runtime } from '../runtime.ts';
import { recordTcp } from '../tcp-record.ts';
import { pick } from '../upstream/pick.ts';
import { connect } from './connect.ts';
import { joinSockets } from './join.ts';

/** `onOpen` runs before the first byte of the service is passed on. Never throws; a failure closes the application's socket. */
export async function openTunnel(runtime: Runtime, upstream: Upstream, socket: Socket, first: Buffer, onOpen: () => void): Promise<void> {
  const startMs = nowMs();
  socket.on('error', () => undefined);
  socket.pause();
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
