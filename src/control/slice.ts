// What one proxy needs to know, cut from what the whole mesh knows.
//
//   in   MeshSnapshot, and the service that the proxy stands in front of
//   out  ProxySnapshot: whom it may look for, the rules about its own service, and routes if it is the ingress
//
// No IO and no memory: the same input gives the same output and the same version.
import { contentVersion } from '../base/hash.ts';
import { INGRESS, makeSpiffeId, printSpiffeId } from '../mesh/identity.ts';
import type { MeshSnapshot, ProxySnapshot } from '../mesh/snapshot.ts';
import { policyFor } from '../policy/evaluate.ts';

export function sliceSnapshot(mesh: MeshSnapshot, service: string): ProxySnapshot {
  const spiffeId = printSpiffeId(makeSpiffeId(mesh.trustDomain, mesh.namespace, service));
  const content = {
    spiffeId,
    service,
    upstreams: mesh.upstreams,
    ingressRoutes: service === INGRESS ? mesh.ingressRoutes : [],
    policy: policyFor(mesh.policy, spiffeId),
    tracing: mesh.tracing,
  };
  return { version: contentVersion(content), ...content };
}
