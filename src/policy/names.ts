// The names that a policy's rules can use: services of the mesh file and of the policy, groups, tiers. Built once, read by lint and compile.
import type { Place } from '../base/place.ts';
import { INGRESS, parseSpiffeId } from '../mesh/identity.ts';
import type { MeshSpec } from '../mesh/spec.ts';
import type { PolicyDocument } from './document.ts';
import { printWho, type WhoText } from './reader/rule-text.ts';

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

/** Which known services a text speaks of. The same few texts come in rule after rule: each is worked out once. */
export class ServiceResolver {
  readonly #names: Names;
  readonly #all: readonly NamedService[];
  readonly #trustDomain: string | undefined;
  readonly #known = new Map<string, readonly NamedService[]>();

  /** `trustDomain`: the mesh's own, as far as it is known. */
  constructor(names: Names, trustDomain: string | undefined) {
    this.#names = names;
    this.#all = [...names.services.values()];
    this.#trustDomain = trustDomain;
  }

  meant(who: WhoText): readonly NamedService[] {
    const key = printWho(who);
    let services = this.#known.get(key);
    if (services === undefined) {
      services = this.#find(who);
      this.#known.set(key, services);
    }
    return services;
  }

  /** The place of its tier; without one it is the lowest. */
  rankOf({ tier }: NamedService): number {
    return tier === undefined ? 0 : (this.#names.tiers.get(tier) ?? 0);
  }

  #find(who: WhoText): readonly NamedService[] {
    switch (who.kind) {
      case 'any':
      case 'mesh':
        return this.#all;
      case 'ns':
        return this.#all.filter(({ namespace }) => namespace === who.name);
      case 'sa':
        return this.#all.filter(({ namespace, service }) => namespace === who.namespace && service === who.name);
      case 'tier': {
        const rank = this.#names.tiers.get(who.name) ?? -1;
        return this.#all.filter((service) => {
          const own = this.rankOf(service);
          return who.compare === '=' ? own === rank : who.compare === '<' ? own < rank : own >= rank;
        });
      }
      case 'name': {
        const service = this.#names.services.get(who.name);
        if (service !== undefined) return [service];
        // Groups hold no groups (`unknown-service` says so).
        const members = this.#names.groups.get(who.name)?.members ?? [];
        return members.flatMap((member) =>
          member.who.kind === 'name' && this.#names.groups.has(member.who.name) ? [] : this.#find(member.who),
        );
      }
      case 'id': {
        const id = parseSpiffeId(who.id);
        if (id === undefined || (this.#trustDomain !== undefined && id.trustDomain !== this.#trustDomain)) return [];
        return this.#all.filter(({ namespace, service }) => namespace === id.namespace && service === id.service);
      }
      case 'td':
        return [];
    }
  }
}
