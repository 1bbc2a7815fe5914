// The names that a policy's rules can use: services of the mesh file and of the policy, groups, tiers. Built once, read by lint and compile.
import type { Place } from '../base/place.ts';
import { INGRESS } from '../mesh/identity.ts';
import type { MeshSpec } from '../mesh/spec.ts';
import type { PolicyDocument } from './document.ts';

export interface NamedService {
  readonly name: string;
  readonly namespace: string;
  readonly service: string;
  readonly tier: string | undefined;
  readonly bridge: boolean;
  readonly inMesh: boolean;
  /** Entry in the policy, when there is one. */
  readonly place: Place | undefined;
}

export interface Names {
  readonly services: ReadonlyMap<string, NamedService>;
  readonly groups: ReadonlyMap<string, PolicyDocument['groups'][number]>;
  readonly tiers: ReadonlyMap<string, number>;
  /** Whether a mesh file was there to know the services from. */
  readonly hasMesh: boolean;
}

const ID = /^ns\/([a-z0-9-]{1,63}|\*)\/sa\/([a-z0-9-]{1,63}|\*)$/;

/** `ns/shop/sa/web` as its two parts, each of which may be `*`. */
export function parseServiceId(text: string): { namespace: string; service: string } | undefined {
  const match = ID.exec(text);
  return match === null ? undefined : { namespace: match[1] ?? '', service: match[2] ?? '' };
}

export function collectNames(document: PolicyDocument, mesh: MeshSpec | undefined): Names {
  const namespace = mesh?.namespace ?? 'default';
  const services = new Map<string, NamedService>();
  const add = (name: string, tier: string | undefined): void => {
    services.set(name, { name, namespace, service: name, tier, bridge: false, inMesh: true, place: undefined });
  };
  for (const service of Object.values(mesh?.services ?? {})) add(service.name, service.tier);
  add(INGRESS, undefined);
  for (const entry of document.services) {
    const id =
      entry.id === undefined ? { namespace, service: entry.name } : (parseServiceId(entry.id) ?? { namespace, service: entry.name });
    const known = services.get(entry.name);
    services.set(entry.name, {
      name: entry.name,
      ...id,
      tier: entry.tier ?? known?.tier,
      bridge: entry.bridge,
      inMesh: known !== undefined,
      place: entry.place,
    });
  }
  return {
    services,
    groups: new Map(document.groups.map((group) => [group.name, group])),
    tiers: new Map(document.tiers.map((tier, rank) => [tier.name, rank])),
    hasMesh: mesh !== undefined,
  };
}
