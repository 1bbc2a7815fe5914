// The only writer of certificates: DER by node-forge's ASN.1, signatures by node:crypto.
// node-forge's own certificate class knows RSA only, so it is not used.
import { createHash, type KeyObject, sign } from 'node:crypto';
import forge from 'node-forge';
import { type CertificateKind, PROFILES } from '../profile.ts';

const { asn1 } = forge;
const { Class, Type } = asn1;
type Asn1 = forge.asn1.Asn1;

const OID = {
  ecdsaSha256: '1.2.840.10045.4.3.2',
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
  readonly uri: string;
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

/** A signed certificate for the template; `signer` is an EC P-256 private key. */
export function buildCertificate(template: CertificateTemplate, signer: KeyObject): BuiltCertificate {
  const subject = name(template.commonName);
  const subjectDer = toBuffer(subject);
  const keyId = keyIdentifier(template.spki);
  const tbs = sequence([
    asn1.create(Class.CONTEXT_SPECIFIC, 0, true, [integer(Buffer.from([2]))]),
    integer(template.serial),
    algorithm(),
    template.issuerName === undefined ? subject : fromBuffer(template.issuerName),
    sequence([time(template.notBeforeMs), time(template.notAfterMs)]),
    subject,
    fromBuffer(template.spki),
    asn1.create(Class.CONTEXT_SPECIFIC, 3, true, [sequence(extensions(template, keyId))]),
  ]);
  const signature = sign('sha256', toBuffer(tbs), signer);
  const certificate = sequence([tbs, algorithm(), bitString(signature, 0)]);
  return { der: toBuffer(certificate), subjectName: subjectDer, keyId };
}

/** SHA-256 of the key's bit string, cut to 160 bits (RFC 7093 section 2, method 1). */
export function keyIdentifier(spki: Buffer): Buffer {
  const parsed = fromBuffer(spki).value;
  const bits = Array.isArray(parsed) ? parsed[1]?.value : undefined;
  if (typeof bits !== 'string') throw new TypeError('not a SubjectPublicKeyInfo');
  return createHash('sha256').update(Buffer.from(bits, 'binary').subarray(1)).digest().subarray(0, 20);
}

function extensions(template: CertificateTemplate, keyId: Buffer): Asn1[] {
  const profile = PROFILES[template.kind];
  const list: Asn1[] = [];
  const add = (oid: string, critical: boolean, value: Asn1): void => {
    const parts = [objectId(oid)];
    if (critical) parts.push(asn1.create(Class.UNIVERSAL, Type.BOOLEAN, false, '\xff'));
    parts.push(octets(toBuffer(value)));
    list.push(sequence(parts));
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
  if (template.issuerKeyId !== undefined) {
    add(
      OID.authorityKeyIdentifier,
      false,
      sequence([asn1.create(Class.CONTEXT_SPECIFIC, 0, false, template.issuerKeyId.toString('binary'))]),
    );
  }
  const uri = asn1.create(Class.CONTEXT_SPECIFIC, 6, false, template.uri);
  add(OID.subjectAltName, template.commonName === undefined, sequence([uri]));
  return list;
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

function algorithm(): Asn1 {
  return sequence([objectId(OID.ecdsaSha256)]);
}

function sequence(parts: Asn1[]): Asn1 {
  return asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, parts);
}

function integer(bytes: Buffer): Asn1 {
  return asn1.create(Class.UNIVERSAL, Type.INTEGER, false, bytes.toString('binary'));
}

function octets(bytes: Buffer): Asn1 {
  return asn1.create(Class.UNIVERSAL, Type.OCTETSTRING, false, bytes.toString('binary'));
}

function bitString(bytes: Buffer, unusedBits: number): Asn1 {
  return asn1.create(Class.UNIVERSAL, Type.BITSTRING, false, String.fromCharCode(unusedBits) + bytes.toString('binary'));
}

function objectId(oid: string): Asn1 {
  return asn1.create(Class.UNIVERSAL, Type.OID, false, asn1.oidToDer(oid).getBytes());
}

function toBuffer(value: Asn1): Buffer {
  return Buffer.from(asn1.toDer(value).getBytes(), 'binary');
}

// Bit strings stay bytes: forge would otherwise decode what looks like nested ASN.1 inside them.
function fromBuffer(der: Buffer): Asn1 {
  return asn1.fromDer(der.toString('binary'), { strict: true, decodeBitStrings: false } as unknown as boolean);
}
