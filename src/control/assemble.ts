// Mesh file, running instances and compiled policy → one MeshSnapshot. Pure: the same input gives the same version.
import { contentVersion } from '../base/hash.ts';
import type { CompiledPolicy } from '../mesh/authorization.ts';
import { makeSpiffeId, printSpiffeId } from '../mesh/identity.ts';
import type { InstanceState } from '../mesh/messages.ts';
import type { Endpoint, MeshSnapshot, Revocations, Upstream } from '../mesh/snapshot.ts';
import { type MeshSpec, zoneOf } from '../mesh/spec.ts';

export function assembleSnapshot(
  spec: MeshSpec,
  instances: readonly InstanceState[],
  policy: CompiledPolicy,
  revoked: Revocations,
): MeshSnapshot {
  const upstreams: Upstream[] = Object.values(spec.services).flatMap((service) =>
    service.ports.map((port) => ({
      service: service.name,
      portName: port.name,
      protocol: port.protocol,
      spiffeId: printSpiffeId(makeSpiffeId(spec.trustDomain, spec.namespace, service.name)),
      endpoints: instances
        .filter((instance) => instance.service === service.name && instance.state === 'ready')
        .flatMap((instance): Endpoint[] => {
          const number = instance.inbound[port.name];
          if (number === undefined) return [];
          const zone = zoneOf(service, instance.instance);
          return [
            {
              instance: instance.instance,
              host: instance.host ?? '127.0.0.1',
              port: number,
              ...(zone === undefined ? {} : { zone }),
            },
          ];
        }),
      traffic: service.traffic,
      trafficRoutes: service.trafficRoutes,
      ...(service.encodedSlash === 'keep' ? { encodedSlash: 'keep' as const } : {}),
    })),
  );
  const content = {
    name: spec.name,
    trustDomain: spec.trustDomain,
    namespace: spec.namespace,
    upstreams,
    ingressRoutes: spec.ingress?.routes ?? [],
    policy,
    revoked,
    tracing: spec.tracing,
  };
  return { version: contentVersion(content), ...content };
}
