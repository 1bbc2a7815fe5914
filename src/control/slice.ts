// What one proxy needs to know, cut from what the whole mesh knows.
//
//   in   MeshSnapshot, the service that the proxy stands in front of, and the zone where it runs, if that is known
//   out  ProxySnapshot: whom it may look for, the rules about its own service, and routes if it is the ingress
//
// No IO and no memory: the same input gives the same output and the same version.
import { contentVersion } from '../base/hash.ts';
import { INGRESS, makeSpiffeId, printSpiffeId } from '../mesh/identity.ts';
import type { MeshSnapshot, ProxySnapshot } from '../mesh/snapshot.ts';
import { policyFor } from '../policy/evaluate.ts';

export function sliceSnapshot(mesh: MeshSnapshot, service: string, zone: string | undefined): ProxySnapshot {
  const spiffeId = printSpiffeId(makeSpiffeId(mesh.trustDomain, mesh.namespace, service));
  const content = {
    spiffeId,
    service,
    ...(zone === undefined ? {} : { zone }),
    upstreams: mesh.upstreams,
    ingressRoutes: service === INGRESS ? mesh.ingressRoutes : [],
    policy: policyFor(mesh.policy, spiffeId),
    revoked: mesh.revoked,
    tracing: mesh.tracing,
  };
  return { version: contentVersion(content), ...content };
}
