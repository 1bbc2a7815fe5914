// Reads what node:crypto does not tell of a certificate or a signing request. node-forge's ASN.1 stays in this folder.
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import forge from 'node-forge';

const { asn1 } = forge;
type Asn1 = forge.asn1.Asn1;

const KEY_USAGES = ['digitalSignature', 'nonRepudiation', 'keyEncipherment', 'dataEncipherment', 'keyAgreement', 'keyCertSign', 'cRLSign', 'encipherOnly', 'decipherOnly'];
const ECDSA_SHA256 = '1.2.840.10045.4.3.2';

export interface CertificateDetails {
  readonly keyUsage: readonly string[];
  readonly pathLength: number | undefined;
  /** DER of the subject Name. */
  readonly subjectName: Buffer;
  readonly subjectKeyId: Buffer | undefined;
}

/** Throws TypeError when the bytes are no certificate. */
export function readCertificateDetails(der: Buffer): CertificateDetails {
  const tbs = children(children(decode(der))[0]);
  const offset = tbs[0]?.tagClass === asn1.Class.CONTEXT_SPECIFIC ? 1 : 0;
  const subject = tbs[offset + 4];
  if (subject === undefined) throw new TypeError('not a certificate');
  let keyUsage: string[] = [];
  let pathLength: number | undefined;
  let subjectKeyId: Buffer | undefined;
  const wrapper = tbs.find((part) => part.tagClass === asn1.Class.CONTEXT_SPECIFIC && Number(part.type) === 3);
  for (const extension of wrapper === undefined ? [] : children(children(wrapper)[0])) {
    const parts = children(extension);
    const oid = asn1.derToOid(bytesOf(parts[0]).toString('binary'));
    const value = bytesOf(parts[parts.length - 1]);
    if (oid === '2.5.29.15') keyUsage = readKeyUsage(bytesOf(decode(value)));
    if (oid === '2.5.29.14') subjectKeyId = bytesOf(decode(value));
    if (oid === '2.5.29.19') {
      const last = children(decode(value)).at(-1);
      if (last !== undefined && Number(last.type) === asn1.Type.INTEGER) pathLength = bytesOf(last).readUIntBE(0, bytesOf(last).length);
    }
  }
  return { keyUsage, pathLength, subjectName: Buffer.from(asn1.toDer(subject).getBytes(), 'binary'), subjectKeyId };
}

/** The public key of a PKCS#10 request whose own signature holds; undefined when it is unreadable, not P-256, or not signed by its key. */
export function readSigningRequest(der: Buffer): KeyObject | undefined {
  try {
    const request = children(decode(der));
    const info = request[0];
    const signature = bytesOf(request[2]).subarray(1);
    const algorithm = asn1.derToOid(bytesOf(children(request[1])[0]).toString('binary'));
    if (info === undefined || algorithm !== ECDSA_SHA256) return undefined;
    const spki = children(info)[2];
    if (spki === undefined) return undefined;
    const key = createPublicKey({ key: Buffer.from(asn1.toDer(spki).getBytes(), 'binary'), format: 'der', type: 'spki' });
    if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') return undefined;
    // The signature covers the very bytes that came, not a re-encoding of them.
    const signed = der.subarray(headerLength(der), headerLength(der) + encodedLength(der.subarray(headerLength(der))));
    return verify('sha256', signed, key, signature) ? key : undefined;
  } catch {
    return undefined;
  }
}

function readKeyUsage(bits: Buffer): string[] {
  return KEY_USAGES.filter((_, i) => ((bits[1 + (i >> 3)] ?? 0) & (0x80 >> (i & 7))) !== 0);
}

function decode(der: Buffer): Asn1 {
  return asn1.fromDer(der.toString('binary'), { strict: true, decodeBitStrings: false } as unknown as boolean);
}

function children(node: Asn1 | undefined): Asn1[] {
  if (node === undefined || !Array.isArray(node.value)) throw new TypeError('not the ASN.1 that was expected');
  return node.value;
}

function bytesOf(node: Asn1 | undefined): Buffer {
  if (node === undefined || typeof node.value !== 'string') throw new TypeError('not the ASN.1 that was expected');
  return Buffer.from(node.value, 'binary');
}

function headerLength(der: Buffer): number {
  const first = der[1] ?? 0;
  return first < 0x80 ? 2 : 2 + (first & 0x7f);
}

function encodedLength(der: Buffer): number {
  const header = headerLength(der);
  return header + (header === 2 ? (der[1] ?? 0) : der.readUIntBE(2, header - 2));
}
