// Plain listeners on loopback: for the own application (one per service that it calls, and the forward proxy) and for the ingress.
import { createServer, type Server, type Socket } from 'node:net';
import { codeOf, Fault, messageOf } from '../../base/fault.ts';
import { MAX_CONNECTIONS } from '../codec/limits.ts';
import { HttpConnection } from '../connection.ts';
import type { Listener } from '../route/match.ts';
import type { Runtime } from '../runtime.ts';
import { socketChannel } from './channel.ts';
import { openTcp } from './open-tcp.ts';

export interface Listening {
  readonly server: Server;
  /** Idle connections close, busy ones after their answer. */
  drain(): void;
  destroy(): void;
}

export function createHttpListener(runtime: Runtime, listener: Listener): Listening {
  const connections = new Map<Socket, HttpConnection>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    if (listener.kind === 'ingress') runtime.recorder.openConnections++;
    connections.set(socket, new HttpConnection(runtime, { listener, peer: undefined, reset: () => void socket.resetAndDestroy() }, socket));
    socket.once('close', () => {
      connections.delete(socket);
      if (listener.kind === 'ingress') runtime.recorder.openConnections--;
    });
  });
  server.maxConnections = MAX_CONNECTIONS;
  return {
    server,
    drain: () => {
      for (const connection of connections.values()) connection.drain();
    },
    destroy: () => {
      for (const socket of connections.keys()) socket.destroy();
    },
  };
}

/** For the connections of the own application to one TCP service. */
export function createTcpListener(runtime: Runtime, service: string): Listening {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    const upstream = runtime.tables?.upstreams.get(service);
    if (upstream === undefined || upstream.protocol !== 'tcp') {
      runtime.recorder.count('outbound', service, 'tcp', 'no_route', 0);
      socket.resetAndDestroy();
      return;
    }
    socket.on('error', () => undefined);
    const channel = socketChannel(socket, () => void socket.resetAndDestroy(), undefined, Number.POSITIVE_INFINITY);
    void openTcp(runtime, upstream, channel, () => undefined);
  });
  server.maxConnections = MAX_CONNECTIONS;
  return {
    server,
    drain: () => undefined,
    destroy: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Binds, to 127.0.0.1 when no host is given, and gives the port. Throws PORT_IN_USE with the purpose in the message. */
export function bind(server: Server, { host = '127.0.0.1', port }: { host?: string; port: number }, purpose: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const inUse = codeOf(error) === 'EADDRINUSE';
      const message = inUse ? `port ${port} (${purpose}) is in use` : `cannot listen on port ${port} (${purpose}): ${messageOf(error)}`;
      reject(
        new Fault(inUse ? 'PORT_IN_USE' : 'PORT_UNUSABLE', 'conflict', message, {
          cause: error,
          hint: 'choose another port, or 0 for any free one',
        }),
      );
    });
    server.listen({ host, port, backlog: 1024 }, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
}
