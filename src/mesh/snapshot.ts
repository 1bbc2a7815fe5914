// What the mesh is, as one frozen value (MeshSnapshot), and the part of it that one proxy needs (ProxySnapshot).
// Versioned by content: equal content has the equal version, so an unchanged configuration is never sent again.
import type { CompiledPolicy } from './authorization.ts';
import type { Traffic, TrafficRoute } from './traffic.ts';

/** What a port speaks. `http` is HTTP/1.1 towards the application, `http2` and `grpc` HTTP/2; `detect` is read off the first bytes. */
export const PROTOCOLS = ['http', 'http2', 'grpc', 'tcp', 'detect'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

export interface Endpoint {
  /** `web-0`: service and instance number. */
  readonly instance: string;
  readonly host: string;
  readonly port: number;
  /** Where it runs; undefined when nothing is said of it. */
  readonly zone?: string;
}

/** `host:port`: the key of pools, counts and addresses. */
export function addressKey({ host, port }: { readonly host: string; readonly port: number }): string {
  return `${host}:${port}`;
}

/** One port of one service, as its callers see it. */
export interface Upstream {
  readonly service: string;
  readonly portName: string;
  readonly protocol: Protocol;
  /** The only identity that a caller accepts there. */
  readonly spiffeId: string;
  readonly endpoints: readonly Endpoint[];
  /** `host:port` that callers use for the service, besides its endpoints: what a captured connection was meant for. */
  readonly addresses?: readonly string[];
  readonly traffic: Traffic;
  readonly trafficRoutes: readonly TrafficRoute[];
  /** `%2F` in a path is a letter within its segment; refused otherwise. */
  readonly encodedSlash?: 'keep';
}

/** `service:port name`. */
export function upstreamKey({ service, portName }: Upstream): string {
  return `${service}:${portName}`;
}

export interface TracingRules {
  readonly ratio: number;
  readonly acceptExternal: boolean;
}

/** Who is not believed though the certificate is unexpired. */
export interface Revocations {
  /** Lower-case hex. */
  readonly serials: readonly string[];
  /** SPIFFE ids. */
  readonly identities: readonly string[];
  /** SHA-256 of certificates of intermediates, lower-case hex. */
  readonly issuers: readonly string[];
}

export const NO_REVOCATIONS: Revocations = { serials: [], identities: [], issuers: [] };

export interface MeshSnapshot {
  readonly version: string;
  readonly name: string;
  readonly trustDomain: string;
  readonly namespace: string;
  readonly upstreams: readonly Upstream[];
  readonly ingressRoutes: readonly { readonly path: string; readonly service: string }[];
  readonly policy: CompiledPolicy;
  readonly revoked: Revocations;
  readonly tracing: TracingRules;
}

export interface ProxySnapshot {
  readonly version: string;
  /** SPIFFE id that the proxy proves: the callee of everything that it judges. */
  readonly spiffeId: string;
  readonly service: string;
  /** Where the proxy runs. */
  readonly zone?: string;
  readonly upstreams: readonly Upstream[];
  readonly ingressRoutes: readonly { readonly path: string; readonly service: string }[];
  /** Rules about this proxy's own service as the callee. */
  readonly policy: CompiledPolicy;
  readonly revoked: Revocations;
  readonly tracing: TracingRules;
}
