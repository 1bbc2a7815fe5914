// May this certificate be believed? Chain × trust × time → yes, no or cannot tell, with a reason that names the certificate and the rule.
//
//   spiffe    path validation (RFC 5280 section 6) as far as a mesh needs, and the rules of an X.509-SVID (X509-SVID.md)
//   rfc5280   path validation alone
//
// Paths are tried from the leaf upwards until one has no fault; otherwise the one with the fewest is explained. Whoever believes nothing (no
// roots) is told so. A list of revocations that is expired, or missing for an issuer, is no answer: cannot tell.
import { createPublicKey, type KeyObject, verify as verifySignature } from 'node:crypto';
import { isTrustDomain, parseSpiffeId } from '../mesh/identity.ts';
import { printAddress } from './address.ts';
import { type Certificate, type GeneralName, hexOf, OID, printName, type RevocationList } from './x509/read.ts';

export { type Certificate, hexOf, type RevocationList } from './x509/read.ts';

export interface VerifyInput {
  /** The leaf. */
  readonly leaf: Certificate;
  /** Certificates that may lie between, in any order. */
  readonly intermediates: readonly Certificate[];
  readonly roots: readonly Certificate[];
  /** Empty: revocation is not looked at. */
  readonly revocations: readonly RevocationList[];
  readonly atMs: number;
  readonly purpose: 'server' | 'client' | 'any';
  readonly profile: 'spiffe' | 'rfc5280';
  /** Wanted of the leaf. */
  readonly identity?: string;
  readonly trustDomain?: string;
  readonly dns?: string;
}

export interface Reason {
  /** The certificate that it is about. */
  readonly certificate: string;
  /** Stable word. */
  readonly rule: VerifyRule;
  readonly what: string;
  /** `unknown`: nothing is wrong, but something needed is not there. */
  readonly verdict: 'invalid' | 'unknown';
}

export type VerifyRule =
  | 'no-path'
  | 'signature'
  | 'weak-algorithm'
  | 'weak-key'
  | 'not-yet-valid'
  | 'expired'
  | 'not-a-ca'
  | 'path-length'
  | 'key-usage'
  | 'extended-key-usage'
  | 'name-constraints'
  | 'critical-extension'
  | 'revoked'
  | 'revocation-unknown'
  | 'svid-uri'
  | 'svid-ca'
  | 'svid-key-usage'
  | 'svid-extended-key-usage'
  | 'ca-uri'
  | 'identity'
  | 'dns'
  | 'form';

export interface VerifyResult {
  readonly verdict: 'valid' | 'invalid' | 'unknown';
  /** Leaf first, root last; only the leaf where no path leads to a root. */
  readonly path: readonly Certificate[];
  readonly reasons: readonly Reason[];
}

const MAX_PATH = 20;
/** Paths that are tried: cross-signing makes a few, a hostile file many. */
const MAX_TRIES = 1000;
/** Beginnings of paths that are looked at on the way. */
const MAX_STEPS = 5000;

export function verify(input: VerifyInput): VerifyResult {
  let best: { path: readonly Certificate[]; reasons: readonly Reason[] } | undefined;
  const weight = (reasons: readonly Reason[]): number => reasons.reduce((sum, { verdict }) => sum + (verdict === 'invalid' ? 1000 : 1), 0);
  let tries = 0;
  for (const path of paths(input.leaf, [...input.intermediates], input.roots)) {
    if (tries++ >= MAX_TRIES) break;
    const reasons = judge(path, input);
    if (best === undefined || weight(reasons) < weight(best.reasons)) best = { path, reasons };
    if (reasons.length === 0) break;
  }
  if (best === undefined) {
    const what =
      input.roots.length === 0
        ? 'nothing is trusted: no root was given'
        : `nobody among the given certificates issued it (issuer ${printName(input.leaf.issuer)})`;
    best = {
      path: [input.leaf],
      reasons: [{ certificate: describe(input.leaf), rule: 'no-path', what, verdict: 'invalid' }, ...judgeLeaf(input)],
    };
  }
  const verdicts = best.reasons.map(({ verdict }) => verdict);
  return { verdict: verdicts.includes('invalid') ? 'invalid' : verdicts.length > 0 ? 'unknown' : 'valid', ...best };
}

/** What people call a certificate: its identity, its name, else its serial. */
export function describe(certificate: Certificate): string {
  const uri = certificate.names.find(({ kind }) => kind === 'uri');
  if (uri?.kind === 'uri' && certificate.isCa !== true) return uri.text;
  const name = printName(certificate.subject);
  return name === '(empty)' ? `serial ${hexOf(certificate.serial)}` : name;
}

function* paths(leaf: Certificate, pool: readonly Certificate[], roots: readonly Certificate[]): Generator<readonly Certificate[]> {
  // A root that is asked about itself. What is no authority is no root, though somebody calls it one.
  if (leaf.isCa === true && roots.some((root) => root.der.equals(leaf.der))) yield [leaf];
  const open: Certificate[][] = [[leaf]];
  let steps = 0;
  for (let path = open.pop(); path !== undefined && steps++ < MAX_STEPS; path = open.pop()) {
    const top = path.at(-1) as Certificate;
    for (const root of roots) if (isIssuer(root, top) && !root.der.equals(top.der)) yield [...path, root];
    if (path.length >= MAX_PATH) continue;
    for (const next of pool) {
      const isUsed = path.some((each) => each.der.equals(next.der));
      if (!isUsed && isIssuer(next, top) && !roots.some((root) => root.der.equals(next.der))) open.push([...path, next]);
    }
  }
}

/** By name, and by key where both say theirs. */
function isIssuer(issuer: Certificate, subject: Certificate): boolean {
  if (!issuer.subject.equals(subject.issuer)) return false;
  const { subjectKeyId } = issuer;
  const { authorityKeyId } = subject;
  return subjectKeyId === undefined || authorityKeyId === undefined || subjectKeyId.equals(authorityKeyId);
}

function judge(path: readonly Certificate[], input: VerifyInput): Reason[] {
  const reasons: Reason[] = [];
  path.forEach((certificate, i) => {
    const add = (rule: VerifyRule, what: string, verdict: Reason['verdict'] = 'invalid'): void => {
      reasons.push({ certificate: describe(certificate), rule, what, verdict });
    };
    const issuer = path[i + 1];
    const isAnchor = issuer === undefined;
    judgeForm(certificate, input.atMs, add);
    if (issuer !== undefined && !isSigned(certificate, issuer)) add('signature', `its signature is not that of ${describe(issuer)}`);
    if (i > 0) judgeAuthority(certificate, path.slice(1, i), input.purpose, add);
    if (i > 0) judgeConstraints(certificate, path.slice(0, i), add);
    if (!isAnchor && input.revocations.length > 0) judgeRevocation(certificate, issuer, input, add);
    if (i > 0 && input.profile === 'spiffe') judgeSpiffeAuthority(certificate, input.leaf, add);
  });
  return [...reasons, ...judgeLeaf(input)];
}

type Add = (rule: VerifyRule, what: string, verdict?: Reason['verdict']) => void;

const WEAK: Readonly<Record<string, string>> = {
  '1.2.840.113549.1.1.4': 'MD5',
  '1.2.840.113549.1.1.5': 'SHA-1',
  '1.2.840.10045.4.1': 'SHA-1',
};
const HASHES: Readonly<Record<string, string | undefined>> = {
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
};
const ED25519 = '1.3.101.112';
const MIN_RSA_BITS = 2048;
const KNOWN: ReadonlySet<string> = new Set(Object.values(OID));

function judgeForm(certificate: Certificate, atMs: number, add: Add): void {
  const { serial, extensions, version, signatureOid, algorithms, notBeforeMs, notAfterMs } = certificate;
  if (version !== 3) add('form', `it is of version ${version}, and extensions are of version 3`);
  if (!algorithms[0].equals(algorithms[1])) add('form', 'the algorithm inside and the one beside the signature differ');
  if ((serial[0] ?? 0) >= 0x80 || hexOf(serial) === '00' || serial.length > 20)
    add('form', 'its serial is not a positive number of at most 20 bytes');
  const weak = WEAK[signatureOid];
  if (weak !== undefined) add('weak-algorithm', `it is signed with ${weak}`);
  const key = keyOf(certificate);
  if (key === undefined) add('weak-key', 'its public key cannot be read');
  else if (key.asymmetricKeyType === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) < MIN_RSA_BITS)
    add('weak-key', `its RSA key has ${key.asymmetricKeyDetails?.modulusLength} bits, and ${MIN_RSA_BITS} are wanted`);
  if (atMs < notBeforeMs) add('not-yet-valid', `it is valid from ${new Date(notBeforeMs).toISOString()}`);
  if (atMs > notAfterMs) add('expired', `it expired on ${new Date(notAfterMs).toISOString()}`);
  for (const { oid, critical } of extensions)
    if (critical && (!KNOWN.has(oid) || oid === OID.crlNumber)) add('critical-extension', `the critical extension ${oid} is not known`);
}

function isSigned(certificate: Certificate, issuer: Certificate): boolean {
  return isSignature(certificate.signatureOid, certificate.signed, certificate.signature, keyOf(issuer));
}

/** Names of the subjectAltName by kind, addresses as text. */
export function namesOf({ names }: Certificate): { uris: string[]; dnsNames: string[]; ips: string[] } {
  const texts = (wanted: 'uri' | 'dns'): string[] => names.flatMap((name) => (name.kind === wanted ? [name.text] : []));
  return {
    uris: texts('uri'),
    dnsNames: texts('dns'),
    ips: names.flatMap((name) => (name.kind === 'ip' ? [printAddress(name.bytes)] : [])),
  };
}

/** The common name of the subject; undefined where there is none. */
export function commonNameOf({ subject }: Certificate): string | undefined {
  return /(?:^|, )CN=([^,]+)/.exec(printName(subject))?.[1];
}

/** Whether a key made a signature, of an algorithm that is good enough. */
export function isSignature(oid: string, signed: Buffer, signature: Buffer, key: KeyObject | undefined): boolean {
  const hash = HASHES[oid];
  if (key === undefined || (hash === undefined && oid !== ED25519)) return false;
  // The algorithm must be of the key's kind: an RSA signature is none of an EC key.
  const kind = oid === ED25519 ? 'ed25519' : oid.startsWith('1.2.840.10045') ? 'ec' : 'rsa';
  if (key.asymmetricKeyType !== kind) return false;
  try {
    return verifySignature(hash ?? null, signed, key, signature);
  } catch {
    return false;
  }
}

/** The public key; undefined where it cannot be read. */
export function keyOf({ spki }: { readonly spki: Buffer }): KeyObject | undefined {
  try {
    return createPublicKey({ key: spki, format: 'der', type: 'spki' });
  } catch {
    return undefined;
  }
}

const SERVER = '1.3.6.1.5.5.7.3.1';
const CLIENT = '1.3.6.1.5.5.7.3.2';
const ANY = '2.5.29.37.0';

function hasPurpose(purposes: readonly string[] | undefined, purpose: VerifyInput['purpose']): boolean {
  if (purposes === undefined || purpose === 'any' || purposes.includes(ANY)) return true;
  return purposes.includes(purpose === 'server' ? SERVER : CLIENT);
}

/** `below`: the authorities between it and the leaf. */
function judgeAuthority(certificate: Certificate, below: readonly Certificate[], purpose: VerifyInput['purpose'], add: Add): void {
  const { isCa, keyUsage, pathLength, extendedKeyUsage } = certificate;
  if (isCa !== true) add('not-a-ca', 'it signed another certificate and is no authority');
  if (keyUsage?.includes('keyCertSign') === false) add('key-usage', 'its key may not sign certificates (no keyCertSign)');
  // Certificates that an authority issued to itself, for a new key, do not count (RFC 5280 section 6.1.4 l).
  const depth = below.filter((each) => !each.subject.equals(each.issuer)).length;
  if (pathLength !== undefined && depth > pathLength)
    add('path-length', `it allows ${pathLength} authorities below it, and ${depth} are there`);
  if (!hasPurpose(extendedKeyUsage, purpose)) add('extended-key-usage', `what it issues is not for a ${purpose}`);
}

function judgeConstraints({ nameConstraints }: Certificate, below: readonly Certificate[], add: Add): void {
  if (nameConstraints === undefined) return;
  const { permitted, excluded } = nameConstraints;
  for (const each of below) {
    // Those of an authority to itself are left out, but for the leaf (RFC 5280 section 6.1.3 b).
    if (each !== below[0] && each.subject.equals(each.issuer)) continue;
    for (const name of each.names) {
      const of = (list: readonly GeneralName[]): GeneralName[] => list.filter(({ kind }) => kind === name.kind);
      const printed = 'text' in name ? name.text : name.kind;
      if ([...of(permitted), ...of(excluded)].length > 0 && name.kind !== 'dns' && name.kind !== 'uri') {
        add('name-constraints', `it constrains names of a kind that is not judged (${name.kind}), and ${describe(each)} has one`);
        continue;
      }
      if (of(permitted).length > 0 && !of(permitted).some((limit) => isWithin(limit, name)))
        add('name-constraints', `\`${printed}\` of ${describe(each)} is outside what it permits: ${of(permitted).map(print).join(', ')}`);
      const out = of(excluded).find((limit) => isWithin(limit, name));
      if (out !== undefined) add('name-constraints', `\`${printed}\` of ${describe(each)} is within what it excludes: ${print(out)}`);
    }
  }
}

const print = (name: GeneralName): string => ('text' in name ? name.text : name.kind);

/** RFC 5280 section 4.2.1.10: a DNS name covers what ends with it at a dot; a URI's host is exact, or what is below one that begins with a dot. */
function isWithin(limit: GeneralName, name: GeneralName): boolean {
  if (!('text' in limit) || !('text' in name)) return false;
  const wanted = limit.text.toLowerCase();
  if (name.kind === 'dns') {
    const own = name.text.toLowerCase();
    const stem = wanted.replace(/^\./, '');
    return wanted === '' || own === stem || own.endsWith(`.${stem}`);
  }
  const host = /^[a-z][a-z0-9+.-]*:\/\/(?:[^@/?#]*@)?([^:/?#]*)/i.exec(name.text)?.[1]?.toLowerCase();
  if (host === undefined) return false;
  return wanted.startsWith('.') ? host.endsWith(wanted) && host.length > wanted.length : host === wanted;
}

/** Extensions of a list that change what it means are not judged: it is no answer then. */
const LIST_EXTENSIONS: ReadonlySet<string> = new Set([OID.crlNumber, OID.authorityKeyId]);

function judgeRevocation(certificate: Certificate, issuer: Certificate, { revocations, atMs }: VerifyInput, add: Add): void {
  const own = revocations.filter(
    (list) =>
      list.issuer.equals(issuer.subject) &&
      (list.authorityKeyId === undefined || issuer.subjectKeyId === undefined || list.authorityKeyId.equals(issuer.subjectKeyId)),
  );
  const good = own.filter(
    (list) =>
      list.algorithms[0].equals(list.algorithms[1]) &&
      issuer.keyUsage?.includes('cRLSign') !== false &&
      isSignature(list.signatureOid, list.signed, list.signature, keyOf(issuer)) &&
      !list.extensions.some(({ oid, critical }) => critical && !LIST_EXTENSIONS.has(oid)),
  );
  const at = good.map((list) => list.revoked.get(hexOf(certificate.serial))).find((when) => when !== undefined && when <= atMs);
  if (at !== undefined) return add('revoked', `it was revoked on ${new Date(at).toISOString()}`);
  const current = good.filter(
    ({ thisUpdateMs, nextUpdateMs }) => thisUpdateMs <= atMs && nextUpdateMs !== undefined && atMs <= nextUpdateMs,
  );
  if (current.length > 0) return;
  const what =
    own.length === 0
      ? `no list of ${describe(issuer)} was given`
      : good.length === 0
        ? `the list of ${describe(issuer)} is not signed by it, or says what is not judged`
        : `the list of ${describe(issuer)} is not of this time`;
  add('revocation-unknown', what, 'unknown');
}

function judgeLeaf({ leaf, purpose, profile, identity, trustDomain, dns }: VerifyInput): Reason[] {
  const reasons: Reason[] = [];
  const add: Add = (rule, what) => void reasons.push({ certificate: describe(leaf), rule, what, verdict: 'invalid' });
  if (!hasPurpose(leaf.extendedKeyUsage, purpose)) add('extended-key-usage', `it is not for a ${purpose}`);
  if (
    purpose !== 'any' &&
    leaf.keyUsage !== undefined &&
    !leaf.keyUsage.some((each) => ['digitalSignature', 'keyAgreement', 'keyEncipherment'].includes(each))
  )
    add('key-usage', 'its key may not be used in a handshake');
  const uris = leaf.names.flatMap((name) => (name.kind === 'uri' ? [name.text] : []));
  const [uri = ''] = uris;
  const id = uris.length === 1 ? parseSpiffeId(uri) : undefined;
  if (profile === 'spiffe') judgeSvid(leaf, uris, add);
  if (identity !== undefined && (uris.length !== 1 || uri !== identity))
    add('identity', `it is ${uris.length === 0 ? 'nobody' : uris.join(' and ')}, not ${identity}`);
  if (trustDomain !== undefined && id?.trustDomain !== trustDomain) add('identity', `it is not of the trust domain ${trustDomain}`);
  if (dns !== undefined && !leaf.names.some((name) => name.kind === 'dns' && matchesDns(name.text, dns)))
    add('dns', `none of its DNS names is ${dns}`);
  return reasons;
}

/** RFC 6125: a `*` stands for the whole first label and nothing else. */
function matchesDns(pattern: string, name: string): boolean {
  const [a, b] = [pattern.toLowerCase(), name.toLowerCase().replace(/\.$/, '')];
  if (!a.startsWith('*.')) return a === b;
  const dot = b.indexOf('.');
  return dot > 0 && b.slice(dot) === a.slice(1) && a.slice(2).includes('.');
}

function judgeSvid(leaf: Certificate, uris: readonly string[], add: Add): void {
  if (uris.length !== 1) add('svid-uri', `it has ${uris.length} URI SANs where exactly one is allowed`);
  else if (parseSpiffeId(uris[0] ?? '') === undefined) add('svid-uri', `\`${uris[0]}\` is no SPIFFE id of a workload`);
  if (leaf.isCa === true) add('svid-ca', 'it is an authority, and those do not stand for workloads');
  const usage = leaf.extensions.find(({ oid }) => oid === OID.keyUsage);
  if (usage === undefined || !usage.critical) add('svid-key-usage', 'its keyUsage is missing or not critical');
  if (leaf.keyUsage?.includes('digitalSignature') === false) add('svid-key-usage', 'its keyUsage lacks digitalSignature');
  for (const each of ['keyCertSign', 'cRLSign']) if (leaf.keyUsage?.includes(each)) add('svid-key-usage', `its keyUsage has ${each}`);
  if (leaf.extendedKeyUsage !== undefined && ![SERVER, CLIENT].every((each) => leaf.extendedKeyUsage?.includes(each)))
    add('svid-extended-key-usage', 'its extendedKeyUsage lacks serverAuth or clientAuth');
}

function judgeSpiffeAuthority(certificate: Certificate, leaf: Certificate, add: Add): void {
  const uris = certificate.names.flatMap((name) => (name.kind === 'uri' ? [name.text] : []));
  if (uris.length > 1) add('ca-uri', `it has ${uris.length} URI SANs where at most one is allowed`);
  const [uri] = uris;
  if (uri === undefined || !uri.startsWith('spiffe://')) return;
  const domain = uri.slice('spiffe://'.length);
  if (!isTrustDomain(domain)) add('ca-uri', `\`${uri}\` is no trust domain: an authority's id has no path`);
  const own = leaf.names.find((name) => name.kind === 'uri');
  const id = own?.kind === 'uri' ? parseSpiffeId(own.text) : undefined;
  if (isTrustDomain(domain) && id !== undefined && id.trustDomain !== domain)
    add('ca-uri', `it is of the trust domain ${domain}, and stands above ${describe(leaf)}`);
}
