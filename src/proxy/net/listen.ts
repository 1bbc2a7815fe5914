// Plain listeners on loopback: for the own application (one per service that it calls, and the forward proxy) and for the ingress.
import { createServer, type Server, type Socket } from 'node:net';
import { codeOf, Fault, messageOf } from '../../base/fault.ts';
import { addressKey, upstreamKey } from '../../mesh/snapshot.ts';
import { MAX_CONNECTIONS } from '../codec/limits.ts';
import { HttpConnection } from '../connection.ts';
import type { Listener } from '../route/match.ts';
import type { Runtime } from '../runtime.ts';
import { socketChannel } from './channel.ts';
import { detectProtocol } from './detect.ts';
import { openTcp } from './open-tcp.ts';
import { originalDestination } from './original-destination.ts';

export interface Listening {
  readonly server: Server;
  /** Idle connections close, busy ones after their answer. */
  drain(): void;
  destroy(): void;
}

/** For HTTP: the ingress, the forward proxy, and one service that the own application calls. */
export function createHttpListener(runtime: Runtime, listener: Listener): Listening {
  return createListener(runtime, listener, (socket, serveHttp) => serveHttp(socket));
}

/** For the connections of the own application to one TCP service. */
export function createTcpListener(runtime: Runtime, service: string): Listening {
  return createListener(runtime, { kind: 'outbound', service }, (socket) => serveTcp(runtime, service, socket), true);
}

/** For whatever the own application speaks to one service. */
export function createDetectListener(runtime: Runtime, service: string): Listening {
  return createListener(runtime, { kind: 'outbound', service }, (socket, serveHttp) =>
    detectProtocol(socket, (protocol) => (protocol === 'http' ? serveHttp(socket) : serveTcp(runtime, service, socket))),
  );
}

/**
 * For connections that the kernel redirects here, whatever address they were meant for: that of a service of the mesh leads there;
 * HTTP to any other goes by its Host as through HTTP_PROXY; everything else is reset.
 */
export function createCaptureListener(runtime: Runtime): Listening {
  return createListener(runtime, { kind: 'forward' }, (socket, serveHttp) => {
    const meant = originalDestination(socket);
    const upstream = meant === undefined ? undefined : runtime.tables?.byAddress.get(addressKey(meant));
    const listener: Listener =
      upstream === undefined ? { kind: 'forward' } : { kind: 'outbound', service: upstreamKey(upstream), keepHost: true };
    if (upstream?.protocol === 'tcp') return serveTcp(runtime, upstreamKey(upstream), socket);
    if (upstream !== undefined && upstream.protocol !== 'detect') return serveHttp(socket, listener);
    detectProtocol(socket, (protocol) => {
      if (protocol === 'http') serveHttp(socket, listener);
      else serveTcp(runtime, upstream === undefined ? `${meant?.host}:${meant?.port}` : upstreamKey(upstream), socket);
    });
  });
}

function createListener(
  runtime: Runtime,
  listener: Listener,
  serve: (socket: Socket, serveHttp: (socket: Socket, listener?: Listener) => void) => void,
  pauseOnConnect = false,
): Listening {
  const sockets = new Set<Socket>();
  const connections = new Set<HttpConnection>();
  const serveHttp = (socket: Socket, as = listener): void => {
    const origin = { listener: as, peer: undefined, reset: () => void socket.resetAndDestroy() };
    const connection = new HttpConnection(runtime, origin, socket);
    connections.add(connection);
    socket.once('close', () => connections.delete(connection));
  };
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect }, (socket) => {
    if (listener.kind === 'ingress') runtime.recorder.openConnections++;
    sockets.add(socket);
    socket.once('close', () => {
      sockets.delete(socket);
      if (listener.kind === 'ingress') runtime.recorder.openConnections--;
    });
    serve(socket, serveHttp);
  });
  server.maxConnections = MAX_CONNECTIONS;
  return {
    server,
    drain: () => {
      for (const connection of connections) connection.drain();
    },
    destroy: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}

function serveTcp(runtime: Runtime, service: string, socket: Socket): void {
  const upstream = runtime.tables?.upstreams.get(service);
  if (upstream === undefined || (upstream.protocol !== 'tcp' && upstream.protocol !== 'detect')) {
    runtime.recorder.count('outbound', service, 'tcp', 'no_route', 0);
    socket.resetAndDestroy();
    return;
  }
  socket.on('error', () => undefined);
  const channel = socketChannel(socket, () => void socket.resetAndDestroy(), undefined, Number.POSITIVE_INFINITY);
  void openTcp(runtime, upstream, channel, () => undefined);
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
