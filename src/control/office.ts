// The authority at work: it issues, revokes, blocks and rotates; every step is on record before it is answered.
// The same in the control plane, and in a command that finds no mesh running.
//
//   files    state (one index, swapped whole) and keys; a new key is on disk before anything names it
//   record   what was issued to whom, what was revoked
//
// INVARIANT: one office a directory at a time (a lock is its opener's matter).
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { Fault } from '../base/fault.ts';
import {
  Authority,
  type AuthorityState,
  type CaCertificate,
  type CaKind,
  fingerprintOf,
  type Issued,
  type Leaf,
  type RevocationContent,
  type RevocationReason,
} from '../certs/authority.ts';
import { makeSigningRequest } from '../certs/csr.ts';
import { readRevocationLists } from '../certs/files.ts';
import { exportKey, isEncryptedKey, type KeyType, keyTypeOf, makeKeys } from '../certs/key.ts';
import { isSignature, keyOf } from '../certs/verify.ts';
import { printSpiffeId } from '../mesh/identity.ts';
import type { ForeignBundle } from '../mesh/messages.ts';
import type { Revocations } from '../mesh/snapshot.ts';
import type { CertificateRecord, Channel, IssuedRecord } from './record.ts';

/** Port: the authority's directory. Every write is whole or not at all. */
export interface AuthorityStore {
  readonly directory: string;
  load(): AuthorityState;
  /** Certificates and keys (PEM by name) first, the index that names them last; then what nothing names any more goes. */
  save(state: AuthorityState, keys: ReadonlyMap<string, string>): void;
  /** PEM; undefined when it is not here. Throws CA_KEY_MODE when others can read it. */
  readKey(name: string): string | undefined;
  /** A key that no certificate belongs to yet. */
  writeKey(name: string, pem: string): void;
  readList(name: string): Buffer | undefined;
  writeList(name: string, der: Buffer): void;
  readFederation(): readonly FederatedDomain[];
  writeFederation(domains: readonly FederatedDomain[]): void;
}

/** Another trust domain, and whom to trust for its identities. */
export interface FederatedDomain extends ForeignBundle {
  /** Of its bundle; rises with every change. */
  readonly sequence: number | null;
  /** Where its bundle is fetched anew. */
  readonly endpoint: { readonly url: string; readonly spiffeId: string | null } | null;
  readonly refreshHintSeconds: number;
  readonly setAtMs: number;
}

/** A list of revocations is good for a day, and is signed anew after half of it. */
const LIST_LIFE_MS = 24 * 3_600_000;
/** `probe` certificates live no longer than the trial takes. */
const PROBE_TTL_MS = 60_000;

export interface IssueOrder {
  readonly leaf: Leaf;
  readonly publicKey: KeyObject;
  readonly ttlMs: number;
  readonly channel: Channel;
  readonly service: string;
  readonly instance: string;
  readonly replaces?: string | undefined;
}

export interface SignedList {
  readonly issuer: string;
  readonly der: Buffer;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  readonly revoked: number;
}

/** A key that is here and wants a certificate. */
export interface CaRequest {
  readonly name: string;
  readonly kind: 'peer' | 'edge';
  /** PKCS#10, DER, base64. */
  readonly request: string;
}

export interface Adoption {
  /** PEM; `key` encrypted or not, or not at all: it is kept elsewhere. */
  readonly root?: { readonly certificate: string; readonly key?: string };
  readonly certificates: readonly { readonly name: string; readonly kind: 'peer' | 'edge'; readonly certificate: string }[];
}

export class Office {
  readonly files: AuthorityStore;
  readonly record: CertificateRecord;
  readonly now: () => number;
  /** Whom to trust, or whom not to believe, has changed. */
  onChange: () => void = () => undefined;
  #authority: Authority;
  #revocations: Revocations | undefined;
  #federation: readonly FederatedDomain[] | undefined;
  readonly #lists = new Map<string, SignedList>();

  constructor(files: AuthorityStore, record: CertificateRecord, now: () => number) {
    this.files = files;
    this.record = record;
    this.now = now;
    this.#authority = this.#open(files.load());
  }

  get authority(): Authority {
    return this.#authority;
  }

  /** Throws CERT_BLOCKED for an identity that was revoked by name, and what the authority throws. */
  issue(order: IssueOrder): Issued {
    const { leaf } = order;
    const name = leaf.kind === 'peer' ? printSpiffeId(leaf.id) : leaf.commonName;
    const isProbe = order.channel === 'probe';
    if (!isProbe && leaf.kind === 'peer' && this.isBlocked(name))
      throw new Fault('CERT_BLOCKED', 'denied', `${name} was revoked and gets no certificate`, {
        hint: `\`meshctl certs allow ${leaf.id.service ?? name}\` ends that`,
      });
    const issued = this.#authority.issue(leaf, order.publicKey, isProbe ? PROBE_TTL_MS : order.ttlMs, this.now());
    this.record.append(this.now(), { kind: 'issued', issued: recordOf(order, name, issued) });
    return issued;
  }

  /** Whom to trust for other trust domains. */
  get federation(): readonly FederatedDomain[] {
    this.#federation ??= this.files.readFederation();
    return this.#federation;
  }

  /** Takes the bundle of another trust domain, or a newer one; undefined: trusts it no more. */
  federate(trustDomain: string, domain: FederatedDomain | undefined): void {
    const { state } = this.#authority;
    const rest = this.federation.filter((each) => each.trustDomain !== trustDomain);
    if (domain === undefined && rest.length === this.federation.length)
      throw new Fault('BUNDLE_UNKNOWN', 'not-found', `there is no bundle for trust domain \`${trustDomain}\``, {
        hint: '`certs bundle list` shows them',
      });
    const next = [...rest, ...(domain === undefined ? [] : [domain])].sort((a, b) => (a.trustDomain < b.trustDomain ? -1 : 1));
    this.files.writeFederation(next);
    this.#federation = next;
    const what = domain === undefined ? 'not trusted any more' : `its bundle has ${domain.roots.length} roots`;
    this.#save({ ...state, sequence: state.sequence + 1 }, new Map(), `trust domain ${trustDomain}: ${what}`);
  }

  isBlocked(spiffeId: string): boolean {
    return this.revocations.identities.includes(spiffeId);
  }

  isRevoked(serial: string): boolean {
    return this.revocations.serials.includes(serial);
  }

  /** What no proxy may believe, though it has not expired. */
  get revocations(): Revocations {
    this.#revocations ??= this.#collect();
    return this.#revocations;
  }

  /** Puts a serial on its issuer's list. Throws CERT_UNKNOWN for one that was never given, CERT_EXPIRED for one that is over anyway. */
  revoke(serial: string, reason: RevocationReason): IssuedRecord {
    const found = this.record.issued(serial);
    if (found === undefined)
      throw new Fault('CERT_UNKNOWN', 'not-found', `this authority never issued the serial ${serial}`, {
        hint: '`meshctl certs list` and `certs log` show those that it did',
      });
    if (found.notAfterMs <= this.now())
      throw new Fault('CERT_EXPIRED', 'conflict', `the certificate ${serial} expired on ${new Date(found.notAfterMs).toISOString()}`);
    if (!this.isRevoked(serial)) this.#revoke([found], reason);
    return found;
  }

  /** Every certificate of an identity, and no more until `allow`. Gives what was revoked now. */
  revokeIdentity(spiffeId: string, reason: RevocationReason): IssuedRecord[] {
    if (!this.isBlocked(spiffeId)) this.record.append(this.now(), { kind: 'blocked', spiffeId });
    const { serials } = this.revocations;
    const held = this.record.unexpired(this.now()).filter((each) => each.spiffeId === spiffeId && !serials.includes(each.serial));
    this.#revoke(held, reason);
    return held;
  }

  /** Ends a block; what was revoked stays so. Throws CERT_NOT_BLOCKED. */
  allow(spiffeId: string): void {
    if (!this.isBlocked(spiffeId))
      throw new Fault('CERT_NOT_BLOCKED', 'conflict', `${spiffeId} is not blocked`, {
        hint: '`meshctl certs revoke NAME` blocks; `certs log` shows when',
      });
    // What was made to try the block must not outlive it.
    const probes = this.record.unexpired(this.now()).filter((each) => each.channel === 'probe' && each.spiffeId === spiffeId);
    this.#revoke(
      probes.filter(({ serial }) => !this.isRevoked(serial)),
      'superseded',
    );
    this.record.append(this.now(), { kind: 'allowed', spiffeId });
    this.#changed();
  }

  /** The list of each certificate of the authority whose key is at hand, and those of roots as they were signed last. */
  lists(): SignedList[] {
    const now = this.now();
    return this.#authority.state.certificates.flatMap(({ name, kind }) => {
      const known = this.#lists.get(name) ?? this.#readList(name);
      const isDue = known === undefined || now >= (known.thisUpdateMs + known.nextUpdateMs) / 2 || now < known.thisUpdateMs - 3_600_000;
      const list = kind === 'root' || !isDue ? known : (this.#signList(name, LIST_LIFE_MS) ?? known);
      return list === undefined ? [] : [list];
    });
  }

  /** What a list of one of the authority's certificates has to say now; its number is used up by asking. */
  listTemplate(name: string, lifeMs: number): RevocationContent {
    const now = this.now();
    const end = this.#authority.details(name)?.notAfterMs ?? now;
    return {
      // The list that was made with the authority has number 1.
      number: this.record.append(now, { kind: 'list', issuer: name }) + 1,
      thisUpdateMs: Math.floor(now / 1000) * 1000,
      nextUpdateMs: Math.min(now + lifeMs, end),
      revoked: this.record
        .revoked()
        .filter((each) => each.issuer === name && each.notAfterMs > now)
        .map(({ serial, atMs, reason }) => ({ serial, atMs, reason })),
    };
  }

  /** Takes a list that was signed elsewhere: a root's, whose key is not here. Throws CA_LIST when it is not that root's. */
  takeList(name: string, der: Buffer): void {
    const issuer = this.#authority.details(name);
    const list = readRevocationLists(der)[0];
    const key = issuer === undefined ? undefined : keyOf(issuer);
    if (issuer === undefined || list === undefined || !isSignature(list.signatureOid, list.signed, list.signature, key))
      throw new Fault('CA_LIST', 'conflict', `this list of revocations is not signed by ${name}`);
    this.#takeList(name, der);
  }

  /** New keys for intermediates, and the requests that a root's key has to sign; nothing else changes. */
  async request(kinds: readonly ('peer' | 'edge')[], keyType?: KeyType): Promise<{ generation: number; requests: CaRequest[] }> {
    const { state } = this.#authority;
    const generation = state.lastGeneration + 1;
    const signer = this.#authority.details(state.signers.peer);
    const type = keyType ?? (signer === undefined ? undefined : keyTypeOf(new X509Certificate(signer.der).publicKey)) ?? 'p256';
    const requests: CaRequest[] = [];
    for (const kind of kinds) {
      const name = `${kind}-${generation}`;
      const keys = await makeKeys(type);
      this.files.writeKey(name, exportKey(keys.privateKey));
      const request = makeSigningRequest(keys.privateKey, keys.publicKey, `${state.trustDomain.slice(0, 40)} ${kind} ${generation}`);
      requests.push({ name, kind, request: request.toString('base64') });
    }
    return { generation, requests };
  }

  /**
   * Takes new intermediates, and a new root with them, which is trusted from now on; who signs does not change.
   * Throws CA_ADOPT when they do not belong to a key and a root that are here, ROTATION when a rotation is under way.
   */
  adopt({ root, certificates }: Adoption): void {
    const { state } = this.#authority;
    const generation = state.lastGeneration + 1;
    if (state.rotation !== undefined)
      throw new Fault('ROTATION', 'conflict', `a rotation from ${state.rotation.from} to ${state.rotation.to} is under way`, {
        hint: '`meshctl certs rotate root` goes on with it, `--rollback` takes it back',
      });
    const rootName = root === undefined ? this.#rootOfSigner().name : `root-${generation}`;
    const keys = new Map<string, string>();
    const added: CaCertificate[] = [];
    if (root !== undefined) {
      added.push({ name: rootName, kind: 'root', generation, root: rootName, certificate: root.certificate });
      if (root.key !== undefined) keys.set(rootName, root.key);
    }
    for (const { name, kind, certificate } of certificates) {
      if (name !== `${kind}-${generation}`)
        throw new Fault('CA_ADOPT', 'conflict', `${name} is not what was asked for: ${kind}-${generation} is`, { hint: 'begin again' });
      const key = this.files.readKey(name);
      if (key === undefined) throw new Fault('CA_ADOPT', 'conflict', `there is no key for ${name}`, { hint: 'begin again' });
      keys.set(name, key);
      added.push({ name, kind, generation, root: rootName, certificate });
    }
    const next: AuthorityState = {
      ...state,
      lastGeneration: generation,
      certificates: [...state.certificates, ...added],
      ...(root === undefined
        ? {}
        : {
            sequence: state.sequence + 1,
            rotation: { from: this.#rootOfSigner().name, to: rootName, phase: 'trust' as const, startedAtMs: this.now() },
          }),
    };
    this.#save(next, keys, root === undefined ? `intermediates of generation ${generation}` : `${rootName} is trusted besides`);
  }

  /** Intermediates of a generation sign from now on. */
  switchTo(generation: number): void {
    const { state } = this.#authority;
    const of = (kind: CaKind): string | undefined =>
      state.certificates.find((ca) => ca.kind === kind && ca.generation === generation)?.name;
    const peer = of('peer');
    if (peer === undefined)
      throw new Fault('ROTATION', 'not-found', `there is no intermediate of generation ${generation}`, {
        hint: '`meshctl certs rotate root --plan` shows what there is',
      });
    const edge = of('edge') ?? state.signers.edge;
    const { rotation } = state;
    const root = state.certificates.find(({ name }) => name === peer)?.root;
    const next: AuthorityState = {
      ...state,
      signers: { peer, ...(edge === undefined ? {} : { edge }) },
      ...(rotation === undefined ? {} : { rotation: { ...rotation, phase: root === rotation.to ? 'sign' : 'trust' } }),
    };
    this.#save(next, new Map(), `${peer} signs`);
  }

  /** A root is trusted no more, and nothing below it; that ends a rotation. Whether anyone still needs it is the caller's to judge. */
  drop(rootName: string): void {
    const { state } = this.#authority;
    if (this.#rootOfSigner().name === rootName)
      throw new Fault('ROTATION', 'conflict', `${rootName} is above the intermediate that signs`, { hint: 'switch first' });
    const gone = state.certificates.filter(({ root }) => root === rootName);
    if (gone.length === 0) throw new Fault('ROTATION', 'not-found', `${rootName} is not trusted`);
    const { rotation: _rotation, ...rest } = state;
    const next: AuthorityState = {
      ...rest,
      sequence: state.sequence + 1,
      certificates: state.certificates.filter(({ root }) => root !== rootName),
      distrusted: this.#distrusting(gone.filter(({ kind }) => kind === 'peer')),
    };
    this.#save(next, new Map(), `${rootName} is not trusted any more`);
  }

  /** Intermediates below trusted roots that do not sign and have nothing unexpired go; those that were stolen are believed no more. */
  retire(names: readonly string[], isStolen: boolean): void {
    const { state } = this.#authority;
    const gone = state.certificates.filter((ca) => names.includes(ca.name) && ca.kind !== 'root');
    if (gone.some(({ name }) => Object.values(state.signers).includes(name)))
      throw new Fault('ROTATION', 'conflict', 'an intermediate that signs is not retired', { hint: 'switch first' });
    if (gone.length === 0) return;
    if (isStolen)
      for (const ca of gone) {
        const { serial, notAfterMs } = this.#detailsOf(ca);
        this.record.append(this.now(), {
          kind: 'revoked',
          revoked: { serial, spiffeId: ca.name, issuer: ca.root, reason: 'cACompromise', notAfterMs },
        });
      }
    const next: AuthorityState = {
      ...state,
      certificates: state.certificates.filter((ca) => !gone.includes(ca)),
      distrusted: isStolen ? this.#distrusting(gone) : state.distrusted,
    };
    this.#save(next, new Map(), `${gone.map(({ name }) => name).join(' and ')} ${isStolen ? 'not believed any more' : 'retired'}`);
  }

  /** Intermediates that sign no more and have signed nothing that is unexpired go, with their keys. */
  tidy(): void {
    const { state } = this.#authority;
    if (state.rotation !== undefined) return;
    const needed = new Set(this.record.unexpired(this.now()).map(({ issuer }) => issuer));
    const { generation } = this.#authority;
    const idle = state.certificates.filter(
      (ca) => ca.kind !== 'root' && ca.generation < generation && !Object.values(state.signers).includes(ca.name) && !needed.has(ca.name),
    );
    this.retire(
      idle.map(({ name }) => name),
      false,
    );
  }

  /** What is held of a root, or of one intermediate, by somebody who has nothing newer; revoked certificates apart. */
  heldOf(isMeant: (ca: CaCertificate) => boolean): IssuedRecord[] {
    const names = new Set(this.#authority.state.certificates.filter(isMeant).map(({ name }) => name));
    const unexpired = this.record.unexpired(this.now());
    const replaced = new Set(unexpired.flatMap(({ replaces }) => replaces ?? []));
    const newest = new Map<string, string>();
    // A proxy's key never leaves it: what it had before its newest certificate is gone.
    for (const each of unexpired) if (each.channel === 'proxy') newest.set(each.instance, each.serial);
    return unexpired.filter(
      (each) =>
        names.has(each.issuer) &&
        each.channel !== 'probe' &&
        !replaced.has(each.serial) &&
        !this.isRevoked(each.serial) &&
        (each.channel !== 'proxy' || newest.get(each.instance) === each.serial),
    );
  }

  close(): void {
    this.record.close();
  }

  #rootOfSigner(): CaCertificate {
    const { state } = this.#authority;
    const signer = state.certificates.find(({ name }) => name === state.signers.peer);
    const root = state.certificates.find(({ name }) => name === signer?.root);
    if (root === undefined) throw new Fault('CA_UNREADABLE', 'config', 'the authority has no root for the intermediate that signs');
    return root;
  }

  #detailsOf({ certificate }: CaCertificate): { serial: string; notAfterMs: number; fingerprint: string } {
    const x509 = new X509Certificate(certificate);
    return {
      serial: x509.serialNumber.toLowerCase(),
      notAfterMs: x509.validToDate.getTime(),
      fingerprint: fingerprintOf(x509.raw),
    };
  }

  #distrusting(gone: readonly CaCertificate[]): AuthorityState['distrusted'] {
    const now = this.now();
    return [
      ...this.#authority.state.distrusted.filter(({ untilMs }) => untilMs > now),
      ...gone.map((ca) => {
        const { fingerprint, notAfterMs } = this.#detailsOf(ca);
        return { name: ca.name, fingerprint, untilMs: notAfterMs };
      }),
    ];
  }

  #save(next: AuthorityState, keys: ReadonlyMap<string, string>, what: string): void {
    // Built before it is written: what does not belong together is refused here.
    const authority = this.#open(next);
    this.files.save(next, keys);
    this.#authority = authority;
    this.record.append(this.now(), { kind: 'authority', what });
    this.#changed();
  }

  #open(state: AuthorityState): Authority {
    const keys = new Map<string, KeyObject>();
    for (const { name, kind } of state.certificates) {
      const pem = kind === 'root' ? undefined : this.files.readKey(name);
      if (pem === undefined || isEncryptedKey(pem)) continue;
      try {
        keys.set(name, createPrivateKey(pem));
      } catch (cause) {
        throw new Fault('CA_UNREADABLE', 'config', `the key of ${name} cannot be read`, { cause, hint: 'restore `ca/` from a copy' });
      }
    }
    return new Authority(state, keys);
  }

  #revoke(held: readonly IssuedRecord[], reason: RevocationReason): void {
    for (const { serial, spiffeId, issuer, notAfterMs } of held)
      this.record.append(this.now(), { kind: 'revoked', revoked: { serial, spiffeId, issuer, reason, notAfterMs } });
    this.#changed();
    for (const issuer of new Set(held.map((each) => each.issuer))) this.#signList(issuer, LIST_LIFE_MS);
  }

  #changed(): void {
    this.#revocations = undefined;
    this.onChange();
  }

  #collect(): Revocations {
    const now = this.now();
    return {
      serials: this.record
        .revoked()
        .filter(({ notAfterMs }) => notAfterMs > now)
        .map(({ serial }) => serial)
        .sort(),
      identities: this.record.blocked().sort(),
      issuers: this.#authority.state.distrusted.filter(({ untilMs }) => untilMs > now).map(({ fingerprint }) => fingerprint),
    };
  }

  #readList(name: string): SignedList | undefined {
    const der = this.files.readList(name);
    return der === undefined ? undefined : this.#rememberList(name, der);
  }

  #signList(name: string, lifeMs: number): SignedList | undefined {
    if (!this.#authority.holdsKey(name)) return undefined;
    const der = this.#authority.revocations(name, this.listTemplate(name, lifeMs));
    return der === undefined ? undefined : this.#takeList(name, der);
  }

  #takeList(name: string, der: Buffer): SignedList {
    this.files.writeList(name, der);
    return this.#rememberList(name, der);
  }

  #rememberList(issuer: string, der: Buffer): SignedList {
    const list = readRevocationLists(der)[0];
    const signed = {
      issuer,
      der,
      thisUpdateMs: list?.thisUpdateMs ?? 0,
      nextUpdateMs: list?.nextUpdateMs ?? 0,
      revoked: list?.revoked.size ?? 0,
    };
    this.#lists.set(issuer, signed);
    return signed;
  }
}

function recordOf(order: IssueOrder, name: string, issued: Issued): IssuedRecord {
  const { serial, issuedAtMs, notBeforeMs, notAfterMs, issuer, generation } = issued;
  return {
    serial,
    spiffeId: name,
    service: order.service,
    instance: order.instance,
    channel: order.channel,
    kind: order.leaf.kind,
    issuedAtMs,
    notBeforeMs,
    notAfterMs,
    issuer,
    generation,
    ...(order.replaces === undefined ? {} : { replaces: order.replaces }),
  };
}
