// ProxySnapshot → Tables: what the request path looks things up in. Built whole, then one reference is swapped;
// exchanges in flight keep the tables that they began with.

import { Fault } from '../base/fault.ts';
import type { CompiledPolicy } from '../mesh/authorization.ts';
import { parseSpiffeId, type SpiffeId } from '../mesh/identity.ts';
import { addressKey, type ProxySnapshot, type Revocations, type TracingRules, type Upstream, upstreamKey } from '../mesh/snapshot.ts';

export interface Tables {
  readonly version: string;
  readonly self: SpiffeId;
  /** Where this proxy runs. */
  readonly zone: string | undefined;
  readonly policy: CompiledPolicy;
  readonly revoked: Revocations;
  /** What the mesh says of the own service; undefined for the ingress and for a proxy on its own. */
  readonly own: Upstream | undefined;
  /** By service name: its first port; by `service:port` each port. */
  readonly upstreams: ReadonlyMap<string, Upstream>;
  /** By `host:port`: what a captured connection was meant for. */
  readonly byAddress: ReadonlyMap<string, Upstream>;
  /** Longest path first. */
  readonly routes: readonly { readonly path: string; readonly service: string }[];
  readonly tracing: TracingRules;
}

export function buildTables(snapshot: ProxySnapshot): Tables {
  const self = parseSpiffeId(snapshot.spiffeId);
  if (self === undefined) throw new Fault('PROXY_BOOTSTRAP', 'config', `\`${snapshot.spiffeId}\` is no SPIFFE id`);
  const upstreams = new Map<string, Upstream>();
  for (const upstream of snapshot.upstreams) {
    if (!upstreams.has(upstream.service)) upstreams.set(upstream.service, upstream);
    upstreams.set(upstreamKey(upstream), upstream);
  }
  const byAddress = new Map<string, Upstream>();
  for (const upstream of snapshot.upstreams) {
    for (const endpoint of upstream.endpoints) byAddress.set(addressKey(endpoint), upstream);
    for (const address of upstream.addresses ?? []) byAddress.set(address, upstream);
  }
  return {
    version: snapshot.version,
    self,
    zone: snapshot.zone,
    policy: snapshot.policy,
    revoked: snapshot.revoked,
    own: upstreams.get(snapshot.service),
    upstreams,
    byAddress,
    routes: [...snapshot.ingressRoutes].sort((a, b) => b.path.length - a.path.length),
    tracing: snapshot.tracing,
  };
}
