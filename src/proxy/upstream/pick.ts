// Which endpoint of the target: power of two choices by requests in flight (Mitzenmacher 2001). Needs a permit.
import type { Permit } from '../permit.ts';

export interface Destination {
  /** `host:port`, the key of pools and counts. */
  readonly key: string;
  readonly host: string;
  readonly port: number;
  readonly instance: string | undefined;
  /** The identity that the other end must prove; undefined for the own application, which is reached in plain text. */
  readonly spiffeId: string | undefined;
}

/** Undefined when the target has no endpoint (that is not in `tried`, unless all are). */
export function pick(
  permit: Permit,
  inFlight: (key: string) => number,
  tried: ReadonlySet<string>,
  random: () => number = Math.random,
): Destination | undefined {
  const { target } = permit;
  if (target.kind === 'app')
    return { key: `app:${target.port}`, host: target.host, port: target.port, instance: undefined, spiffeId: undefined };
  const { upstream } = target;
  const all: Destination[] = upstream.endpoints.map((endpoint) => ({
    key: `${endpoint.host}:${endpoint.port}`,
    host: endpoint.host,
    port: endpoint.port,
    instance: endpoint.instance,
    spiffeId: upstream.spiffeId,
  }));
  const fresh = all.filter((endpoint) => !tried.has(endpoint.key));
  const endpoints = fresh.length > 0 ? fresh : all;
  if (endpoints.length <= 1) return endpoints[0];
  const first = Math.floor(random() * endpoints.length);
  const second = (first + 1 + Math.floor(random() * (endpoints.length - 1))) % endpoints.length;
  const a = endpoints[first];
  const b = endpoints[second];
  if (a === undefined || b === undefined) return a ?? b;
  return inFlight(a.key) <= inFlight(b.key) ? a : b;
}
