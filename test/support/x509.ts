// Certificates and CRLs with whatever is in them, right or wrong: DER by hand, signed by node:crypto.
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

export const tlv = (tag: number, ...parts: readonly (Buffer | string)[]): Buffer => {
  const body = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)));
  const length =
    body.length < 0x80
      ? Buffer.from([body.length])
      : body.length < 0x100
        ? Buffer.from([0x81, body.length])
        : body.length < 0x10000
          ? Buffer.from([0x82, body.length >> 8, body.length & 0xff])
          : Buffer.from([0x83, body.length >> 16, (body.length >> 8) & 0xff, body.length & 0xff]);
  return Buffer.concat([Buffer.from([tag]), length, body]);
};
export const seq = (...parts: readonly Buffer[]): Buffer => tlv(0x30, ...parts);
export const oid = (text: string): Buffer => {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const bytes = rest.flatMap((value) => {
    const out = [value & 0x7f];
    for (let left = value >> 7; left > 0; left >>= 7) out.unshift((left & 0x7f) | 0x80);
    return out;
  });
  return tlv(6, Buffer.from([first * 40 + second, ...bytes]));
};
const time = (ms: number): Buffer => {
  const text = new Date(ms).toISOString().replace(/[-:T]/g, '').slice(0, 14);
  return Number(text.slice(0, 4)) < 2050 ? tlv(0x17, `${text.slice(2)}Z`) : tlv(0x18, `${text}Z`);
};
const name = (text: string): Buffer => (text === '' ? seq() : seq(tlv(0x31, seq(oid('2.5.4.3'), tlv(0x0c, text)))));
const ECDSA_SHA256 = seq(oid('1.2.840.10045.4.3.2'));

export const extension = (id: string, critical: boolean, value: Buffer): Buffer =>
  critical ? seq(oid(id), tlv(1, Buffer.from([0xff])), tlv(4, value)) : seq(oid(id), tlv(4, value));
export const uri = (text: string): Buffer => tlv(0x86, text);
export const dns = (text: string): Buffer => tlv(0x82, text);
export const email = (text: string): Buffer => tlv(0x81, text);
export const sans = (...names: readonly Buffer[]): Buffer => extension('2.5.29.17', true, seq(...names));
export const constraints = (isCa: boolean, pathLength?: number): Buffer =>
  extension(
    '2.5.29.19',
    true,
    seq(...(isCa ? [tlv(1, Buffer.from([0xff]))] : []), ...(pathLength === undefined ? [] : [tlv(2, Buffer.from([pathLength]))])),
  );
const BITS = ['digitalSignature', 'nonRepudiation', 'keyEncipherment', 'dataEncipherment', 'keyAgreement', 'keyCertSign', 'cRLSign'];
export const usage = (...bits: readonly string[]): Buffer => {
  let byte = 0;
  let last = 0;
  for (const bit of bits) {
    byte |= 0x80 >> BITS.indexOf(bit);
    last = Math.max(last, BITS.indexOf(bit));
  }
  return extension('2.5.29.15', true, tlv(3, Buffer.from([7 - last, byte])));
};
export const purposes = (...ids: readonly string[]): Buffer => extension('2.5.29.37', false, seq(...ids.map((id) => oid(id))));
export const limits = (permitted: readonly Buffer[], excluded: readonly Buffer[] = []): Buffer =>
  extension(
    '2.5.29.30',
    true,
    seq(
      ...(permitted.length === 0 ? [] : [tlv(0xa0, ...permitted.map((each) => seq(each)))]),
      ...(excluded.length === 0 ? [] : [tlv(0xa1, ...excluded.map((each) => seq(each)))]),
    ),
  );

export interface Signer {
  readonly name: string;
  readonly key: KeyObject;
}

export interface Made extends Signer {
  readonly der: Buffer;
  readonly pem: string;
}

export interface Shape {
  readonly name?: string;
  readonly extensions: readonly Buffer[];
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
  readonly serial?: Buffer;
  readonly algorithm?: Buffer;
  readonly innerAlgorithm?: Buffer;
  readonly hash?: string;
  readonly keys?: { readonly privateKey: KeyObject; readonly publicKey: KeyObject };
  /** Changes the signed part's encoding before it is signed. */
  readonly version?: number;
}

const HOUR_MS = 3_600_000;
let serials = 1;

export const newKeys = (): { privateKey: KeyObject; publicKey: KeyObject } => generateKeyPairSync('ec', { namedCurve: 'P-256' });

/** `issuer` undefined: signed by itself. */
export function makeCertificate(shape: Shape, issuer?: Signer): Made {
  const { privateKey, publicKey } = shape.keys ?? newKeys();
  const subject = shape.name ?? '';
  const signer = issuer ?? { name: subject, key: privateKey };
  const algorithm = shape.algorithm ?? ECDSA_SHA256;
  const signed = seq(
    tlv(0xa0, tlv(2, Buffer.from([(shape.version ?? 3) - 1]))),
    tlv(2, shape.serial ?? Buffer.from([0x40, serials++ & 0xff, 7])),
    shape.innerAlgorithm ?? algorithm,
    name(signer.name),
    seq(time(shape.notBeforeMs ?? Date.now() - HOUR_MS), time(shape.notAfterMs ?? Date.now() + HOUR_MS)),
    name(subject),
    publicKey.export({ format: 'der', type: 'spki' }),
    ...(shape.extensions.length === 0 ? [] : [tlv(0xa3, seq(...shape.extensions))]),
  );
  const der = seq(signed, algorithm, tlv(3, Buffer.from([0]), sign(shape.hash ?? 'sha256', signed, signer.key)));
  return { name: subject, key: privateKey, der, pem: toPem('CERTIFICATE', der) };
}

export function makeRevocations(
  issuer: Signer,
  revoked: readonly { readonly serial: Buffer; readonly atMs: number }[],
  times: { readonly thisMs?: number; readonly nextMs?: number | null } = {},
  extensions: readonly Buffer[] = [],
): Buffer {
  const signed = seq(
    tlv(2, Buffer.from([1])),
    ECDSA_SHA256,
    name(issuer.name),
    time(times.thisMs ?? Date.now() - HOUR_MS),
    ...(times.nextMs === null ? [] : [time(times.nextMs ?? Date.now() + HOUR_MS)]),
    ...(revoked.length === 0 ? [] : [seq(...revoked.map(({ serial, atMs }) => seq(tlv(2, serial), time(atMs))))]),
    tlv(0xa0, seq(extension('2.5.29.20', false, tlv(2, Buffer.from([1]))), ...extensions)),
  );
  return seq(signed, ECDSA_SHA256, tlv(3, Buffer.from([0]), sign('sha256', signed, issuer.key)));
}

export function toPem(label: string, der: Buffer): string {
  return `-----BEGIN ${label}-----\n${der.toString('base64').replace(/(.{64})(?!$)/g, '$1\n')}\n-----END ${label}-----\n`;
}
