// The mTLS listener in front of one port of the application. No byte of a caller is looked at before its certificate was
// verified and its SPIFFE id read; then HTTP goes to a connection, TCP is judged once and joined.
import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { VerifiedPeer } from '../../certs/peer.ts';
import type { PeerLink } from '../../mesh/messages.ts';
import type { Refusal } from '../../mesh/refusal.ts';
import type { Protocol } from '../../mesh/snapshot.ts';
import type { InboundListener } from '../bootstrap.ts';
import { callAt, nowMs } from '../clock.ts';
import { HANDSHAKE_TIMEOUT_MS, MAX_CONNECTIONS, MAX_HANDSHAKES } from '../codec/limits.ts';
import { HttpConnection, type Origin } from '../connection.ts';
import type { Current } from '../credentials.ts';
import { serveH2 } from '../h2/serve.ts';
import { authorize } from '../permit.ts';
import type { Runtime } from '../runtime.ts';
import { recordTcp } from '../tcp-record.ts';
import { ALPN } from '../tunnel/frame.ts';
import { serveTunnel } from '../tunnel/serve.ts';
import { appDestination } from '../upstream/cluster.ts';
import { type Channel, socketChannel } from './channel.ts';
import { linkOf, resetBelow } from './connect.ts';
import { detectProtocol } from './detect.ts';
import type { Listening } from './listen.ts';

export interface Inbound extends Listening {
  useCredentials(current: Current): void;
  /** Ends the connections of callers who are meant; gives how many. */
  cut(isMeant: (peer: VerifiedPeer) => boolean): number;
  /** One for each open connection. */
  readonly links: readonly PeerLink[];
  /** Open connections that were accepted with earlier credentials of this proxy. */
  readonly stale: number;
}

/** A listener that takes nobody until `useCredentials` was called. */
export function createInbound(runtime: Runtime, listener: InboundListener): Inbound {
  const connections = new Map<Served, { readonly peer: VerifiedPeer; readonly own: Current | undefined; readonly socket: TLSSocket }>();
  const countRefused = (why: Refusal): void => runtime.recorder.count('inbound', '-', listener.protocol === 'tcp' ? 'tcp' : 'http', why, 0);
  const sockets = new Set<TLSSocket>();
  const server: Server = createServer({
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    allowHalfOpen: true,
    noDelay: true,
    ALPNCallback: ({ protocols }) => chooseProtocol(listener.protocol, protocols),
  });
  server.maxConnections = MAX_CONNECTIONS;
  // The TCP socket below each TLS socket: only that one can be reset. Found by the caller's address, which is unique while it is open.
  const raw = new Map<string, Socket>();
  server.on('connection', (socket: Socket) => {
    if (raw.size - sockets.size >= MAX_HANDSHAKES) {
      countRefused('overloaded');
      socket.destroy();
      return;
    }
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
  server.on('tlsClientError', () => countRefused('identity_mismatch'));
  server.on('secureConnection', (socket) => {
    socket.on('error', () => undefined);
    const peer = runtime.credentials.verifiedPeer(socket.getPeerX509Certificate());
    // A resumed session is not checked for expiry by TLS itself.
    const refused = 'refused' in peer ? peer.refused : peer.notAfterMs <= Date.now() ? 'its certificate has expired' : undefined;
    if ('refused' in peer || refused !== undefined) {
      countRefused('identity_mismatch');
      runtime.log(`refused a caller: ${refused}`);
      socket.destroy();
      return;
    }
    if (runtime.revoked.has(peer)) {
      countRefused('revoked');
      runtime.log(`refused ${peer.printed}: its certificate ${peer.serial} was revoked`);
      socket.destroy();
      return;
    }
    sockets.add(socket);
    runtime.recorder.openConnections++;
    socket.once('close', () => {
      sockets.delete(socket);
      runtime.recorder.openConnections--;
    });
    const origin: Origin = {
      listener: {
        kind: 'inbound',
        portName: listener.portName,
        protocol: listener.protocol,
        appHost: listener.appHost ?? '127.0.0.1',
        appPort: listener.appPort,
      },
      peer,
      reset: () => reset(socket),
    };
    const connection = serve(runtime, listener, origin, peer, socket);
    connections.set(connection, { peer, own: runtime.credentials.current, socket });
    const cancel = callAt(expiry(runtime, peer), () => connection.expire());
    socket.once('close', () => {
      cancel();
      connections.delete(connection);
    });
  });
  return {
    server,
    cut: (isMeant) => {
      const meant = [...connections].filter(([, { peer }]) => isMeant(peer));
      for (const [connection] of meant) connection.cut();
      return meant.length;
    },
    get stale() {
      const generation = runtime.credentials.current?.generation;
      return [...connections.values()].filter(({ own }) => own?.generation !== generation).length;
    },
    get links() {
      return [...connections.values()].map(({ peer, own, socket }) => linkOf('inbound', peer, own?.serial, socket));
    },
    useCredentials: (current) => server.setSecureContext(current.serverOptions),
    drain: () => {
      for (const connection of connections.keys()) connection.drain();
    },
    destroy: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}

// A TCP port speaks whatever the caller says it does.
function chooseProtocol(protocol: Protocol, offered: readonly string[]): string | undefined {
  if (offered.includes(ALPN)) return ALPN;
  const http = protocol === 'tcp' ? undefined : offered.find((each) => each === 'h2' || each === 'http/1.1');
  return http ?? (protocol === 'tcp' || protocol === 'detect' ? offered[0] : undefined);
}

function addressOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}

function expiry(runtime: Runtime, peer: VerifiedPeer): number {
  return Math.min(peer.notAfterMs, runtime.credentials.current?.notAfterMs ?? peer.notAfterMs);
}

interface Served {
  drain(): void;
  /** A certificate on the connection has ended. */
  expire(): void;
  /** The control plane wants it gone, with what is under way on it. */
  cut(): void;
}

function serve(runtime: Runtime, listener: InboundListener, origin: Origin, peer: VerifiedPeer, socket: TLSSocket): Served {
  const { recorder } = runtime;
  if (socket.alpnProtocol === ALPN) {
    const tunnel = serveTunnel(runtime, origin, socket, (channel) => void serveTcp(runtime, listener, peer, channel));
    return {
      drain: () => tunnel.retire(),
      expire: () => {
        recorder.identityExpired += tunnel.size;
        tunnel.close('identity_expired');
      },
      cut: () => tunnel.close('revoked'),
    };
  }
  if (socket.alpnProtocol === 'h2' && listener.protocol !== 'tcp') {
    const session = serveH2(runtime, origin, socket);
    return {
      drain: () => session.retire(),
      expire: () => {
        recorder.identityExpired += session.size;
        session.close();
      },
      cut: () => session.close(),
    };
  }
  const raw = (): Served => {
    socket.pause();
    void serveTcp(runtime, listener, peer, socketChannel(socket, origin.reset, undefined, expiry(runtime, peer)));
    // The join of the two ends it.
    return { drain: () => undefined, expire: () => undefined, cut: () => undefined };
  };
  const http = (): Served => {
    const connection = new HttpConnection(runtime, origin, socket);
    return {
      drain: () => connection.drain(),
      expire: () => {
        if (!connection.isIdle) recorder.identityExpired++;
        connection.close();
      },
      cut: () => connection.close(),
    };
  };
  if (listener.protocol === 'tcp') return raw();
  if (listener.protocol !== 'detect' || socket.alpnProtocol === 'http/1.1') return http();
  let served: Served | undefined;
  detectProtocol(socket, (protocol) => {
    served = protocol === 'http' ? http() : raw();
  });
  return {
    drain: () => served?.drain(),
    expire: () => {
      if (served === undefined) socket.destroy();
      else served.expire();
    },
    cut: () => {
      if (served === undefined) socket.destroy();
      else served.cut();
    },
  };
}

async function serveTcp(runtime: Runtime, listener: InboundListener, peer: VerifiedPeer, channel: Channel): Promise<void> {
  const { recorder, tables, pool } = runtime;
  const startMs = nowMs();
  if (runtime.revoked.has(peer)) {
    channel.reset('revoked');
    return;
  }
  recorder.inFlight++;
  const facts = { caller: peer.id, port: { name: listener.portName, number: listener.appPort }, http: undefined, atMs: startMs };
  const target = { kind: 'app', host: listener.appHost ?? '127.0.0.1', port: listener.appPort, protocol: 'tcp' } as const;
  const judged = tables === undefined ? undefined : authorize(tables, facts, target);
  const finish = (outcome: string, requestBytes: number, responseBytes: number): void => {
    recorder.inFlight--;
    recordTcp(runtime, {
      kind: 'server',
      peerService: peer.id.service,
      peerId: peer.printed,
      startMs,
      outcome,
      decision: judged?.decision,
      port: facts.port,
      requestBytes,
      responseBytes,
    });
  };
  const destination = judged?.permit === undefined ? undefined : appDestination(judged.permit, 1);
  if (destination === undefined) {
    runtime.log(`denied ${peer.printed} tcp: ${judged?.decision.rule ?? 'no configuration yet'}`);
    channel.reset('denied');
    finish('denied', 0, 0);
    return;
  }
  const result = await pool.channel(destination);
  if ('refusal' in result) {
    channel.reset(result.refusal);
    finish(result.refusal, 0, 0);
    return;
  }
  const judge = (): boolean =>
    runtime.tables === undefined || authorize(runtime.tables, { ...facts, atMs: nowMs() }, target).permit !== undefined;
  runtime.joins.join({ peer, judge }, channel, result, ({ aToB, bToA, cut }) => {
    if (cut === 'identity_expired') recorder.identityExpired++;
    finish(cut ?? 'tcp', aToB, bToA);
  });
}
