// Connections by destination: to another proxy one tunnel that carries every stream, to an application (or a peer that
// speaks no tunnel) idle HTTP/1.1 connections, one request each.
import type { Refusal } from '../../mesh/refusal.ts';
import { APP_POOL_IDLE_MS, MAX_IDLE_PER_ENDPOINT, POOL_IDLE_MS } from '../codec/limits.ts';
import type { Credentials } from '../credentials.ts';
import type { Channel } from '../net/channel.ts';
import { socketChannel } from '../net/channel.ts';
import { type ConnectResult, connect } from '../net/connect.ts';
import { ALPN } from '../tunnel/frame.ts';
import type { Destination } from './cluster.ts';
import { H1Connection } from './h1.ts';
import type { UpstreamConnection } from './stream.ts';
import { Tunnel } from './tunnel.ts';

export type Failure = { readonly refusal: Refusal; readonly why: string };

export class Pool {
  readonly #credentials: Credentials;
  readonly #onExpired: (streams: number) => void;
  readonly #idle = new Map<string, H1Connection[]>();
  readonly #tunnels = new Map<string, Tunnel>();
  /** Handshakes under way: whoever else wants the same tunnel waits for it. */
  readonly #opening = new Map<string, Promise<ConnectResult>>();
  /** Every tunnel that is open, those included that take no new streams. */
  readonly #open = new Set<Tunnel>();

  /** `onExpired` is told how many streams ended because a certificate on their connection did. */
  constructor(credentials: Credentials, onExpired: (streams: number) => void) {
    this.#credentials = credentials;
    this.#onExpired = onExpired;
  }

  /** A connection that is there and takes a request now, if there is one. */
  ready(destination: Destination): UpstreamConnection | undefined {
    return this.#tunnel(destination.key) ?? this.#takeIdle(destination.key);
  }

  /** A connection for one request; a new one, or the tunnel that all share. */
  async connect(destination: Destination, _major: 1 | 2): Promise<UpstreamConnection | Failure> {
    const result = await this.#connected(destination, 'http/1.1');
    if ('refusal' in result) return result;
    if (result instanceof Tunnel) return result;
    return new H1Connection(result, {
      onReleased: (connection, reusable) => this.#release(destination, connection, reusable),
      onIdleClosed: (connection) => this.#forget(destination.key, connection),
    });
  }

  /** A raw TCP connection: a stream of the tunnel, or a connection of its own. */
  async channel(destination: Destination): Promise<Channel | Failure> {
    const result = this.#tunnel(destination.key) ?? (await this.#connected(destination, undefined));
    if ('refusal' in result) return result;
    if (result instanceof Tunnel) return result.openTcp();
    return socketChannel(result.socket, result.reset, undefined, result.expiresAtMs);
  }

  /** Connections of an older generation of credentials, or to endpoints that are gone, take no new requests. */
  prune(isKnown: (key: string) => boolean): void {
    const generation = this.#credentials.current?.generation;
    for (const [key, connections] of this.#idle) {
      const stale = connections.filter(
        ({ connected }) =>
          (connected.generation !== 0 && connected.generation !== generation) || (!key.startsWith('app:') && !isKnown(key)),
      );
      for (const connection of stale) connection.close();
    }
    for (const [key, tunnel] of this.#tunnels) {
      if (tunnel.connected.generation === generation && isKnown(key)) continue;
      this.#tunnels.delete(key);
      tunnel.retire();
    }
  }

  closeAll(): void {
    for (const connections of [...this.#idle.values()]) for (const connection of [...connections]) connection.close();
    for (const tunnel of [...this.#open]) tunnel.close();
  }

  async #connected(destination: Destination, alpn: string | undefined): Promise<ConnectResult | Tunnel> {
    const { key } = destination;
    if (destination.spiffeId === undefined) return connect(destination, this.#credentials, []);
    const under = this.#opening.get(key);
    if (under !== undefined) {
      const result = await under;
      if ('refusal' in result) return result;
      const tunnel = this.#tunnel(key);
      if (tunnel !== undefined) return tunnel;
      // The other end speaks no tunnel: a connection for each.
    }
    const protocols = [ALPN, ...(alpn === undefined ? [] : [alpn])];
    const opening = connect(destination, this.#credentials, protocols);
    if (under === undefined) this.#opening.set(key, opening);
    const result = await opening;
    if (under === undefined) this.#opening.delete(key);
    if ('refusal' in result || result.protocol !== ALPN) return result;
    const tunnel: Tunnel = new Tunnel(
      result,
      () => {
        if (this.#tunnels.get(key) === tunnel) this.#tunnels.delete(key);
        if (!tunnel.isOpen) this.#open.delete(tunnel);
      },
      this.#onExpired,
    );
    this.#tunnels.set(key, tunnel);
    this.#open.add(tunnel);
    return tunnel;
  }

  #tunnel(key: string): Tunnel | undefined {
    const tunnel = this.#tunnels.get(key);
    if (tunnel === undefined) return undefined;
    if (tunnel.isUsable && tunnel.connected.generation === this.#credentials.current?.generation) return tunnel;
    this.#tunnels.delete(key);
    tunnel.retire();
    return undefined;
  }

  #takeIdle(key: string): H1Connection | undefined {
    const stack = this.#idle.get(key);
    for (let connection = stack?.pop(); connection !== undefined; connection = stack?.pop()) {
      if (this.#mayReuse(connection)) return connection;
      connection.close();
    }
    return undefined;
  }

  #mayReuse(connection: H1Connection): boolean {
    const { generation, retireAtMs } = connection.connected;
    if (!connection.isUsable) return false;
    return generation === 0 || (Date.now() < retireAtMs && generation === this.#credentials.current?.generation);
  }

  #release(destination: Destination, connection: H1Connection, reusable: boolean): void {
    let stack = this.#idle.get(destination.key);
    if (!reusable || (stack !== undefined && stack.length >= MAX_IDLE_PER_ENDPOINT) || !this.#mayReuse(connection)) {
      connection.close();
      return;
    }
    if (stack === undefined) {
      stack = [];
      this.#idle.set(destination.key, stack);
    }
    stack.push(connection);
    connection.closeWhenIdle(destination.spiffeId === undefined ? APP_POOL_IDLE_MS : POOL_IDLE_MS);
  }

  #forget(key: string, connection: H1Connection): void {
    const stack = this.#idle.get(key);
    const at = stack?.indexOf(connection) ?? -1;
    if (at >= 0) stack?.splice(at, 1);
    if (stack?.length === 0) this.#idle.delete(key);
  }
}
