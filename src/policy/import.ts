// Policies of other meshes → one native policy, and what could not be carried over.
import { printPlace } from '../base/place.ts';
import { type Item, replaceList } from '../base/rewrite.ts';
import { API_VERSION } from '../mesh/version.ts';
import { carryIstio } from './foreign/carry/istio.ts';
import { carryKuma } from './foreign/carry/kuma.ts';
import { carryLinkerd } from './foreign/carry/linkerd.ts';
import { Draft } from './foreign/carry/native.ts';
import type { ForeignMesh } from './foreign/model.ts';
import { isNetworkPolicy } from './foreign/network.ts';

export interface Imported {
  /** A native document; every rule names where it comes from. */
  readonly text: string;
  readonly rules: number;
  /** What has no counterpart: it allows nothing, or denies nothing, in the new policy. */
  readonly left: readonly { readonly resource: string; readonly place: string; readonly what: string }[];
  /** What differs though everything was carried over. */
  readonly notes: readonly string[];
}

/** `given`: services that the policy has names for already, by `ns/…/sa/…`. */
export function importForeign(mesh: ForeignMesh, given: ReadonlyMap<string, string> = new Map()): Imported {
  const draft = new Draft(mesh, given);
  carryIstio(mesh, draft);
  carryLinkerd(mesh, draft);
  carryKuma(mesh, draft);
  for (const resource of mesh.resources.filter(isNetworkPolicy))
    draft.leave(resource, ['spec'], 'a NetworkPolicy judges addresses and labels: it stays what it is, a second layer beside the mesh');
  const services = Object.fromEntries([...draft.services].map(([name, id]) => [name, { id }]));
  const head = `apiVersion: ${API_VERSION}\nkind: Policy\ntrustDomain: ${draft.trustDomain}\ndefault: deny\n`;
  const names = Object.entries(services).map(([name, { id }]) => `  ${name}: {id: ${id}}\n`);
  const body = `${head}${names.length === 0 ? '' : `services:\n${names.join('')}`}allow: []\n${draft.deny.length === 0 ? '' : 'deny: []\n'}`;
  const items = (list: Draft['allow']): Item[] => list.map(({ value, comment }) => ({ value, comment }));
  const allowed = replaceList(body, 'allow', items(draft.allow));
  return {
    text: draft.deny.length === 0 ? allowed : replaceList(allowed, 'deny', items(draft.deny)),
    rules: draft.allow.length + draft.deny.length,
    left: draft.left.map(({ resource, path, what }) => ({
      resource: `${resource.kind} ${resource.namespace === undefined ? '' : `${resource.namespace}/`}${resource.name}`,
      place: printPlace(resource.place(path)),
      what,
    })),
    notes: [...draft.notes],
  };
}
