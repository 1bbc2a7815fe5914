// Connections by destination: to another proxy one tunnel that carries every stream; HTTP/2 where the other end speaks it;
// else idle HTTP/1.1 connections, one request each.
import type { VerifiedPeer } from '../../certs/peer.ts';
import type { PeerLink } from '../../mesh/messages.ts';
import type { Refusal } from '../../mesh/refusal.ts';
import { APP_POOL_IDLE_MS, MAX_IDLE_PER_ENDPOINT, POOL_IDLE_MS } from '../codec/limits.ts';
import type { Credentials } from '../credentials.ts';
import type { Channel } from '../net/channel.ts';
import { socketChannel } from '../net/channel.ts';
import { type ConnectResult, connect, linkOf } from '../net/connect.ts';
import type { Revoked } from '../revoked.ts';
import { ALPN } from '../tunnel/frame.ts';
import type { Destination } from './cluster.ts';
import { H1Connection } from './h1.ts';
import { H2Connection } from './h2.ts';
import type { UpstreamConnection } from './stream.ts';
import { Tunnel } from './tunnel.ts';

export type Failure = { readonly refusal: Refusal; readonly why: string };

type Shared = Tunnel | H2Connection;

export class Pool {
  readonly #credentials: Credentials;
  readonly #revoked: Revoked;
  readonly #onExpired: (streams: number) => void;
  readonly #idle = new Map<string, H1Connection[]>();
  /** Connections that carry many requests: tunnels, and HTTP/2. */
  readonly #shared = new Map<string, Shared[]>();
  /** Handshakes under way: whoever else wants the same connection waits for it. */
  readonly #opening = new Map<string, Promise<ConnectResult>>();
  /** Every one of them that is open, those included that take no new requests. */
  readonly #open = new Set<Shared>();

  /** HTTP/1.1 connections to other proxies, idle and busy. */
  readonly #plain = new Set<H1Connection>();

  /** `onExpired` is told how many streams ended because a certificate on their connection did. */
  constructor(credentials: Credentials, revoked: Revoked, onExpired: (streams: number) => void) {
    this.#credentials = credentials;
    this.#revoked = revoked;
    this.#onExpired = onExpired;
  }

  /** A connection that is there and takes a request now, if there is one. */
  ready(destination: Destination): UpstreamConnection | undefined {
    return this.#takeShared(destination.key) ?? this.#takeIdle(destination.key);
  }

  /** A connection for one request; a new one, or the one that all share. `major` is what the caller speaks. */
  async connect(destination: Destination, major: 1 | 2): Promise<UpstreamConnection | Failure> {
    const result = await this.#connected(destination, major === 2 ? ['h2', 'http/1.1'] : ['http/1.1']);
    if ('refusal' in result || 'open' in result) return result;
    const made = new H1Connection(result, {
      onReleased: (connection, reusable) => this.#release(destination, connection, reusable),
      onIdleClosed: (connection) => this.#forget(destination.key, connection),
    });
    if (result.peer !== undefined) {
      this.#plain.add(made);
      result.socket.once('close', () => this.#plain.delete(made));
    }
    return made;
  }

  /** A raw TCP connection: a stream of the tunnel, or a connection of its own. */
  async channel(destination: Destination): Promise<Channel | Failure> {
    const result = this.#takeShared(destination.key) ?? (await this.#connected(destination, []));
    if ('refusal' in result) return result;
    if (result instanceof Tunnel) return result.openTcp();
    if ('open' in result) {
      result.giveBack();
      return { refusal: 'upstream_invalid', why: 'the other end speaks HTTP/2 only' };
    }
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
    for (const [key, all] of this.#shared) {
      if (key.startsWith('app:')) continue;
      for (const shared of [...all]) if (shared.connected.generation !== generation || !isKnown(key)) this.#retire(key, shared);
    }
  }

  /** Ends the connections to peers who are meant, with what is under way on them; gives how many. */
  cut(isMeant: (peer: VerifiedPeer) => boolean): number {
    const all = [...this.#open, ...this.#plain].filter(({ connected: { peer } }) => peer !== undefined && isMeant(peer));
    for (const connection of all) connection.close();
    return all.length;
  }

  /** Open connections to other proxies that were made with earlier credentials. */
  get stale(): number {
    const generation = this.#credentials.current?.generation;
    return [...this.#open, ...this.#plain].filter(({ connected }) => connected.generation !== 0 && connected.generation !== generation)
      .length;
  }

  /** One for each open connection to another proxy. */
  get links(): readonly PeerLink[] {
    return [...this.#open, ...this.#plain].flatMap(({ connected: { peer, ownSerial, socket } }) =>
      peer === undefined ? [] : [linkOf('outbound', peer, ownSerial, socket)],
    );
  }

  closeAll(): void {
    for (const connections of [...this.#idle.values()]) for (const connection of [...connections]) connection.close();
    for (const shared of [...this.#open]) shared.close();
  }

  async #connected(destination: Destination, alpn: readonly string[]): Promise<ConnectResult | Shared> {
    const { key } = destination;
    const plain = destination.spiffeId === undefined;
    if (plain && (destination.speaks === 'http1' || alpn.length === 0)) return connect(destination, this.#credentials, this.#revoked, []);
    let alone = false;
    while (!alone) {
      const under = this.#opening.get(key);
      if (under === undefined) break;
      const result = await under;
      if ('refusal' in result) return result;
      const shared = this.#takeShared(key);
      if (shared !== undefined) return shared;
      // The other end speaks neither tunnel nor HTTP/2: a connection for each.
      alone = !this.#shared.has(key);
    }
    const opening = connect(destination, this.#credentials, this.#revoked, plain ? [] : [ALPN, ...alpn]);
    if (!alone) this.#opening.set(key, opening);
    const result = await opening;
    if (!alone) this.#opening.delete(key);
    if ('refusal' in result) return result;
    const onGone = (gone: Shared): void => this.#drop(key, gone);
    let shared: Shared;
    if (result.protocol === ALPN) shared = new Tunnel(result, () => onGone(shared), this.#onExpired);
    else if (result.protocol === 'h2' || plain) shared = new H2Connection(result, () => onGone(shared));
    else return result;
    this.#shared.set(key, [...(this.#shared.get(key) ?? []), shared]);
    this.#open.add(shared);
    result.socket.once('close', () => this.#open.delete(shared));
    if (shared instanceof H2Connection) shared.reserve();
    return shared;
  }

  /** One that takes a request now; those that will take none any more are let go. */
  #takeShared(key: string): Shared | undefined {
    const all = this.#shared.get(key);
    if (all === undefined) return undefined;
    for (const shared of all) {
      const { generation } = shared.connected;
      if (!shared.isUsable || (generation !== 0 && generation !== this.#credentials.current?.generation)) this.#retire(key, shared);
      else if (shared instanceof Tunnel || shared.reserve()) return shared;
    }
    return undefined;
  }

  #retire(key: string, shared: Shared): void {
    this.#drop(key, shared);
    shared.retire();
  }

  #drop(key: string, shared: Shared): void {
    const rest = this.#shared.get(key)?.filter((each) => each !== shared) ?? [];
    if (rest.length === 0) this.#shared.delete(key);
    else this.#shared.set(key, rest);
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
