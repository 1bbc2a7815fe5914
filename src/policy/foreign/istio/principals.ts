// What is known of the principals that policies name: whether their trust domain and their service account are there.
import { type ForeignMesh, fieldsIn, type Path } from '../model.ts';
import type { Resource } from '../resources.ts';
import { matchString } from './path.ts';

export interface NamedPrincipal {
  readonly resource: Resource;
  readonly path: Path;
  readonly value: string;
  readonly domain: string;
  readonly state: 'known' | 'remote' | 'domain-unknown' | 'account-unknown' | 'no-accounts';
}

/** Every principal of every policy but `*`, and those that are no identity at all. */
export function domainsOf(mesh: ForeignMesh): NamedPrincipal[] {
  const accounts = accountsOf(mesh);
  return mesh.authorizations.flatMap(({ resource, rules }) =>
    rules.flatMap(fieldsIn).flatMap((field) => {
      if (field.name !== 'principals' && field.name !== 'source.principal') return [];
      return field.values.flatMap((value, i): NamedPrincipal[] => {
        if (value === '*' || !value.includes('/') || value.startsWith('spiffe://')) return [];
        const domain = value.slice(0, value.indexOf('/'));
        return [{ resource, path: [...field.path, i], value, domain, state: stateOf(mesh, accounts, value, domain) }];
      });
    }),
  );
}

function stateOf(mesh: ForeignMesh, accounts: readonly string[] | undefined, value: string, domain: string): NamedPrincipal['state'] {
  const isPattern = value.includes('*');
  if (!isPattern && !mesh.settings.knownTrustDomains.includes(domain)) return 'domain-unknown';
  if (accounts === undefined) return 'no-accounts';
  if (accounts.some((account) => matchString(value, account))) return 'known';
  // Another cluster of the mesh answers for its own trust domain.
  if (mesh.settings.trustDomainAliases.includes(domain)) return 'remote';
  return mesh.settings.remoteAccounts.some((account) => matchString(value, account)) ? 'remote' : 'account-unknown';
}

/** `<trust domain>/ns/…/sa/…` of every account, under every name of the trust domain; undefined when none is among the resources. */
function accountsOf(mesh: ForeignMesh): readonly string[] | undefined {
  if (mesh.settings.accounts !== undefined) return mesh.settings.accounts;
  const named = mesh.kind('ServiceAccount').map(({ namespace, name }) => `/ns/${namespace ?? 'default'}/sa/${name}`);
  if (named.length === 0) return undefined;
  // Every namespace has one.
  const defaults = [...mesh.namespaces.keys()].map((namespace) => `/ns/${namespace}/sa/default`);
  const used = mesh.workloads.map(({ namespace, serviceAccount }) => `/ns/${namespace}/sa/${serviceAccount}`);
  return [...new Set([...named, ...defaults, ...used])].flatMap((account) =>
    mesh.settings.knownTrustDomains.map((domain) => domain + account),
  );
}
