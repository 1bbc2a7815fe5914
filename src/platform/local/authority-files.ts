// An authority's directory. `authority.json` is the index: what it does not name is not there. A change writes new files first and the
// index last, by one rename; what nothing names any more goes after that. So `kill -9` leaves the state before or the state after.
//
//   authority.json   NAME.pem   NAME-key.pem (0600)   NAME.crl   record.db   lock
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Fault } from '../../base/fault.ts';
import {
  type AuthorityState,
  type CaCertificate,
  type CreatedAuthority,
  createAuthority,
  signIntermediate,
} from '../../certs/authority.ts';
import { exportKey, exportSpki, keyPair, readKey } from '../../certs/key.ts';
import type { AuthorityStore, FederatedDomain } from '../../control/office.ts';
import { readIfThere, readJsonIfThere, writeAtomic } from '../node/files.ts';

const SCHEMA_VERSION = 2;
const FEDERATION = 'federation.json';
/** Files that the index may name; others in the directory are not touched. */
const OWN = /^((?:root|peer|edge)-(\d+))(?:-key\.pem|\.pem|\.crl)$/;

type Index = Omit<AuthorityState, 'certificates'> & {
  readonly schemaVersion: number;
  readonly certificates: readonly Omit<CaCertificate, 'certificate'>[];
};

export class AuthorityFiles implements AuthorityStore {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  get exists(): boolean {
    return existsSync(this.#path('authority.json'));
  }

  /** Throws CA_UNREADABLE, STORE_NEWER. */
  load(): AuthorityState {
    const index = readJsonIfThere(this.#path('authority.json')) as Index | undefined;
    if (index === undefined) throw this.#missing('authority.json');
    if (index.schemaVersion === 1) return this.#migrate(index as unknown as { trustDomain: string; generation: number });
    if (index.schemaVersion !== SCHEMA_VERSION)
      throw new Fault('STORE_NEWER', 'config', `${this.#path('authority.json')} was written by a later version`, {
        hint: 'use the newer meshctl, or another directory',
      });
    const { schemaVersion: _schemaVersion, ...state } = index;
    return {
      ...state,
      certificates: index.certificates.map((ca) => ({ ...ca, certificate: this.#read(`${ca.name}.pem`) })),
    };
  }

  save(state: AuthorityState, keys: ReadonlyMap<string, string>): void {
    for (const [name, pem] of keys) this.writeKey(name, pem);
    for (const { name, certificate } of state.certificates)
      if (readIfThere(this.#path(`${name}.pem`)) !== certificate) writeAtomic(this.#path(`${name}.pem`), certificate, 0o644);
    const index: Index = {
      schemaVersion: SCHEMA_VERSION,
      ...state,
      certificates: state.certificates.map(({ certificate: _certificate, ...ca }) => ca),
    };
    writeAtomic(this.#path('authority.json'), JSON.stringify(index, null, 1));
    const named = new Set(state.certificates.map(({ name }) => name));
    for (const file of readdirSync(this.directory)) {
      const [, name = '', generation] = OWN.exec(file) ?? [];
      if (name !== '' && !named.has(name) && Number(generation) <= state.lastGeneration) rmSync(this.#path(file), { force: true });
    }
  }

  readKey(name: string): string | undefined {
    const path = this.#path(`${name}-key.pem`);
    const text = readIfThere(path);
    if (text !== undefined && (statSync(path).mode & 0o077) !== 0)
      throw new Fault('CA_KEY_MODE', 'config', `others can read the key ${path}`, { hint: `run \`chmod 600 ${path}\`` });
    return text;
  }

  writeKey(name: string, pem: string): void {
    if (readIfThere(this.#path(`${name}-key.pem`)) !== pem) writeAtomic(this.#path(`${name}-key.pem`), pem, 0o600);
  }

  readList(name: string): Buffer | undefined {
    const path = this.#path(`${name}.crl`);
    return existsSync(path) ? readFileSync(path) : undefined;
  }

  writeList(name: string, der: Buffer): void {
    writeAtomic(this.#path(`${name}.crl`), der, 0o644);
  }

  readFederation(): readonly FederatedDomain[] {
    const file = readJsonIfThere(this.#path(FEDERATION)) as { schemaVersion: number; domains: FederatedDomain[] } | undefined;
    return file?.schemaVersion === 1 ? file.domains : [];
  }

  writeFederation(domains: readonly FederatedDomain[]): void {
    writeAtomic(this.#path(FEDERATION), JSON.stringify({ schemaVersion: 1, domains }, null, 1));
  }

  #path(file: string): string {
    return join(this.directory, file);
  }

  #read(file: string): string {
    const text = readIfThere(this.#path(file));
    if (text === undefined) throw this.#missing(file);
    return text;
  }

  #missing(file: string): Fault {
    return new Fault('CA_UNREADABLE', 'config', `${this.#path(file)} is missing`, {
      hint: 'restore `ca/` from a copy, or remove it to make a new authority',
    });
  }

  // Version 1 had one root and one intermediate, by fixed names, and none for what carries no SPIFFE id.
  #migrate({ trustDomain, generation }: { trustDomain: string; generation: number }): AuthorityState {
    const old = ['root', 'root-key', 'intermediate', 'intermediate-key'].map((name) => this.#read(`${name}.pem`));
    const [root = '', rootKey = '', intermediate = '', intermediateKey = ''] = old;
    const edge = keyPair();
    const key = readKey(rootKey);
    const names = { root: 'root-1', peer: `peer-${generation}`, edge: `edge-${generation}` };
    const certificates: CaCertificate[] = [
      { name: names.root, kind: 'root', generation: 1, root: names.root, certificate: root },
      { name: names.peer, kind: 'peer', generation, root: names.root, certificate: intermediate },
    ];
    if (key !== undefined)
      certificates.push({
        name: names.edge,
        kind: 'edge',
        generation,
        root: names.root,
        certificate: signIntermediate({
          trustDomain,
          kind: 'edge',
          generation,
          spki: exportSpki(edge.publicKey),
          root,
          rootKey: key,
          nowMs: Date.now(),
        }),
      });
    const state: AuthorityState = {
      trustDomain,
      sequence: 1,
      lastGeneration: generation,
      certificates,
      signers: { peer: names.peer, ...(key === undefined ? {} : { edge: names.edge }) },
      distrusted: [],
      isConstrained: false,
    };
    this.save(
      state,
      new Map([
        [names.root, rootKey],
        [names.peer, intermediateKey],
        ...(key === undefined ? [] : [[names.edge, exportKey(edge.privateKey)] as const]),
      ]),
    );
    for (const name of ['root', 'root-key', 'intermediate', 'intermediate-key']) rmSync(this.#path(`${name}.pem`), { force: true });
    return state;
  }
}

/** Writes a new authority. `rootKey` is what is kept of the root's key: PEM, encrypted or not, or nothing. */
export function saveNew(files: AuthorityFiles, { state, keys }: CreatedAuthority, rootKey: string | undefined): void {
  const kept = new Map([...keys].filter(([name]) => name !== 'root-1').map(([name, key]) => [name, exportKey(key)]));
  if (rootKey !== undefined) kept.set('root-1', rootKey);
  files.save(state, kept);
}

/** Makes an authority for the trust domain when there is none; its root key is in clear, as nobody is asked. Throws CA_TRUST_DOMAIN. */
export function ensureAuthority(files: AuthorityFiles, trustDomain: string, nowMs: number): void {
  if (!files.exists) {
    const created = createAuthority({ trustDomain, nowMs });
    const root = created.keys.get('root-1');
    saveNew(files, created, root === undefined ? undefined : exportKey(root));
    return;
  }
  const there = files.load().trustDomain;
  if (there !== trustDomain)
    throw new Fault(
      'CA_TRUST_DOMAIN',
      'conflict',
      `the authority in ${files.directory} is for trust domain \`${there}\`, the mesh file says \`${trustDomain}\``,
      { hint: 'keep the trust domain, or move that directory away to begin anew' },
    );
}
