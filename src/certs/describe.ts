// What `certs inspect` says of a file: certificates, and the kind of anything else in it. Keys have no printable form.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readPkcs7 } from './containers.ts';
import { type PemBlock, parsePem } from './pem.ts';
import { BACKDATE_MS } from './profile.ts';
import { lifeLeftPercent } from './renewal.ts';
import { isSignature, keyOf } from './verify.ts';
import { type Certificate, printName, readCertificate, readRequest, readRevocationList } from './x509/read.ts';

export interface CertificateDescription {
  readonly type: 'certificate';
  readonly subject: string;
  readonly issuer: string;
  readonly spiffeId: string | null;
  readonly subjectAltNames: readonly string[];
  readonly serial: string;
  readonly notBefore: string;
  readonly notAfter: string;
  readonly lifeLeftPercent: number;
  readonly expired: boolean;
  readonly ca: boolean;
  readonly pathLength: number | null;
  readonly keyUsage: readonly string[];
  readonly extendedKeyUsage: readonly string[];
  readonly publicKey: string;
  readonly fingerprintSha256: string;
}

export interface RevocationsDescription {
  readonly type: 'revocation-list';
  readonly issuer: string;
  readonly thisUpdate: string;
  readonly nextUpdate: string | null;
  readonly expired: boolean;
  readonly revoked: readonly { readonly serial: string; readonly at: string }[];
}

export interface RequestDescription {
  readonly type: 'signing-request';
  readonly subject: string;
  readonly publicKey: string;
  /** Whether its own key signed it. */
  readonly signatureHolds: boolean;
}

export type Description = CertificateDescription | RevocationsDescription | RequestDescription | OtherDescription;

export interface OtherDescription {
  readonly type: 'private-key' | 'unreadable';
  readonly description: string;
}

const EKU: Record<string, string> = { '1.3.6.1.5.5.7.3.1': 'serverAuth', '1.3.6.1.5.5.7.3.2': 'clientAuth' };

/** Each PEM block (or the one DER certificate) of a file, in its order. Nothing readable: an empty list. */
export function describeFile(bytes: Buffer, nowMs: number): Description[] {
  const blocks = [...parsePem(bytes.toString('latin1'))].flatMap((block) => (block.label === 'PKCS7' ? pkcs7(block.der) : [block]));
  if (blocks.length === 0 && bytes[0] === 0x30) blocks.push(...bareDer(bytes));
  return blocks.map((block) => {
    try {
      if (block.label === 'CERTIFICATE') return describeCertificate(new X509Certificate(block.der), nowMs);
      if (block.label === 'PRIVATE KEY') {
        const key = createPrivateKey({ key: block.der, format: 'der', type: 'pkcs8' });
        return { type: 'private-key', description: keyName(key.asymmetricKeyType, key.asymmetricKeyDetails) };
      }
      if (block.label === 'ENCRYPTED PRIVATE KEY') return { type: 'private-key', description: 'encrypted' };
      if (block.label === 'X509 CRL') return describeRevocations(block.der, nowMs);
      if (block.label === 'CERTIFICATE REQUEST' || block.label === 'NEW CERTIFICATE REQUEST') return describeRequest(block.der);
      return { type: 'unreadable', description: `a PEM block \`${block.label}\`` };
    } catch {
      return { type: 'unreadable', description: `a damaged PEM block \`${block.label}\`` };
    }
  });
}

function pkcs7(der: Buffer): PemBlock[] {
  try {
    return readPkcs7(der).flatMap(parsePem);
  } catch {
    return [{ label: 'PKCS7', der }];
  }
}

/** One DER without a label: whatever reads it. */
function bareDer(der: Buffer): PemBlock[] {
  const reads = (read: () => unknown): boolean => {
    try {
      read();
      return true;
    } catch {
      return false;
    }
  };
  if (reads(() => new X509Certificate(der))) return [{ label: 'CERTIFICATE', der }];
  if (reads(() => readRevocationList(der))) return [{ label: 'X509 CRL', der }];
  if (reads(() => readRequest(der))) return [{ label: 'CERTIFICATE REQUEST', der }];
  if (reads(() => createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }))) return [{ label: 'PRIVATE KEY', der }];
  const held = pkcs7(der);
  return held[0]?.label === 'PKCS7' ? [{ label: 'CERTIFICATE', der }] : held;
}

function describeRevocations(der: Buffer, nowMs: number): RevocationsDescription {
  const list = readRevocationList(der);
  const time = (ms: number): string => new Date(ms).toISOString();
  return {
    type: 'revocation-list',
    issuer: printName(list.issuer),
    thisUpdate: time(list.thisUpdateMs),
    nextUpdate: list.nextUpdateMs === undefined ? null : time(list.nextUpdateMs),
    expired: list.nextUpdateMs !== undefined && nowMs > list.nextUpdateMs,
    revoked: [...list.revoked].map(([serial, at]) => ({ serial, at: time(at) })),
  };
}

function describeRequest(der: Buffer): RequestDescription {
  const request = readRequest(der);
  const key = keyOf(request);
  return {
    type: 'signing-request',
    subject: printName(request.subject),
    publicKey: key === undefined ? 'unreadable' : keyName(key.asymmetricKeyType, key.asymmetricKeyDetails),
    signatureHolds: isSignature(request.signatureOid, request.signed, request.signature, key),
  };
}

/** What is known of one certificate; `nowMs` decides what is expired. */
export function describeCertificate(certificate: X509Certificate, nowMs: number): CertificateDescription {
  const details = detailsOf(certificate);
  const names = certificate.subjectAltName?.split(', ') ?? [];
  const uri = names.find((name) => name.startsWith('URI:spiffe://'));
  const notBefore = certificate.validFromDate.getTime();
  const notAfter = certificate.validToDate.getTime();
  return {
    type: 'certificate',
    subject: oneLine(certificate.subject),
    issuer: oneLine(certificate.issuer),
    spiffeId: uri === undefined ? null : uri.slice(4),
    subjectAltNames: names,
    serial: certificate.serialNumber.toLowerCase(),
    notBefore: new Date(notBefore).toISOString(),
    notAfter: new Date(notAfter).toISOString(),
    lifeLeftPercent: lifeLeftPercent(notBefore + BACKDATE_MS, notAfter, nowMs),
    expired: nowMs > notAfter,
    ca: certificate.ca,
    pathLength: details?.pathLength ?? null,
    keyUsage: details?.keyUsage ?? [],
    extendedKeyUsage: (certificate.keyUsage ?? []).map((oid) => EKU[oid] ?? oid),
    publicKey: keyName(certificate.publicKey.asymmetricKeyType, certificate.publicKey.asymmetricKeyDetails),
    fingerprintSha256: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
  };
}

/** What node:crypto does not tell; undefined for what is not DER throughout: other people's servers show such certificates. */
function detailsOf(certificate: X509Certificate): Certificate | undefined {
  try {
    return readCertificate(certificate.raw);
  } catch {
    return undefined;
  }
}

function oneLine(name: string | undefined): string {
  return (name ?? '').replaceAll('\n', ', ');
}

function keyName(type: string | undefined, details: { namedCurve?: string; modulusLength?: number } | undefined): string {
  if (type === 'ec') return details?.namedCurve === 'prime256v1' ? 'EC P-256' : `EC ${details?.namedCurve ?? ''}`.trim();
  if (type === 'rsa') return `RSA ${details?.modulusLength ?? ''}`.trim();
  return type ?? 'unknown';
}
