// Opens a connection to a destination: plain to the own application, mTLS to another proxy.
// Nothing is sent before the other end has proved the very identity that was meant.
import { connect as connectTcp, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { codeOf, messageOf } from '../../base/fault.ts';
import type { VerifiedPeer } from '../../certs/peer.ts';
import type { PeerLink } from '../../mesh/messages.ts';
import type { Refusal } from '../../mesh/refusal.ts';
import type { Credentials } from '../credentials.ts';
import type { Revoked } from '../revoked.ts';
import type { Destination } from '../upstream/cluster.ts';

export interface Connected {
  readonly socket: Socket;
  /** Ends it so that the other end does not take it for a proper end. */
  reset(): void;
  /** After this moment the connection carries no new request: a certificate on it comes to its end. Infinity for plain ones. */
  readonly retireAtMs: number;
  /** When a certificate on it ends. */
  readonly expiresAtMs: number;
  /** Generation of our credentials that it was made with, and their serial; 0 for plain ones. */
  readonly generation: number;
  readonly ownSerial: string;
  /** Who proved to be at the other end; undefined for plain ones. */
  readonly peer: VerifiedPeer | undefined;
  /** What both ends agreed to speak (ALPN); undefined when nothing was agreed. */
  readonly protocol: string | undefined;
}

export type ConnectResult = Connected | { readonly refusal: Refusal; readonly why: string };

/** `alpn`: protocols to offer to another proxy, best first. Never throws; gives the refusal that the caller of the proxy gets. */
export function connect(
  destination: Destination,
  credentials: Credentials,
  revoked: Revoked,
  alpn: readonly string[],
): Promise<ConnectResult> {
  return destination.spiffeId === undefined
    ? connectPlain(destination)
    : connectMutual(destination, destination.spiffeId, credentials, revoked, alpn);
}

function connectPlain(destination: Destination): Promise<ConnectResult> {
  const socket = connectTcp({ host: destination.host, port: destination.port, noDelay: true, allowHalfOpen: true });
  return settle(socket, 'connect', destination.connectTimeoutMs, () => ({
    socket,
    reset: () => void socket.resetAndDestroy(),
    retireAtMs: Number.POSITIVE_INFINITY,
    expiresAtMs: Number.POSITIVE_INFINITY,
    generation: 0,
    ownSerial: '',
    peer: undefined,
    protocol: undefined,
  }));
}

function connectMutual(
  destination: Destination,
  expected: string,
  credentials: Credentials,
  revoked: Revoked,
  alpn: readonly string[],
): Promise<ConnectResult> {
  const own = credentials.current;
  const now = Date.now();
  if (own === undefined || own.notAfterMs <= now)
    return Promise.resolve({ refusal: 'identity_expired', why: 'this proxy has no valid certificate' });
  const raw = connectTcp({ host: destination.host, port: destination.port, noDelay: true, allowHalfOpen: true });
  const options: ConnectionOptions & { allowHalfOpen: boolean } = {
    socket: raw,
    secureContext: own.clientContext,
    rejectUnauthorized: true,
    // The identity is in the SPIFFE id, not in a host name; it is compared below before anything is sent.
    checkServerIdentity: () => undefined,
    allowHalfOpen: true,
    ALPNProtocols: [...alpn],
  };
  const socket: TLSSocket = connectTls(options);
  return settle(socket, 'secureConnect', destination.connectTimeoutMs, () => {
    const peer = credentials.verifiedPeer(socket.getPeerX509Certificate());
    if ('refused' in peer) return { refusal: 'identity_mismatch', why: peer.refused };
    if (revoked.has(peer)) return { refusal: 'revoked', why: `the certificate of ${peer.printed} was revoked` };
    if (peer.printed !== expected) return { refusal: 'identity_mismatch', why: `expected ${expected}, the other end is ${peer.printed}` };
    const expiresAtMs = Math.min(peer.notAfterMs, own.notAfterMs);
    // The last tenth of what is left, between 0.5 s and 30 s, is kept free for requests that are under way.
    const margin = Math.min(30_000, Math.max(500, (expiresAtMs - now) / 10));
    return {
      socket,
      reset: () => resetBelow(socket, raw),
      retireAtMs: expiresAtMs - margin,
      expiresAtMs,
      generation: own.generation,
      ownSerial: own.serial,
      peer,
      protocol: socket.alpnProtocol || undefined,
    };
  });
}

/** What `edges` shows of one connection. */
export function linkOf(direction: PeerLink['direction'], peer: VerifiedPeer, ownSerial: string | undefined, socket: Socket): PeerLink {
  const tls = socket as TLSSocket;
  return {
    direction,
    identity: peer.printed,
    serial: peer.serial,
    ownSerial: ownSerial ?? '',
    tls: tls.getProtocol?.() ?? '',
    cipher: tls.getCipher?.()?.standardName ?? '',
    connections: 1,
  };
}

/**
 * Resets the TCP connection below a TLS socket, which then closes by itself.
 * INVARIANT: never after the TLS socket was destroyed, nor is it destroyed in the same turn: Node 26 would crash.
 */
export function resetBelow(socket: TLSSocket, below: Socket): void {
  if (!socket.destroyed) below.resetAndDestroy();
}

function settle(socket: Socket, event: 'connect' | 'secureConnect', limitMs: number, accept: () => ConnectResult): Promise<ConnectResult> {
  return new Promise((resolve) => {
    const finish = (result: ConnectResult): void => {
      clearTimeout(timer);
      socket.removeListener('error', onError);
      socket.removeListener('close', onClose);
      if ('refusal' in result) socket.destroy();
      resolve(result);
    };
    const onError = (error: Error): void => finish(refusalFor(error));
    const onClose = (): void => finish({ refusal: 'upstream_refused', why: 'the connection was closed during the handshake' });
    const timer = setTimeout(() => finish({ refusal: 'timeout', why: `no connection within ${limitMs} ms` }), limitMs);
    // Whoever takes the socket over adds its own; until then an error must not end the process.
    socket.on('error', () => undefined);
    socket.once('error', onError);
    socket.once('close', onClose);
    socket.once(event, () => finish(accept()));
  });
}

const VERIFICATION = /^(?:CERT_|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|ERR_TLS_CERT|INVALID_PURPOSE|INVALID_CA|PATH_LENGTH|HOSTNAME_MISMATCH)/;

function refusalFor(error: Error): ConnectResult {
  const code = codeOf(error) ?? '';
  if (VERIFICATION.test(code)) return { refusal: 'identity_mismatch', why: `the other end's certificate is refused: ${messageOf(error)}` };
  if (code === 'ECONNREFUSED') return { refusal: 'upstream_refused', why: 'nothing listens there' };
  return { refusal: 'upstream_refused', why: messageOf(error) };
}
