// Every identity there can be, as a short list: identities that no rule, tier or service entry tells apart are one class, with one
// member that stands for all of them.
//
//   each service that has a name                 ·  each identity that is written out (`id:`, `sa:`)
//   any other service of each namespace          ·  any other service of any other namespace
//   any other identity of the own trust domain   ·  any identity of each foreign trust domain, and of any other
//   no identity at all
import type { CompiledPolicy, Who } from '../mesh/authorization.ts';
import { INGRESS, makeSpiffeId, parseSpiffeId, printSpiffeId, type SpiffeId } from '../mesh/identity.ts';

export interface IdentityClass {
  /** Undefined for callers without identity. */
  readonly id: SpiffeId | undefined;
  /** What people call it. */
  readonly label: string;
  /** The service's name when it stands for one that is known. */
  readonly service: string | undefined;
}

/** No service is called so: it stands for those that nobody has named yet. */
const OTHER = 'any-other';

/** `more`: what else is asked about, besides what the policy's rules speak of. */
export function identityClasses(policy: CompiledPolicy, more: readonly Who[] = []): IdentityClass[] {
  const { trustDomain } = policy;
  const classes = new Map<string, IdentityClass>();
  const add = (id: SpiffeId, label: string, service?: string): void => {
    const key = printSpiffeId(id);
    if (!classes.has(key)) classes.set(key, { id, label, service });
  };
  const namespaces = new Set<string>();
  // An ingress is told apart wherever it is: it takes callers without identity.
  const everywhere = new Set<string>([INGRESS]);
  const foreign = new Set<string>();
  for (const { name, namespace, service } of policy.services) {
    if (namespace !== '*') namespaces.add(namespace);
    if (namespace !== '*' && service !== '*') add(makeSpiffeId(trustDomain, namespace, service), name, name);
    if (namespace === '*' && service !== '*') everywhere.add(service);
  }
  for (const who of [...more, ...[...policy.allow, ...policy.deny].flatMap(({ from, to }) => [...from, ...to])]) {
    if (who.kind === 'namespace') namespaces.add(who.namespace);
    else if (who.kind === 'trustDomain' && who.trustDomain !== trustDomain) foreign.add(who.trustDomain);
    else if (who.kind === 'workload' && who.namespace === '*') everywhere.add(who.service);
    else if (who.kind === 'workload') {
      namespaces.add(who.namespace);
      add(makeSpiffeId(trustDomain, who.namespace, who.service), `sa:${who.namespace}/${who.service}`);
    } else if (who.kind === 'id') {
      const id = parseSpiffeId(who.id);
      if (id === undefined) continue;
      if (id.trustDomain !== trustDomain) foreign.add(id.trustDomain);
      else if (id.namespace !== undefined) namespaces.add(id.namespace);
      add(id, `id:${who.id}`);
    }
  }
  for (const namespace of namespaces) {
    add(makeSpiffeId(trustDomain, namespace, OTHER), `any other of ns:${namespace}`);
    for (const service of everywhere) add(makeSpiffeId(trustDomain, namespace, service), `sa:${namespace}/${service}`);
  }
  for (const service of everywhere) add(makeSpiffeId(trustDomain, OTHER, service), `sa:<any other namespace>/${service}`);
  add(makeSpiffeId(trustDomain, OTHER, OTHER), 'any other service');
  const shapeless = parseSpiffeId(`spiffe://${trustDomain}/${OTHER}`);
  if (shapeless !== undefined) add(shapeless, 'any other identity');
  for (const domain of [...foreign, `${OTHER}.invalid`]) {
    const id = parseSpiffeId(`spiffe://${domain}/${OTHER}`);
    if (id !== undefined) add(id, domain === `${OTHER}.invalid` ? 'any other trust domain' : `any other of td:${domain}`);
  }
  return [...classes.values(), { id: undefined, label: 'no identity', service: undefined }];
}
