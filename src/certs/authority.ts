// The mesh's authority: roots that are trusted, and intermediates that sign. Values in, certificates out; files are the platform's matter.
//
//   root-1 ─► peer-1   signs SVIDs of workloads
//          └► edge-1   signs what carries no SPIFFE id (server, client, ingress), and may not name one
//
// During a rotation there are more of each; `signers` says which of them sign. A root's key is never here: whoever rotates brings it.
import { createHash, type KeyObject, randomBytes, X509Certificate } from 'node:crypto';
import { Fault } from '../base/fault.ts';
import { printSpiffeId, printTrustDomain, type SpiffeId } from '../mesh/identity.ts';
import { printAddress } from './address.ts';
import { exportSpki, type Keys, keyPair } from './key.ts';
import { printPem } from './pem.ts';
import { BACKDATE_MS, INTERMEDIATE_LIFE_MS, type LeafKind, ROOT_LIFE_MS } from './profile.ts';
import { isSignature, keyOf } from './verify.ts';
import { buildCertificate, buildRevocations, type RevocationReason } from './x509/build.ts';
import { type Certificate, printName, readCertificate, readRequest } from './x509/read.ts';

export { REVOCATION_REASONS, type RevocationReason } from './x509/build.ts';

export type CaKind = 'root' | 'peer' | 'edge';

export interface CaCertificate {
  /** `root-1`, `peer-2`: also the name of its files. */
  readonly name: string;
  readonly kind: CaKind;
  /** Counts up with each new intermediate or root, and is never used twice. */
  readonly generation: number;
  /** Name of the root above it; its own for a root. */
  readonly root: string;
  /** PEM. */
  readonly certificate: string;
}

/** A root rotation under way: both are trusted; `from` signs in phase `trust`, `to` in phase `sign`. */
export interface Rotation {
  readonly from: string;
  readonly to: string;
  readonly phase: 'trust' | 'sign';
  readonly startedAtMs: number;
}

/** An intermediate that is not believed any more, though it may be unexpired: it was stolen, or its root was dropped. */
export interface Distrusted {
  readonly name: string;
  /** SHA-256 of its DER, lower-case hex. */
  readonly fingerprint: string;
  /** When it expires, and need not be mentioned any more. */
  readonly untilMs: number;
}

/** What an authority is, keys apart. */
export interface AuthorityState {
  readonly trustDomain: string;
  /** Rises whenever whom to trust changes. */
  readonly sequence: number;
  readonly lastGeneration: number;
  /** Roots that are trusted, and intermediates below them. */
  readonly certificates: readonly CaCertificate[];
  readonly signers: { readonly peer: string; readonly edge?: string };
  readonly rotation?: Rotation;
  readonly distrusted: readonly Distrusted[];
  /** URI name constraints stand in the roots that were made here. */
  readonly isConstrained: boolean;
}

export type Leaf =
  | { readonly kind: 'peer'; readonly id: SpiffeId }
  | {
      readonly kind: Exclude<LeafKind, 'peer'>;
      readonly commonName: string;
      readonly dnsNames: readonly string[];
      readonly ips: readonly string[];
    };

export interface Issued {
  /** PEM, leaf first, then the intermediate. */
  readonly chain: string;
  readonly leaf: string;
  /** Lower-case hex. */
  readonly serial: string;
  readonly issuedAtMs: number;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Name and generation of the intermediate that signed. */
  readonly issuer: string;
  readonly generation: number;
}

export interface NewRoot {
  readonly trustDomain: string;
  readonly generation: number;
  readonly keys: Keys;
  readonly nowMs: number;
  readonly lifeMs?: number | undefined;
  readonly isConstrained?: boolean | undefined;
}

/** A self-signed root as PEM. */
export function signRoot({ trustDomain, generation, keys, nowMs, lifeMs = ROOT_LIFE_MS, isConstrained = false }: NewRoot): string {
  const built = buildCertificate(
    {
      kind: 'root',
      commonName: commonName(trustDomain, 'root', generation),
      issuerName: undefined,
      issuerKeyId: undefined,
      uri: printTrustDomain(trustDomain),
      uriHosts: isConstrained ? { permitted: [trustDomain] } : undefined,
      serial: makeSerial(),
      notBeforeMs: nowMs - BACKDATE_MS,
      notAfterMs: nowMs + lifeMs,
      spki: exportSpki(keys.publicKey),
    },
    keys.privateKey,
  );
  return printPem('CERTIFICATE', built.der);
}

export interface NewIntermediate {
  readonly trustDomain: string;
  readonly kind: 'peer' | 'edge';
  readonly generation: number;
  /** DER of its public key. */
  readonly spki: Buffer;
  /** PEM of the root that signs, and its key. */
  readonly root: string;
  readonly rootKey: KeyObject;
  readonly nowMs: number;
  readonly lifeMs?: number | undefined;
}

/** An intermediate as PEM; its end is never later than the root's. Throws CA_KEY when the key is not the root's, CERT_SIGNER_EXPIRED. */
export function signIntermediate(wanted: NewIntermediate): string {
  const { trustDomain, kind, generation, spki, root, rootKey, nowMs, lifeMs = INTERMEDIATE_LIFE_MS } = wanted;
  const parsed = new X509Certificate(root);
  if (!parsed.checkPrivateKey(rootKey)) throw new Fault('CA_KEY', 'usage', 'this key is not that of the root certificate');
  const issuer = readCertificate(parsed.raw);
  if (nowMs >= issuer.notAfterMs)
    throw new Fault('CERT_SIGNER_EXPIRED', 'unavailable', `the root expired on ${new Date(issuer.notAfterMs).toISOString()}`, {
      hint: '`meshctl certs rotate root` makes a new one',
    });
  const built = buildCertificate(
    {
      kind: 'intermediate',
      commonName: commonName(trustDomain, kind === 'peer' ? 'intermediate' : 'edge', generation),
      issuerName: issuer.subject,
      issuerKeyId: issuer.subjectKeyId,
      // What it signs names no workload of this trust domain, and a verifier need not take our word for it.
      ...(kind === 'peer' ? { uri: printTrustDomain(trustDomain) } : { uriHosts: { excluded: [trustDomain] } }),
      serial: makeSerial(),
      notBeforeMs: Math.max(nowMs - BACKDATE_MS, issuer.notBeforeMs),
      notAfterMs: Math.min(nowMs + lifeMs, issuer.notAfterMs),
      spki,
    },
    rootKey,
  );
  return printPem('CERTIFICATE', built.der);
}

export interface NewAuthority {
  readonly trustDomain: string;
  readonly nowMs: number;
  /** P-256 when none are given. */
  readonly keys?: { readonly root: Keys; readonly peer: Keys; readonly edge: Keys };
  readonly rootLifeMs?: number | undefined;
  readonly intermediateLifeMs?: number | undefined;
  readonly isConstrained?: boolean | undefined;
  /** A root that others made, instead of a new one. */
  readonly root?: { readonly certificate: string; readonly key: KeyObject };
}

export interface CreatedAuthority {
  readonly state: AuthorityState;
  /** Private keys by name, the root's too. */
  readonly keys: ReadonlyMap<string, KeyObject>;
}

/** A new authority: root, and one intermediate of each kind. */
export function createAuthority(wanted: NewAuthority): CreatedAuthority {
  const { trustDomain, nowMs, isConstrained = false } = wanted;
  const keys = wanted.keys ?? { root: keyPair(), peer: keyPair(), edge: keyPair() };
  const root = wanted.root ?? {
    certificate: signRoot({ trustDomain, generation: 1, keys: keys.root, nowMs, lifeMs: wanted.rootLifeMs, isConstrained }),
    key: keys.root.privateKey,
  };
  const below = (kind: 'peer' | 'edge'): CaCertificate => ({
    name: `${kind}-1`,
    kind,
    generation: 1,
    root: 'root-1',
    certificate: signIntermediate({
      trustDomain,
      kind,
      generation: 1,
      spki: exportSpki(keys[kind].publicKey),
      root: root.certificate,
      rootKey: root.key,
      nowMs,
      lifeMs: wanted.intermediateLifeMs,
    }),
  });
  return {
    state: {
      trustDomain,
      sequence: 1,
      lastGeneration: 1,
      certificates: [
        { name: 'root-1', kind: 'root', generation: 1, root: 'root-1', certificate: root.certificate },
        below('peer'),
        below('edge'),
      ],
      signers: { peer: 'peer-1', edge: 'edge-1' },
      distrusted: [],
      isConstrained,
    },
    keys: new Map([
      ['root-1', root.key],
      ['peer-1', keys.peer.privateKey],
      ['edge-1', keys.edge.privateKey],
    ]),
  };
}

interface Signer {
  readonly ca: CaCertificate;
  readonly parsed: Certificate;
  readonly x509: X509Certificate;
  readonly key: KeyObject | undefined;
}

export interface RevocationContent {
  /** Rises with every list of this issuer. */
  readonly number: number;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  /** Serials in hex. */
  readonly revoked: readonly { readonly serial: string; readonly atMs: number; readonly reason: RevocationReason }[];
}

/** DER of a list of revocations, by an issuer's PEM and key. Throws CA_KEY when they do not belong together. */
export function signRevocations(issuer: string, key: KeyObject, list: RevocationContent): Buffer {
  const x509 = new X509Certificate(issuer);
  if (!x509.checkPrivateKey(key)) throw new Fault('CA_KEY', 'usage', 'this key is not that of the certificate');
  const { subject, subjectKeyId = Buffer.alloc(0) } = readCertificate(x509.raw);
  const revoked = list.revoked.map(({ serial, ...rest }) => ({ ...rest, serial: Buffer.from(serial, 'hex') }));
  return buildRevocations({ ...list, revoked, issuerName: subject, issuerKeyId: subjectKeyId }, key);
}

export class Authority {
  readonly state: AuthorityState;
  /** Every trusted root, PEM. */
  readonly roots: readonly string[];
  readonly #all = new Map<string, Signer>();

  /**
   * `keys` are those of intermediates, by name; those that sign must be there.
   * Throws CA_UNREADABLE when the parts do not belong together.
   */
  constructor(state: AuthorityState, keys: ReadonlyMap<string, KeyObject>) {
    this.state = state;
    const wrong = (what: string, cause?: unknown): Fault =>
      new Fault('CA_UNREADABLE', 'config', what, {
        cause,
        hint: 'restore `ca/` from a copy, or remove it to make a new authority: every workload then gets a new certificate',
      });
    for (const ca of state.certificates) {
      try {
        const x509 = new X509Certificate(ca.certificate);
        this.#all.set(ca.name, { ca, x509, parsed: readCertificate(x509.raw), key: keys.get(ca.name) });
      } catch (cause) {
        throw wrong(`the authority's certificate ${ca.name} cannot be read`, cause);
      }
    }
    for (const { ca, x509, parsed, key } of this.#all.values()) {
      if (parsed.isCa !== true || parsed.keyUsage?.includes('keyCertSign') === false)
        throw wrong(`${ca.name} is no authority: it may sign nothing`);
      const root = this.#all.get(ca.root);
      const belongs = root?.ca.kind === 'root' && x509.verify(root.x509.publicKey) && (key === undefined || x509.checkPrivateKey(key));
      if (!belongs) throw wrong(`the authority's certificates and keys do not belong together (${ca.name})`);
    }
    for (const name of Object.values(state.signers))
      if (this.#all.get(name)?.key === undefined) throw wrong(`the key of ${name}, which signs, is not there`);
    this.roots = [...this.#all.values()].filter(({ ca }) => ca.kind === 'root').map(({ ca }) => ca.certificate);
  }

  /** Roots as one PEM. */
  get bundle(): string {
    return this.roots.join('');
  }

  /** Generation of the intermediate that signs SVIDs. */
  get generation(): number {
    return this.#all.get(this.state.signers.peer)?.ca.generation ?? 0;
  }

  /** A certificate of the authority, as read. */
  details(name: string): Certificate | undefined {
    return this.#all.get(name)?.parsed;
  }

  /** Whether the key of one is here. */
  holdsKey(name: string): boolean {
    return this.#all.get(name)?.key !== undefined;
  }

  /** The intermediate for SVIDs that signed this certificate; undefined for any other, and for one that is not believed any more. */
  signerOf(certificate: X509Certificate): CaCertificate | undefined {
    for (const { ca, x509, parsed } of this.#all.values()) {
      if (ca.kind !== 'peer' || this.state.distrusted.some(({ fingerprint }) => fingerprint === fingerprintOf(parsed.der))) continue;
      if (certificate.checkIssued(x509) && certificate.verify(x509.publicKey)) return ca;
    }
    return undefined;
  }

  /**
   * Signs a certificate for a public key; its end is never later than that of any above it.
   * Throws CERT_SIGNER_EXPIRED, and CERT_NO_SIGNER when there is no intermediate for its kind.
   */
  issue(leaf: Leaf, publicKey: KeyObject, ttlMs: number, nowMs: number): Issued {
    const name = leaf.kind === 'peer' ? this.state.signers.peer : this.state.signers.edge;
    const signer = name === undefined ? undefined : this.#all.get(name);
    if (signer?.key === undefined)
      throw new Fault('CERT_NO_SIGNER', 'config', `this authority has no intermediate that signs certificates of kind \`${leaf.kind}\``, {
        hint: '`meshctl certs rotate intermediate` makes one',
      });
    const root = this.#all.get(signer.ca.root);
    const end = Math.min(signer.parsed.notAfterMs, root?.parsed.notAfterMs ?? 0);
    if (nowMs >= end)
      throw new Fault('CERT_SIGNER_EXPIRED', 'unavailable', `${signer.ca.name}, which signs, expired on ${new Date(end).toISOString()}`, {
        hint: '`meshctl certs rotate intermediate` makes a new one, `rotate root` a new root',
      });
    const issuedAtMs = Math.floor(nowMs / 1000) * 1000;
    const notBeforeMs = Math.max(issuedAtMs - BACKDATE_MS, signer.parsed.notBeforeMs);
    const notAfterMs = Math.min(issuedAtMs + ttlMs, end);
    const serial = makeSerial();
    const built = buildCertificate(
      {
        kind: leaf.kind,
        ...(leaf.kind === 'peer'
          ? { commonName: undefined, uri: printSpiffeId(leaf.id) }
          : { commonName: leaf.commonName, dnsNames: leaf.dnsNames, ips: leaf.ips }),
        issuerName: signer.parsed.subject,
        issuerKeyId: signer.parsed.subjectKeyId,
        serial,
        notBeforeMs,
        notAfterMs,
        spki: exportSpki(publicKey),
      },
      signer.key,
    );
    const pem = printPem('CERTIFICATE', built.der);
    return {
      leaf: pem,
      chain: pem + signer.ca.certificate,
      serial: serial.toString('hex'),
      issuedAtMs,
      notBeforeMs,
      notAfterMs,
      issuer: signer.ca.name,
      generation: signer.ca.generation,
    };
  }

  /** DER of the list of revocations of an intermediate; undefined where its key is not here. */
  revocations(name: string, list: RevocationContent): Buffer | undefined {
    const issuer = this.#all.get(name);
    return issuer?.key === undefined ? undefined : signRevocations(issuer.ca.certificate, issuer.key, list);
  }
}

/** The public key of a workload's request (PKCS#10, base64). Throws CSR_REFUSED when its signature does not hold or it is not P-256. */
export function workloadKey(request: string): KeyObject {
  const key = readSigningRequest(Buffer.from(request, 'base64'))?.key;
  if (key?.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key;
  throw new Fault('CSR_REFUSED', 'denied', 'the signing request is unreadable, not for a P-256 key, or not signed by its own key');
}

export interface ReadRequest {
  readonly key: KeyObject;
  readonly subject: string;
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  /** As text. */
  readonly ips: readonly string[];
  /** Names of other kinds are asked for. */
  readonly hasOtherNames: boolean;
  readonly isCa: boolean;
}

/** A PKCS#10 request whose own signature holds; undefined otherwise. */
export function readSigningRequest(der: Buffer): ReadRequest | undefined {
  try {
    const request = readRequest(der);
    const key = keyOf(request);
    if (key === undefined || !isSignature(request.signatureOid, request.signed, request.signature, key)) return undefined;
    const of = (wanted: 'uri' | 'dns'): string[] => request.names.flatMap((name) => (name.kind === wanted ? [name.text] : []));
    return {
      key,
      subject: printName(request.subject),
      uris: of('uri'),
      dnsNames: of('dns'),
      ips: request.names.flatMap((name) => (name.kind === 'ip' ? [printAddress(name.bytes)] : [])),
      hasOtherNames: request.names.some(({ kind }) => kind === 'email' || kind === 'other'),
      isCa: request.isCa,
    };
  } catch {
    return undefined;
  }
}

/** SHA-256 of a certificate, lower-case hex. */
export function fingerprintOf(der: Buffer): string {
  return createHash('sha256').update(der).digest('hex');
}

function commonName(trustDomain: string, what: string, generation: number): string {
  return `${trustDomain.slice(0, 40)} ${what} ${generation}`;
}

// 126 random bits, positive, no leading zero byte (RFC 5280 section 4.1.2.2; CA/B wants 64 or more).
function makeSerial(): Buffer {
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial;
}
