// The only writer of certificates, lists of revocations and encrypted keys: DER by node-forge's ASN.1, signatures by node:crypto.
// node-forge's own certificate class knows RSA only, so it is not used.
import { createCipheriv, createHash, type KeyObject, pbkdf2Sync, randomBytes, sign } from 'node:crypto';
import forge from 'node-forge';
import { addressBytes } from '../address.ts';
import { type CertificateKind, PROFILES } from '../profile.ts';
import {
  type Asn1,
  bitString,
  context,
  contextBytes,
  fromDer,
  integer,
  nothing,
  objectId,
  octets,
  positive,
  sequence,
  toDer,
  unsigned,
} from './asn1.ts';

const { asn1 } = forge;
const { Class, Type } = asn1;

const OID = {
  ecdsaSha256: '1.2.840.10045.4.3.2',
  ecdsaSha384: '1.2.840.10045.4.3.3',
  rsaSha256: '1.2.840.113549.1.1.11',
  ed25519: '1.3.101.112',
  pbes2: '1.2.840.113549.1.5.13',
  pbkdf2: '1.2.840.113549.1.5.12',
  hmacSha256: '1.2.840.113549.2.9',
  aes256Cbc: '2.16.840.1.101.3.4.1.42',
  crlNumber: '2.5.29.20',
  crlReason: '2.5.29.21',
  nameConstraints: '2.5.29.30',
  commonName: '2.5.4.3',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyIdentifier: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const;

export interface CertificateTemplate {
  readonly kind: CertificateKind;
  /** Common name; undefined leaves the subject empty and makes the SAN critical (RFC 5280 section 4.1.2.6). */
  readonly commonName: string | undefined;
  /** DER of the issuer's Name, byte for byte as in its certificate; undefined for a self-signed one. */
  readonly issuerName: Buffer | undefined;
  /** Key identifier of the issuer; undefined for a self-signed one. */
  readonly issuerKeyId: Buffer | undefined;
  readonly uri?: string | undefined;
  readonly dnsNames?: readonly string[] | undefined;
  /** IPv4 or IPv6 addresses as text. */
  readonly ips?: readonly string[] | undefined;
  /** Hosts of URIs that certificates below may (only), or may not, name (RFC 5280 section 4.2.1.10). */
  readonly uriHosts?: { readonly permitted?: readonly string[]; readonly excluded?: readonly string[] } | undefined;
  readonly serial: Buffer;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Buffer;
}

export interface BuiltCertificate {
  readonly der: Buffer;
  /** DER of the subject Name, for the certificates that this one signs. */
  readonly subjectName: Buffer;
  readonly keyId: Buffer;
}

/** A signed certificate for the template. Throws TypeError for a signer of a kind that is not made here, and for an address that is none. */
export function buildCertificate(template: CertificateTemplate, signer: KeyObject): BuiltCertificate {
  const subject = name(template.commonName);
  const subjectDer = toDer(subject);
  const keyId = keyIdentifier(template.spki);
  const tbs = sequence([
    context(0, [integer(Buffer.from([2]))]),
    integer(template.serial),
    algorithm(signer),
    template.issuerName === undefined ? subject : fromDer(template.issuerName),
    sequence([time(template.notBeforeMs), time(template.notAfterMs)]),
    subject,
    fromDer(template.spki),
    context(3, [sequence(extensions(template, keyId))]),
  ]);
  return { der: signed(tbs, signer), subjectName: subjectDer, keyId };
}

export interface RevocationTemplate {
  /** DER of the issuer's Name. */
  readonly issuerName: Buffer;
  readonly issuerKeyId: Buffer;
  /** Rises with every list of this issuer. */
  readonly number: number;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  readonly revoked: readonly { readonly serial: Buffer; readonly atMs: number; readonly reason?: RevocationReason }[];
}

/** CRLReason (RFC 5280 section 5.3.1): those that an operator can mean. */
export const REVOCATION_REASONS = { unspecified: 0, keyCompromise: 1, cACompromise: 2, superseded: 4, cessationOfOperation: 5 } as const;
export type RevocationReason = keyof typeof REVOCATION_REASONS;

/** A signed list of revocations, version 2, with AKI and number (RFC 5280 section 5). */
export function buildRevocations(template: RevocationTemplate, signer: KeyObject): Buffer {
  const entries = template.revoked.map(({ serial, atMs, reason }) => {
    const parts = [integer(positive(serial)), time(atMs)];
    const code = REVOCATION_REASONS[reason ?? 'unspecified'];
    // `unspecified` is left out (RFC 5280 section 5.3.1).
    if (code !== 0)
      parts.push(
        sequence([extension(OID.crlReason, false, asn1.create(Class.UNIVERSAL, Type.ENUMERATED, false, String.fromCharCode(code)))]),
      );
    return sequence(parts);
  });
  const tbs = sequence([
    integer(Buffer.from([1])),
    algorithm(signer),
    fromDer(template.issuerName),
    time(template.thisUpdateMs),
    time(template.nextUpdateMs),
    ...(entries.length === 0 ? [] : [sequence(entries)]),
    asn1.create(Class.CONTEXT_SPECIFIC, 0, true, [
      sequence([
        extension(OID.authorityKeyIdentifier, false, authorityKeyId(template.issuerKeyId)),
        extension(OID.crlNumber, false, integer(unsigned(template.number))),
      ]),
    ]),
  ]);
  return signed(tbs, signer);
}

/** Rounds of PBKDF2 with HMAC-SHA-256: what OWASP asks for. */
const PBKDF2_ROUNDS = 600_000;

/** DER EncryptedPrivateKeyInfo (RFC 5958): PBES2 with PBKDF2 and AES-256-CBC (RFC 8018). Takes a tenth of a second, on purpose. */
export function encryptPkcs8(pkcs8: Buffer, passphrase: string): Buffer {
  const salt = randomBytes(16);
  const iv = randomBytes(16);
  const cipher = createCipheriv('aes-256-cbc', pbkdf2Sync(passphrase, salt, PBKDF2_ROUNDS, 32, 'sha256'), iv);
  const encrypted = Buffer.concat([cipher.update(pkcs8), cipher.final()]);
  const derivation = sequence([octets(salt), integer(unsigned(PBKDF2_ROUNDS)), sequence([objectId(OID.hmacSha256), nothing()])]);
  return toDer(
    sequence([
      sequence([
        objectId(OID.pbes2),
        sequence([sequence([objectId(OID.pbkdf2), derivation]), sequence([objectId(OID.aes256Cbc), octets(iv)])]),
      ]),
      octets(encrypted),
    ]),
  );
}

function signed(tbs: Asn1, signer: KeyObject): Buffer {
  const signature = sign(SIGNATURES[signatureOid(signer)] ?? null, toDer(tbs), signer);
  return toDer(sequence([tbs, algorithm(signer), bitString(signature, 0)]));
}

const SIGNATURES: Readonly<Record<string, string | undefined>> = {
  [OID.ecdsaSha256]: 'sha256',
  [OID.ecdsaSha384]: 'sha384',
  [OID.rsaSha256]: 'sha256',
};

function signatureOid({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string {
  if (asymmetricKeyType === 'ed25519') return OID.ed25519;
  if (asymmetricKeyType === 'rsa') return OID.rsaSha256;
  if (asymmetricKeyType === 'ec') return asymmetricKeyDetails?.namedCurve === 'secp384r1' ? OID.ecdsaSha384 : OID.ecdsaSha256;
  throw new TypeError(`a key of type ${asymmetricKeyType} signs no certificates here`);
}

/** SHA-256 of the key's bit string, cut to 160 bits (RFC 7093 section 2, method 1). */
export function keyIdentifier(spki: Buffer): Buffer {
  const parsed = fromDer(spki).value;
  const bits = Array.isArray(parsed) ? parsed[1]?.value : undefined;
  if (typeof bits !== 'string') throw new TypeError('not a SubjectPublicKeyInfo');
  return createHash('sha256').update(Buffer.from(bits, 'binary').subarray(1)).digest().subarray(0, 20);
}

function extensions(template: CertificateTemplate, keyId: Buffer): Asn1[] {
  const profile = PROFILES[template.kind];
  const list: Asn1[] = [];
  const add = (oid: string, critical: boolean, value: Asn1): void => {
    list.push(extension(oid, critical, value));
  };
  const constraints: Asn1[] = [];
  if (profile.ca) constraints.push(asn1.create(Class.UNIVERSAL, Type.BOOLEAN, false, '\xff'));
  if (profile.pathLength !== undefined) constraints.push(integer(Buffer.from([profile.pathLength])));
  add(OID.basicConstraints, true, sequence(constraints));
  add(OID.keyUsage, true, keyUsage(profile.keyUsage));
  if (profile.extendedKeyUsage.length > 0) {
    add(OID.extendedKeyUsage, false, sequence(profile.extendedKeyUsage.map((usage) => objectId(OID[usage]))));
  }
  add(OID.subjectKeyIdentifier, false, octets(keyId));
  if (template.issuerKeyId !== undefined) add(OID.authorityKeyIdentifier, false, authorityKeyId(template.issuerKeyId));
  const { permitted = [], excluded = [] } = template.uriHosts ?? {};
  if (permitted.length + excluded.length > 0) add(OID.nameConstraints, true, nameConstraints(permitted, excluded));
  const names = [
    ...(template.uri === undefined ? [] : [contextBytes(6, Buffer.from(template.uri))]),
    ...(template.dnsNames ?? []).map((dns) => contextBytes(2, Buffer.from(dns))),
    ...(template.ips ?? []).map((ip) => contextBytes(7, ipBytes(ip))),
  ];
  if (names.length > 0) add(OID.subjectAltName, template.commonName === undefined, sequence(names));
  return list;
}

function extension(oid: string, critical: boolean, value: Asn1): Asn1 {
  const parts = [objectId(oid)];
  if (critical) parts.push(asn1.create(Class.UNIVERSAL, Type.BOOLEAN, false, '\xff'));
  parts.push(octets(toDer(value)));
  return sequence(parts);
}

function authorityKeyId(id: Buffer): Asn1 {
  return sequence([contextBytes(0, id)]);
}

function nameConstraints(permitted: readonly string[], excluded: readonly string[]): Asn1 {
  const subtrees = (tag: number, hosts: readonly string[]): Asn1[] =>
    hosts.length === 0
      ? []
      : [
          asn1.create(
            Class.CONTEXT_SPECIFIC,
            tag,
            true,
            hosts.map((host) => sequence([contextBytes(6, Buffer.from(host))])),
          ),
        ];
  return sequence([...subtrees(0, permitted), ...subtrees(1, excluded)]);
}

function ipBytes(ip: string): Buffer {
  const bytes = addressBytes(ip);
  if (bytes === undefined) throw new TypeError(`\`${ip}\` is no IP address`);
  return bytes;
}

// KeyUsage bits are counted from the most significant one; DER wants no trailing zero bits (X.690 section 11.2.2).
function keyUsage(usages: readonly string[]): Asn1 {
  const BIT: Record<string, number> = { digitalSignature: 0, keyCertSign: 5, cRLSign: 6 };
  let byte = 0;
  let last = 0;
  for (const usage of usages) {
    const bit = BIT[usage] ?? 0;
    byte |= 0x80 >> bit;
    last = Math.max(last, bit);
  }
  return bitString(Buffer.from([byte]), 7 - last);
}

function name(commonName: string | undefined): Asn1 {
  if (commonName === undefined) return sequence([]);
  const value = asn1.create(Class.UNIVERSAL, Type.UTF8, false, Buffer.from(commonName, 'utf8').toString('binary'));
  return sequence([asn1.create(Class.UNIVERSAL, Type.SET, true, [sequence([objectId(OID.commonName), value])])]);
}

// UTCTime until 2049, GeneralizedTime from 2050, whole seconds, Z (RFC 5280 section 4.1.2.5).
function time(ms: number): Asn1 {
  const text = new Date(ms).toISOString().replace(/[-:T]/g, '').slice(0, 14);
  return Number(text.slice(0, 4)) < 2050
    ? asn1.create(Class.UNIVERSAL, Type.UTCTIME, false, `${text.slice(2)}Z`)
    : asn1.create(Class.UNIVERSAL, Type.GENERALIZEDTIME, false, `${text}Z`);
}

function algorithm(signer: KeyObject): Asn1 {
  const oid = signatureOid(signer);
  // RSA has NULL for its parameters (RFC 4055 section 5), the others have none.
  return sequence([objectId(oid), ...(oid === OID.rsaSha256 ? [nothing()] : [])]);
}
