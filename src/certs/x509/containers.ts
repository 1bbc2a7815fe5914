// PKCS#12 (RFC 7292) and the certificates-only form of PKCS#7 (RFC 2315), read and written by node-forge's ASN.1.
// node-forge's own writer of PKCS#12 knows RSA keys only, so the container is put together here.
import { createHmac, randomBytes } from 'node:crypto';
import forge from 'node-forge';
import { type Asn1, context, fromDer, integer, nothing, objectId, octets, sequence, set, toDer, unsigned } from './asn1.ts';
import { encryptPkcs8 } from './build.ts';

const { asn1 } = forge;
const { Class, Type } = asn1;

const OID = {
  data: '1.2.840.113549.1.7.1',
  signedData: '1.2.840.113549.1.7.2',
  keyBag: '1.2.840.113549.1.12.10.1.1',
  shroudedKeyBag: '1.2.840.113549.1.12.10.1.2',
  certBag: '1.2.840.113549.1.12.10.1.3',
  x509: '1.2.840.113549.1.9.22.1',
  friendlyName: '1.2.840.113549.1.9.20',
  localKeyId: '1.2.840.113549.1.9.21',
  sha256: '2.16.840.1.101.3.4.2.1',
} as const;

/** Rounds of the integrity check; those that protect the key are many more (build.ts). */
const MAC_ROUNDS = 10_000;
const MAC_ID = 3;
const MAC_BYTES = 32;
/** Far more than a container of a chain is. */
const MAX_BYTES = 1024 * 1024;

export interface Container {
  /** DER. */
  readonly certificates: readonly Buffer[];
  /** DER, PKCS#8. */
  readonly keys: readonly Buffer[];
}

/** Throws TypeError when the bytes are no PKCS#12, or the passphrase does not open it. */
export function parsePkcs12(der: Buffer, passphrase: string): Container {
  const pfx = openPkcs12(der, passphrase);
  const certificates: Buffer[] = [];
  const keys: Buffer[] = [];
  for (const { safeBags } of pfx.safeContents)
    for (const bag of safeBags as unknown as { type: string; cert: unknown; key: unknown; asn1: Asn1 }[]) {
      if (bag.type === OID.certBag)
        certificates.push(toDer(bag.cert === null || bag.cert === undefined ? bag.asn1 : forge.pki.certificateToAsn1(bag.cert as never)));
      if (bag.type === OID.keyBag || bag.type === OID.shroudedKeyBag)
        keys.push(
          toDer(
            bag.key === null || bag.key === undefined
              ? bag.asn1
              : forge.pki.wrapRsaPrivateKey(forge.pki.privateKeyToAsn1(bag.key as never)),
          ),
        );
    }
  return { certificates, keys };
}

function openPkcs12(der: Buffer, passphrase: string): forge.pkcs12.Pkcs12Pfx {
  if (der.length > MAX_BYTES) throw new TypeError(`it is longer than ${MAX_BYTES} bytes`);
  try {
    return forge.pkcs12.pkcs12FromAsn1(asn1.fromDer(der.toString('binary')), true, passphrase);
  } catch (error) {
    const text = error instanceof Error ? error.message : '';
    throw new TypeError(
      /MAC could not be verified|Invalid password|decrypt/i.test(text)
        ? 'the passphrase does not open it'
        : `it is no PKCS#12 (${text.slice(0, 80)})`,
    );
  }
}

/** A leaf's key and its chain (leaf first) under a passphrase. */
export function formatPkcs12(key: Buffer, chain: readonly Buffer[], passphrase: string, name: string): Buffer {
  const id = randomBytes(20);
  const attributes = set([
    attribute(OID.friendlyName, asn1.create(Class.UNIVERSAL, Type.BMPSTRING, false, name)),
    attribute(OID.localKeyId, octets(id)),
  ]);
  const keys = sequence([sequence([objectId(OID.shroudedKeyBag), explicit(fromDer(encryptPkcs8(key, passphrase))), attributes])]);
  const certificates = sequence(
    chain.map((der, i) =>
      sequence([objectId(OID.certBag), explicit(sequence([objectId(OID.x509), explicit(octets(der))])), ...(i === 0 ? [attributes] : [])]),
    ),
  );
  const safe = toDer(sequence([data(certificates), data(keys)]));
  const salt = randomBytes(16);
  // The types know no generateKey, the module has it (RFC 7292 appendix B).
  const { generateKey } = forge.pkcs12 as unknown as {
    generateKey: (
      password: string,
      salt: forge.util.ByteStringBuffer,
      id: number,
      rounds: number,
      bytes: number,
      digest: unknown,
    ) => forge.util.ByteStringBuffer;
  };
  const macKey = generateKey(
    passphrase,
    forge.util.createBuffer(salt.toString('binary')),
    MAC_ID,
    MAC_ROUNDS,
    MAC_BYTES,
    forge.md.sha256.create(),
  );
  const mac = createHmac('sha256', Buffer.from(macKey.getBytes(), 'binary')).update(safe).digest();
  return toDer(
    sequence([
      integer(unsigned(3)),
      sequence([objectId(OID.data), explicit(octets(safe))]),
      sequence([sequence([sequence([objectId(OID.sha256), nothing()]), octets(mac)]), octets(salt), integer(unsigned(MAC_ROUNDS))]),
    ]),
  );
}

/** DER of the certificates of a PKCS#7 SignedData. Throws TypeError. */
export function parsePkcs7(der: Buffer): Buffer[] {
  if (der.length > MAX_BYTES) throw new TypeError(`it is longer than ${MAX_BYTES} bytes`);
  let outer: Asn1;
  try {
    outer = asn1.fromDer(der.toString('binary'), { strict: true, decodeBitStrings: false } as unknown as boolean);
  } catch {
    throw new TypeError('it is no PKCS#7');
  }
  const [type, content] = parts(outer);
  if (type?.type !== Type.OID || asn1.derToOid(String(type.value)) !== OID.signedData)
    throw new TypeError('it is no PKCS#7 with certificates');
  const list = parts(parts(content)[0]).find(({ tagClass, type: tag }) => tagClass === Class.CONTEXT_SPECIFIC && Number(tag) === 0);
  return parts(list).map(toDer);
}

/** A PKCS#7 that holds certificates and no signature. */
export function formatPkcs7(certificates: readonly Buffer[]): Buffer {
  const signed = sequence([integer(unsigned(1)), set([]), sequence([objectId(OID.data)]), context(0, certificates.map(fromDer)), set([])]);
  return toDer(sequence([objectId(OID.signedData), explicit(signed)]));
}

function data(content: Asn1): Asn1 {
  return sequence([objectId(OID.data), explicit(octets(toDer(content)))]);
}

function attribute(type: string, value: Asn1): Asn1 {
  return sequence([objectId(type), set([value])]);
}

function parts(node: Asn1 | undefined): Asn1[] {
  if (node === undefined || !Array.isArray(node.value)) throw new TypeError('it is no PKCS#7');
  return node.value;
}

function explicit(part: Asn1): Asn1 {
  return context(0, [part]);
}
