// The mTLS listener in front of one port of the application. No byte of a caller is looked at before its certificate was
// verified and its SPIFFE id read; then HTTP goes to a connection, TCP is judged once and joined.
import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { readPeer } from '../../certs/peer.ts';
import { printSpiffeId } from '../../mesh/identity.ts';
import type { InboundListener } from '../bootstrap.ts';
import { callAt, nowMs } from '../clock.ts';
import { HANDSHAKE_TIMEOUT_MS, MAX_CONNECTIONS } from '../codec/limits.ts';
import { HttpConnection, type VerifiedPeer } from '../connection.ts';
import type { Current } from '../credentials.ts';
import { authorize } from '../permit.ts';
import type { Runtime } from '../runtime.ts';
import { recordTcp } from '../tcp-record.ts';
import { pick } from '../upstream/pick.ts';
import { connect, resetBelow } from './connect.ts';
import { joinSockets } from './join.ts';
import type { Listening } from './listen.ts';

/** A listener that takes nobody until `useCredentials` was called. */
export function createInbound(runtime: Runtime, listener: InboundListener): Listening & { useCredentials(current: Current): void } {
  const connections = new Set<HttpConnection>();
  const sockets = new Set<TLSSocket>();
  const server: Server = createServer({
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    allowHalfOpen: true,
    noDelay: true,
    ...(listener.protocol === 'http' ? { ALPNProtocols: ['http/1.1'] } : {}),
  });
  server.maxConnections = MAX_CONNECTIONS;
  // The TCP socket below each TLS socket: only that one can be reset. Found by the caller's address, which is unique while it is open.
  const raw = new Map<string, Socket>();
  server.on('connection', (socket: Socket) => {
    const key = addressOf(socket);
    raw.set(key, socket);
    socket.once('close', () => raw.delete(key));
  });
  const reset = (socket: TLSSocket): void => {
    sockets.delete(socket);
    const below = raw.get(addressOf(socket));
    if (below === undefined) socket.destroy();
    else resetBelow(socket, below);
  };
  // A failed handshake is the caller's matter: counted, never thrown.
  server.on('tlsClientError', () => runtime.recorder.count('inbound', '-', listener.protocol, 'identity_mismatch', 0));
  server.on('secureConnection', (socket) => {
    socket.on('error', () => undefined);
    const peer = readPeer(socket.getPeerX509Certificate());
    // A resumed session is not checked for expiry by TLS itself.
    const refused = 'refused' in peer ? peer.refused : peer.notAfterMs <= Date.now() ? 'its certificate has expired' : undefined;
    if ('refused' in peer || refused !== undefined) {
      runtime.recorder.count('inbound', '-', listener.protocol, 'identity_mismatch', 0);
      runtime.log(`refused a caller: ${refused}`);
      socket.destroy();
      return;
    }
    sockets.add(socket);
    runtime.recorder.openConnections++;
    socket.once('close', () => {
      sockets.delete(socket);
      runtime.recorder.openConnections--;
    });
    if (listener.protocol === 'tcp') {
      void serveTcp(runtime, listener, peer, socket, () => reset(socket));
      return;
    }
    const connection = new HttpConnection(
      runtime,
      { listener: { kind: 'inbound', portName: listener.portName, appPort: listener.appPort }, peer, reset: () => reset(socket) },
      socket,
    );
    connections.add(connection);
    const cancel = callAt(expiry(runtime, peer), () => {
      if (!connection.isIdle) runtime.recorder.identityExpired++;
      connection.close();
    });
    socket.once('close', () => {
      cancel();
      connections.delete(connection);
    });
  });
  return {
    server,
    useCredentials: (current) => server.setSecureContext(current.serverOptions),
    drain: () => {
      for (const connection of connections) connection.drain();
    },
    destroy: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}

function addressOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}

function expiry(runtime: Runtime, peer: VerifiedPeer): number {
  return Math.min(peer.notAfterMs, runtime.credentials.current?.notAfterMs ?? peer.notAfterMs);
}

async function serveTcp(
  runtime: Runtime,
  listener: InboundListener,
  peer: VerifiedPeer,
  socket: TLSSocket,
  reset: () => void,
): Promise<void> {
  const { recorder, tables } = runtime;
  const startMs = nowMs();
  socket.pause();
  recorder.inFlight++;
  const caller = printSpiffeId(peer.id);
  const port = { name: listener.portName, number: listener.appPort };
  const judged =
    tables === undefined
      ? undefined
      : authorize(tables, { caller: peer.id, port, http: undefined }, { kind: 'app', port: listener.appPort });
  const finish = (outcome: string, requestBytes: number, responseBytes: number): void => {
    recorder.inFlight--;
    recordTcp(runtime, {
      kind: 'server',
      peerService: peer.id.service,
      peerId: caller,
      startMs,
      outcome,
      decision: judged?.decision,
      requestBytes,
      responseBytes,
    });
  };
  const permit = judged?.permit;
  if (permit === undefined) {
    runtime.log(`denied ${caller} tcp: ${judged?.decision.rule ?? 'no configuration yet'}`);
    reset();
    finish('denied', 0, 0);
    return;
  }
  const destination = pick(permit, runtime.pool.inFlight, new Set());
  const result =
    destination === undefined ? ({ refusal: 'no_endpoint', why: '' } as const) : await connect(destination, runtime.credentials, undefined);
  if ('refusal' in result || socket.destroyed) {
    if (!('refusal' in result)) result.socket.destroy();
    reset();
    finish('refusal' in result ? result.refusal : 'canceled', 0, 0);
    return;
  }
  joinSockets({ socket, reset }, result, expiry(runtime, peer), (received, sent, expired) => {
    if (expired) recorder.identityExpired++;
    finish(expired ? 'identity_expired' : 'tcp', received, sent);
  });
}
