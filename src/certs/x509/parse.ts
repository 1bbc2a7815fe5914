// Reads what node:crypto does not tell of a certificate or a signing request. node-forge's ASN.1 stays in this folder.
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import forge from 'node-forge';
import { ECDSA_SHA256 } from '../csr.ts';
import { keyUsagesOf } from './read.ts';

const { asn1 } = forge;
type Asn1 = forge.asn1.Asn1;

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
    if (oid === '2.5.29.15') keyUsage = keyUsagesOf(bytesOf(decode(value)));
    if (oid === '2.5.29.14') subjectKeyId = bytesOf(decode(value));
    if (oid === '2.5.29.19') {
      const last = children(decode(value)).at(-1);
      if (last !== undefined && Number(last.type) === asn1.Type.INTEGER) pathLength = bytesOf(last).readUIntBE(0, bytesOf(last).length);
    }
  }
  return { keyUsage, pathLength, subjectName: encode(subject), subjectKeyId };
}

/** The public key of a PKCS#10 request whose own signature holds; undefined when it is unreadable, not P-256, or not signed by its key. */
export function readSigningRequest(der: Buffer): KeyObject | undefined {
  try {
    const outer = decode(der);
    const [info, algorithm, signed] = children(outer);
    // Exactly what DER allows and PKCS#10 wants: anything looser could be read as something else by somebody else.
    const strict = isSequence(outer) && children(outer).length === 3 && isSequence(info) && encode(outer).equals(der);
    if (!strict || !encode(algorithm).equals(ECDSA_SHA256) || Number(signed?.type) !== asn1.Type.BITSTRING) return undefined;
    const bits = bytesOf(signed);
    const spki = children(info)[2];
    if (bits[0] !== 0 || spki === undefined) return undefined;
    const key = createPublicKey({ key: encode(spki), format: 'der', type: 'spki' });
    if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') return undefined;
    return verify('sha256', encode(info), key, bits.subarray(1)) ? key : undefined;
  } catch {
    return undefined;
  }
}

function decode(der: Buffer): Asn1 {
  return asn1.fromDer(der.toString('binary'), { strict: true, decodeBitStrings: false } as unknown as boolean);
}

function encode(node: Asn1 | undefined): Buffer {
  if (node === undefined) throw new TypeError('not the ASN.1 that was expected');
  return Buffer.from(asn1.toDer(node).getBytes(), 'binary');
}

function isSequence(node: Asn1 | undefined): boolean {
  return node?.tagClass === asn1.Class.UNIVERSAL && Number(node.type) === asn1.Type.SEQUENCE;
}

function children(node: Asn1 | undefined): Asn1[] {
  if (node === undefined || !Array.isArray(node.value)) throw new TypeError('not the ASN.1 that was expected');
  return node.value;
}

function bytesOf(node: Asn1 | undefined): Buffer {
  if (node === undefined || typeof node.value !== 'string') throw new TypeError('not the ASN.1 that was expected');
  return Buffer.from(node.value, 'binary');
}
