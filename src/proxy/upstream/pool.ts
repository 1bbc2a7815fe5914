// Idle connections by destination, and how many requests are in flight to each. One connection carries one request at a time.
import type { Refusal } from '../../mesh/refusal.ts';
import { APP_POOL_IDLE_MS, MAX_IDLE_PER_ENDPOINT, POOL_IDLE_MS } from '../codec/limits.ts';
import type { Credentials } from '../credentials.ts';
import { connect } from '../net/connect.ts';
import { H1Connection } from './h1.ts';
import type { Destination } from './pick.ts';

export class Pool {
  readonly #credentials: Credentials;
  readonly #idle = new Map<string, H1Connection[]>();
  readonly #inFlight = new Map<string, number>();

  constructor(credentials: Credentials) {
    this.#credentials = credentials;
  }

  readonly inFlight = (key: string): number => this.#inFlight.get(key) ?? 0;

  /** A connection that is ready for one request; an idle one unless `fresh`. */
  async take(destination: Destination, fresh: boolean): Promise<H1Connection | { readonly refusal: Refusal; readonly why: string }> {
    this.#inFlight.set(destination.key, this.inFlight(destination.key) + 1);
    const idle = fresh ? undefined : this.#takeIdle(destination);
    if (idle !== undefined) return idle;
    const result = await connect(destination, this.#credentials, 'http/1.1');
    if ('refusal' in result) {
      this.#leave(destination.key);
      return result;
    }
    return new H1Connection(result, {
      onReleased: (connection, reusable) => this.#release(destination, connection, reusable),
      onIdleClosed: (connection) => this.#forget(destination.key, connection),
    });
  }

  /** Idle connections of an older generation of credentials, or to endpoints that are gone, are closed; busy ones end with their request. */
  prune(isKnown: (key: string) => boolean): void {
    const generation = this.#credentials.current?.generation;
    for (const [key, connections] of this.#idle) {
      const stale = connections.filter(
        ({ connected }) =>
          (connected.generation !== 0 && connected.generation !== generation) || (!key.startsWith('app:') && !isKnown(key)),
      );
      for (const connection of stale) connection.close();
    }
  }

  closeAll(): void {
    for (const connections of [...this.#idle.values()]) for (const connection of [...connections]) connection.close();
  }

  #takeIdle(destination: Destination): H1Connection | undefined {
    const stack = this.#idle.get(destination.key);
    for (let connection = stack?.pop(); connection !== undefined; connection = stack?.pop()) {
      if (this.#mayReuse(connection)) return connection;
      connection.close();
    }
    return undefined;
  }

  #mayReuse(connection: H1Connection): boolean {
    const { generation, retireAtMs } = connection.connected;
    return connection.isUsable && Date.now() < retireAtMs && (generation === 0 || generation === this.#credentials.current?.generation);
  }

  #release(destination: Destination, connection: H1Connection, reusable: boolean): void {
    this.#leave(destination.key);
    const stack = this.#idle.get(destination.key) ?? [];
    if (!reusable || stack.length >= MAX_IDLE_PER_ENDPOINT || !this.#mayReuse(connection)) {
      connection.close();
      return;
    }
    stack.push(connection);
    this.#idle.set(destination.key, stack);
    connection.closeWhenIdle(destination.spiffeId === undefined ? APP_POOL_IDLE_MS : POOL_IDLE_MS);
  }

  #forget(key: string, connection: H1Connection): void {
    const stack = this.#idle.get(key);
    const at = stack?.indexOf(connection) ?? -1;
    if (at >= 0) stack?.splice(at, 1);
    if (stack?.length === 0) this.#idle.delete(key);
  }

  #leave(key: string): void {
    const left = this.inFlight(key) - 1;
    if (left > 0) this.#inFlight.set(key, left);
    else this.#inFlight.delete(key);
  }
}
