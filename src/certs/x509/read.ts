// A certificate or a CRL as its fields, read strictly: what is not DER is refused, because two readers could take it for two things.
// Source: RFC 5280 sections 4.1, 4.2 and 5; X.690 section 10.
import forge from 'node-forge';

const { asn1 } = forge;
type Asn1 = forge.asn1.Asn1;

/** Far more than any certificate is; keeps a hostile file from costing time. */
export const MAX_CERTIFICATE_BYTES = 64 * 1024;

export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  /** Content of the OCTET STRING. */
  readonly value: Buffer;
}

export type GeneralName =
  | { readonly kind: 'dns' | 'uri' | 'email'; readonly text: string }
  | { readonly kind: 'ip'; readonly bytes: Buffer }
  | { readonly kind: 'other'; readonly tag: number };

export interface NameConstraints {
  readonly permitted: readonly GeneralName[];
  readonly excluded: readonly GeneralName[];
}

export interface Certificate {
  readonly der: Buffer;
  readonly version: number;
  /** Big-endian, as encoded. */
  readonly serial: Buffer;
  /** Inside the signed part, and beside the signature: DER of both. */
  readonly algorithms: readonly [Buffer, Buffer];
  readonly signatureOid: string;
  /** DER of the Names. */
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** DER of the SubjectPublicKeyInfo. */
  readonly spki: Buffer;
  readonly signed: Buffer;
  readonly signature: Buffer;
  readonly extensions: readonly Extension[];
  readonly isCa: boolean | undefined;
  readonly pathLength: number | undefined;
  /** Undefined where the extension is missing. */
  readonly keyUsage: readonly string[] | undefined;
  readonly extendedKeyUsage: readonly string[] | undefined;
  readonly names: readonly GeneralName[];
  readonly subjectKeyId: Buffer | undefined;
  readonly authorityKeyId: Buffer | undefined;
  readonly nameConstraints: NameConstraints | undefined;
}

export interface RevocationList {
  readonly issuer: Buffer;
  readonly algorithms: readonly [Buffer, Buffer];
  readonly signatureOid: string;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number | undefined;
  /** Lower-case hex without leading zeros → when. */
  readonly revoked: ReadonlyMap<string, number>;
  readonly extensions: readonly Extension[];
  readonly authorityKeyId: Buffer | undefined;
  readonly signed: Buffer;
  readonly signature: Buffer;
}

export const OID = {
  basicConstraints: '2.5.29.19',
  keyUsage: '2.5.29.15',
  extendedKeyUsage: '2.5.29.37',
  subjectAltName: '2.5.29.17',
  subjectKeyId: '2.5.29.14',
  authorityKeyId: '2.5.29.35',
  nameConstraints: '2.5.29.30',
  crlNumber: '2.5.29.20',
} as const;

const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';

const KEY_USAGES = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
];

const { Class, Type } = asn1;

/** Throws TypeError with a reason when the bytes are no certificate in DER. */
export function readCertificate(der: Buffer): Certificate {
  const [tbs, outer, signature] = sequence(decodeWhole(der), 3, 3, 'a certificate');
  const parts = sequence(tbs, 6, 10, 'its signed part');
  const hasVersion = parts[0]?.tagClass === Class.CONTEXT_SPECIFIC && Number(parts[0].type) === 0;
  const version = hasVersion ? Number(unsigned(inner(parts[0]))) + 1 : 1;
  const [serial, algorithm, issuer, validity, subject, spki, ...rest] = hasVersion ? parts.slice(1) : parts;
  const [notBefore, notAfter] = sequence(validity, 2, 2, 'its validity');
  const wrapper = rest.find((part) => part.tagClass === Class.CONTEXT_SPECIFIC && Number(part.type) === 3);
  const extensions = wrapper === undefined ? [] : readExtensions(inner(wrapper));
  const of = (oid: string): Buffer | undefined => extensions.find((each) => each.oid === oid)?.value;
  const constraints = of(OID.basicConstraints);
  const [first, second] = constraints === undefined ? [] : sequence(decodeWhole(constraints), 0, 2, 'basicConstraints');
  const isBoolean = first !== undefined && Number(first.type) === Type.BOOLEAN;
  const length = isBoolean ? second : first;
  // DER leaves out what is the default (X.690 section 11.5).
  if (isBoolean && bytes(first)[0] !== 0xff) throw new TypeError('basicConstraints is not DER: a FALSE that stands there');
  const usage = of(OID.keyUsage);
  const purposes = of(OID.extendedKeyUsage);
  const names = of(OID.subjectAltName);
  const limits = of(OID.nameConstraints);
  const subjectKeyId = of(OID.subjectKeyId);
  return {
    der,
    version,
    serial: bytes(universal(serial, Type.INTEGER, 'its serial')),
    algorithms: [encode(algorithm), encode(outer)],
    signatureOid: oidOf(sequence(outer, 1, 2, 'its signature algorithm')[0]),
    issuer: nameOf(issuer),
    subject: nameOf(subject),
    notBeforeMs: time(notBefore),
    notAfterMs: time(notAfter),
    spki: encode(spki),
    signed: encode(tbs),
    signature: bits(signature),
    extensions,
    isCa: constraints === undefined ? undefined : isBoolean,
    pathLength: length === undefined ? undefined : Number(unsigned(length)),
    keyUsage: usage === undefined ? undefined : keyUsagesOf(bytes(universal(decodeWhole(usage), Type.BITSTRING, 'keyUsage'))),
    extendedKeyUsage: purposes === undefined ? undefined : sequence(decodeWhole(purposes), 1, 100, 'extendedKeyUsage').map(oidOf),
    names: names === undefined ? [] : sequence(decodeWhole(names), 1, 1000, 'subjectAltName').map(generalName),
    subjectKeyId:
      subjectKeyId === undefined ? undefined : bytes(universal(decodeWhole(subjectKeyId), Type.OCTETSTRING, 'the key identifier')),
    authorityKeyId: authorityKeyId(of(OID.authorityKeyId)),
    nameConstraints: limits === undefined ? undefined : readConstraints(limits),
  };
}

/** Throws TypeError with a reason when the bytes are no CRL in DER. */
export function readRevocationList(der: Buffer): RevocationList {
  const [tbs, outer, signature] = sequence(decodeWhole(der), 3, 3, 'a CRL');
  const parts = sequence(tbs, 3, 7, 'its signed part');
  const isTime = (part: Asn1 | undefined): boolean =>
    part?.tagClass === Class.UNIVERSAL && [Type.UTCTIME, Type.GENERALIZEDTIME].includes(Number(part.type));
  const offset = Number(parts[0]?.type) === Type.INTEGER ? 1 : 0;
  const [algorithm, issuer, thisUpdate, ...rest] = parts.slice(offset);
  const nextUpdate = isTime(rest[0]) ? rest[0] : undefined;
  const list = rest.find((part) => part.tagClass === Class.UNIVERSAL && Number(part.type) === Type.SEQUENCE);
  const wrapper = rest.find((part) => part.tagClass === Class.CONTEXT_SPECIFIC && Number(part.type) === 0);
  const extensions = wrapper === undefined ? [] : readExtensions(inner(wrapper));
  const revoked = new Map<string, number>();
  for (const entry of list === undefined ? [] : children(list)) {
    const [serial, when] = sequence(entry, 2, 3, 'an entry');
    revoked.set(hexOf(bytes(universal(serial, Type.INTEGER, 'a serial'))), time(when));
  }
  return {
    issuer: nameOf(issuer),
    algorithms: [encode(algorithm), encode(outer)],
    signatureOid: oidOf(sequence(outer, 1, 2, 'its signature algorithm')[0]),
    thisUpdateMs: time(thisUpdate),
    nextUpdateMs: nextUpdate === undefined ? undefined : time(nextUpdate),
    revoked,
    extensions,
    authorityKeyId: authorityKeyId(extensions.find(({ oid }) => oid === OID.authorityKeyId)?.value),
    signed: encode(tbs),
    signature: bits(signature),
  };
}

export interface SigningRequest {
  readonly subject: Buffer;
  /** DER of the SubjectPublicKeyInfo. */
  readonly spki: Buffer;
  readonly signatureOid: string;
  readonly signed: Buffer;
  readonly signature: Buffer;
  /** What it asks for by extensions (RFC 2985 section 5.4.2): names, and to be an authority. */
  readonly names: readonly GeneralName[];
  readonly isCa: boolean;
}

/** PKCS#10 (RFC 2986). Throws TypeError with a reason when the bytes are no request in DER. */
export function readRequest(der: Buffer): SigningRequest {
  const [info, algorithm, signature] = sequence(decodeWhole(der), 3, 3, 'a signing request');
  const [, subject, spki, attributes] = sequence(info, 3, 4, 'its signed part');
  const wanted = (attributes === undefined ? [] : children(attributes)).flatMap((attribute) => {
    const [type, values] = sequence(attribute, 2, 2, 'an attribute');
    return oidOf(type) === EXTENSION_REQUEST ? readExtensions(inner(values)) : [];
  });
  const of = (oid: string): Buffer | undefined => wanted.find((each) => each.oid === oid)?.value;
  const names = of(OID.subjectAltName);
  const constraints = of(OID.basicConstraints);
  return {
    names: names === undefined ? [] : sequence(decodeWhole(names), 1, 1000, 'subjectAltName').map(generalName),
    isCa: constraints !== undefined && Number(sequence(decodeWhole(constraints), 0, 2, 'basicConstraints')[0]?.type) === Type.BOOLEAN,
    subject: nameOf(subject),
    spki: encode(spki),
    signatureOid: oidOf(sequence(algorithm, 1, 2, 'its signature algorithm')[0]),
    signed: encode(info),
    signature: bits(signature),
  };
}

/** Lower-case hex without leading zeros. */
export function hexOf(serial: Buffer): string {
  return serial.toString('hex').replace(/^(?:00)+(?=.)/, '');
}

/** Attributes of a Name as people read them: `CN=shop root, O=Example`. */
export function printName(der: Buffer): string {
  const SHORT: Readonly<Record<string, string>> = {
    '2.5.4.3': 'CN',
    '2.5.4.6': 'C',
    '2.5.4.7': 'L',
    '2.5.4.8': 'ST',
    '2.5.4.10': 'O',
    '2.5.4.11': 'OU',
  };
  const parts = children(decodeWhole(der)).flatMap((set) =>
    children(set).map((attribute) => {
      const [type, value] = children(attribute);
      const oid = oidOf(type);
      return `${SHORT[oid] ?? oid}=${bytes(value).toString('utf8')}`;
    }),
  );
  return parts.length === 0 ? '(empty)' : parts.join(', ');
}

/** DER of a Name that can be read as one. */
function nameOf(node: Asn1 | undefined): Buffer {
  const der = encode(node);
  printName(der);
  return der;
}

function readExtensions(node: Asn1 | undefined): Extension[] {
  const list = sequence(node, 1, 100, 'its extensions').map((extension): Extension => {
    const parts = sequence(extension, 2, 3, 'an extension');
    const critical = parts.length === 3;
    if (critical && (Number(parts[1]?.type) !== Type.BOOLEAN || bytes(parts[1])[0] !== 0xff))
      throw new TypeError('an extension is not DER: a FALSE that stands there');
    return { oid: oidOf(parts[0]), critical, value: bytes(universal(parts.at(-1), Type.OCTETSTRING, 'an extension')) };
  });
  const twice = list.find(({ oid }, i) => list.findIndex((other) => other.oid === oid) !== i);
  if (twice !== undefined) throw new TypeError(`the extension ${twice.oid} stands there twice`);
  return list;
}

/** Content of the BIT STRING → the names of the bits that are set (RFC 5280 section 4.2.1.3). */
function keyUsagesOf(content: Buffer): string[] {
  return KEY_USAGES.filter((_, i) => ((content[1 + (i >> 3)] ?? 0) & (0x80 >> (i & 7))) !== 0);
}

function readConstraints(value: Buffer): NameConstraints {
  const parts = sequence(decodeWhole(value), 1, 2, 'nameConstraints');
  const of = (tag: number): GeneralName[] => {
    const found = parts.find((part) => part.tagClass === Class.CONTEXT_SPECIFIC && Number(part.type) === tag);
    return found === undefined ? [] : children(found).map((subtree) => generalName(sequence(subtree, 1, 3, 'a subtree')[0]));
  };
  return { permitted: of(0), excluded: of(1) };
}

function generalName(node: Asn1 | undefined): GeneralName {
  if (node?.tagClass !== Class.CONTEXT_SPECIFIC) throw new TypeError('a name is none');
  const tag = Number(node.type);
  const kind = tag === 1 ? 'email' : tag === 2 ? 'dns' : tag === 6 ? 'uri' : undefined;
  if (kind !== undefined) {
    const raw = bytes(node);
    // IA5String: seven bits, and what no name may hold is no name.
    if (raw.some((byte) => byte < 0x21 || byte > 0x7e)) throw new TypeError('a name holds a byte that no name may hold');
    return { kind, text: raw.toString('latin1') };
  }
  return tag === 7 ? { kind: 'ip', bytes: bytes(node) } : { kind: 'other', tag };
}

function authorityKeyId(value: Buffer | undefined): Buffer | undefined {
  if (value === undefined) return undefined;
  const id = children(decodeWhole(value)).find((part) => part.tagClass === Class.CONTEXT_SPECIFIC && Number(part.type) === 0);
  return id === undefined ? undefined : bytes(id);
}

// UTCTime to 2049, GeneralizedTime from 2050, both with seconds and Z and no fraction (RFC 5280 section 4.1.2.5).
function time(node: Asn1 | undefined): number {
  const text = bytes(node).toString('latin1');
  const type = Number(node?.type);
  const match = /^(\d{2}|\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(text);
  const [, year = '', month, day, hour, minute, second] = match ?? [];
  const isUtc = type === Type.UTCTIME;
  if (
    match === null ||
    node?.tagClass !== Class.UNIVERSAL ||
    (isUtc ? year.length !== 2 : type !== Type.GENERALIZEDTIME || year.length !== 4)
  )
    throw new TypeError(`\`${text.slice(0, 20).replace(/[^ -~]/g, '?')}\` is no time`);
  const full = isUtc ? String(Number(year) < 50 ? 2000 + Number(year) : 1900 + Number(year)) : year;
  if (!isUtc && Number(full) < 2050) throw new TypeError('a time before 2050 is no UTCTime');
  const ms = Date.parse(`${full}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(ms)) throw new TypeError(`\`${text}\` is no time`);
  return ms;
}

function decodeWhole(der: Buffer): Asn1 {
  if (der.length > MAX_CERTIFICATE_BYTES * 16) throw new TypeError('it is longer than anything of its kind');
  let node: Asn1;
  try {
    node = asn1.fromDer(der.toString('binary'), { strict: true, decodeBitStrings: false, parseAllBytes: true } as unknown as boolean);
  } catch (error) {
    throw new TypeError(`it is not ASN.1: ${error instanceof Error ? error.message : 'unreadable'}`);
  }
  if (!encode(node).equals(der)) throw new TypeError('it is not DER');
  return node;
}

function encode(node: Asn1 | undefined): Buffer {
  if (node === undefined) throw new TypeError('a part is missing');
  return Buffer.from(asn1.toDer(node).getBytes(), 'binary');
}

function children(node: Asn1 | undefined): Asn1[] {
  if (node === undefined || !Array.isArray(node.value)) throw new TypeError('a part is not what it should be');
  return node.value;
}

function inner(node: Asn1 | undefined): Asn1 | undefined {
  return children(node)[0];
}

function sequence(node: Asn1 | undefined, min: number, max: number, what: string): Asn1[] {
  if (node?.tagClass !== Class.UNIVERSAL || Number(node.type) !== Type.SEQUENCE || !Array.isArray(node.value))
    throw new TypeError(`${what} is not what it should be`);
  if (node.value.length < min || node.value.length > max) throw new TypeError(`${what} has ${node.value.length} parts`);
  return node.value;
}

function universal(node: Asn1 | undefined, type: number, what: string): Asn1 {
  if (node?.tagClass !== Class.UNIVERSAL || Number(node.type) !== type) throw new TypeError(`${what} is not what it should be`);
  return node;
}

function bytes(node: Asn1 | undefined): Buffer {
  if (node === undefined || typeof node.value !== 'string') throw new TypeError('a part is not what it should be');
  return Buffer.from(node.value, 'binary');
}

function bits(node: Asn1 | undefined): Buffer {
  const raw = bytes(universal(node, Type.BITSTRING, 'the signature'));
  if (raw[0] !== 0) throw new TypeError('the signature is not whole bytes');
  return raw.subarray(1);
}

function unsigned(node: Asn1 | undefined): bigint {
  const raw = bytes(universal(node, Type.INTEGER, 'a number'));
  if (raw.length === 0 || raw.length > 8 || (raw[0] ?? 0) >= 0x80) throw new TypeError('a number is out of range');
  return BigInt(`0x${raw.toString('hex')}`);
}

function oidOf(node: Asn1 | undefined): string {
  return asn1.derToOid(bytes(universal(node, Type.OID, 'an object identifier')).toString('binary'));
}
