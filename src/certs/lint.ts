// Is a certificate as it should be? The profile of the mesh (SPIFFE X509-SVID.md) and RFC 5280, each point with a stable word. Nothing is verified
// here: `certs verify` says whether it may be believed.
import { createPublicKey } from 'node:crypto';
import type { Finding, Severity } from '../base/finding.ts';
import { isTrustDomain, parseSpiffeId } from '../mesh/identity.ts';
import { parsePem } from './pem.ts';
import { describe } from './verify.ts';
import { type Certificate, hexOf, OID, readCertificate } from './x509/read.ts';

export interface CertificateRule {
  readonly id: string;
  readonly severity: Severity;
  /** What is wrong, why it matters, and where it is written. */
  readonly summary: string;
}

const rule = (id: string, severity: Severity, summary: string): CertificateRule => ({ id, severity, summary });

export const CERTIFICATE_RULES: readonly CertificateRule[] = [
  rule('cert-unreadable', 'error', 'The bytes are no certificate in DER. Two readers could take them for two things (X.690 section 10).'),
  rule('cert-version', 'error', 'Extensions are of version 3 (RFC 5280 section 4.1.2.1).'),
  rule('cert-serial', 'error', 'The serial is not a positive number of at most 20 bytes (RFC 5280 section 4.1.2.2).'),
  rule('cert-serial-short', 'warning', 'The serial has less than 64 bits: it was counted up, and the next one can be guessed.'),
  rule('cert-weak-algorithm', 'error', 'It is signed with MD5 or SHA-1.'),
  rule('cert-weak-key', 'error', 'Its RSA key has less than 2048 bits, or its key cannot be read.'),
  rule('cert-algorithms-differ', 'error', 'The algorithm inside and the one beside the signature differ (RFC 5280 section 4.1.1.2).'),
  rule(
    'cert-key-id-missing',
    'warning',
    'Without subject and authority key identifiers a path through renewed authorities is guesswork (RFC 5280 sections 4.2.1.1 and 4.2.1.2).',
  ),
  rule('cert-critical-unknown', 'error', 'A critical extension that verifiers of the mesh do not know: they refuse the certificate.'),
  rule('cert-life', 'error', 'It ends before it begins.'),
  rule(
    'ca-constraints',
    'error',
    'An authority whose basicConstraints or keyUsage are missing or not critical (RFC 5280 sections 4.2.1.3 and 4.2.1.9).',
  ),
  rule('ca-key-usage', 'error', 'An authority whose key may not sign certificates.'),
  rule('ca-subject-empty', 'error', 'An authority without a name: nobody can be issued by it (RFC 5280 section 4.1.2.6).'),
  rule('ca-uri', 'error', 'An authority has at most one URI SAN, and it names a trust domain without a path (X509-SVID.md section 4.2).'),
  rule('ca-path-length', 'info', 'An authority that issues workload certificates needs none below it: a path length of 0 says so.'),
  rule('svid-uri', 'error', 'A workload certificate has exactly one URI SAN, the SPIFFE id of a workload (X509-SVID.md section 2).'),
  rule(
    'svid-key-usage',
    'error',
    'A workload certificate has a critical keyUsage with digitalSignature, and neither keyCertSign nor cRLSign (X509-SVID.md section 4.3).',
  ),
  rule('svid-extended-key-usage', 'error', 'Where extendedKeyUsage is there it has serverAuth and clientAuth (X509-SVID.md section 4.4).'),
  rule('svid-extended-key-usage-missing', 'warning', 'extendedKeyUsage should be there (X509-SVID.md section 4.4).'),
  rule('svid-san-not-critical', 'error', 'The subject is empty, so the SAN must be critical (RFC 5280 section 4.1.2.6).'),
  rule('svid-long-life', 'warning', 'A workload certificate that lives longer than a week: a stolen key is good for as long.'),
  rule(
    'chain-order',
    'warning',
    'A certificate of the file is not issued by the one behind it: servers send them leaf first (RFC 8446 section 4.4.2).',
  ),
  rule('chain-outlives', 'error', 'It outlives its issuer: from then on nobody believes it, and it does not say so.'),
];

const SEVERITY = new Map(CERTIFICATE_RULES.map(({ id, severity }) => [id, severity]));
const KNOWN: ReadonlySet<string> = new Set([
  OID.basicConstraints,
  OID.keyUsage,
  OID.extendedKeyUsage,
  OID.subjectAltName,
  OID.subjectKeyId,
  OID.authorityKeyId,
  OID.nameConstraints,
]);
const WEAK = ['1.2.840.113549.1.1.4', '1.2.840.113549.1.1.5', '1.2.840.10045.4.1'];
const SERVER = '1.3.6.1.5.5.7.3.1';
const CLIENT = '1.3.6.1.5.5.7.3.2';
const SPIFFE_ONLY = /^(?:svid-(?!san-not-critical)|ca-uri$)/;
const MIN_RSA_BITS = 2048;
const MIN_SERIAL_BITS = 64;
const MAX_LIFE_MS = 7 * 86_400_000;

/** The certificates of one file: PEM blocks, or one DER. `count` is how many there were. With `rfc5280` what only SPIFFE asks for is left out. */
export function lintCertificates(
  file: string,
  bytes: Buffer,
  profile: 'spiffe' | 'rfc5280' = 'spiffe',
): { count: number; findings: Finding[] } {
  const findings: Finding[] = [];
  const text = bytes.toString('latin1');
  const blocks = bytes[0] === 0x30 ? [{ der: bytes, line: 1 }] : blocksOf(text);
  const read = blocks.flatMap(({ der, line }) => {
    try {
      return [{ certificate: readCertificate(der), line }];
    } catch (error) {
      const what = error instanceof Error ? error.message : 'unreadable';
      findings.push({ rule: 'cert-unreadable', severity: 'error', what, place: { file, line, column: 1 } });
      return [];
    }
  });
  read.forEach(({ certificate, line }, i) => {
    const add = (id: string, what: string, fix?: string): void => {
      if (profile === 'rfc5280' && SPIFFE_ONLY.test(id)) return;
      findings.push({
        rule: id,
        severity: SEVERITY.get(id) ?? 'error',
        what: `${describe(certificate)}: ${what}`,
        ...(fix === undefined ? {} : { fix }),
        place: { file, line, column: 1 },
      });
    };
    judgeAny(certificate, add);
    if (certificate.isCa === true) judgeAuthority(certificate, add);
    else judgeWorkload(certificate, add);
    const issuer = read.find(
      (each) => each.certificate.subject.equals(certificate.issuer) && each.certificate !== certificate,
    )?.certificate;
    if (issuer !== undefined && certificate.notAfterMs > issuer.notAfterMs)
      add('chain-outlives', `it lives on when ${describe(issuer)} has ended`);
    const next = read[i + 1]?.certificate;
    if (next !== undefined && !certificate.issuer.equals(certificate.subject) && !next.subject.equals(certificate.issuer))
      add('chain-order', `${describe(next)} stands behind it and did not issue it`);
  });
  return { count: blocks.length, findings };
}

type Add = (id: string, what: string, fix?: string) => void;

function judgeAny(certificate: Certificate, add: Add): void {
  const { version, serial, signatureOid, algorithms, extensions, notBeforeMs, notAfterMs, subjectKeyId, authorityKeyId } = certificate;
  if (version !== 3) add('cert-version', `it is of version ${version}`);
  const hex = hexOf(serial);
  if ((serial[0] ?? 0) >= 0x80 || hex === '00' || serial.length > 20) add('cert-serial', `its serial ${hex.slice(0, 44)} is none`);
  else if (BigInt(`0x${hex}`).toString(2).length < MIN_SERIAL_BITS - 8)
    add('cert-serial-short', `its serial is ${hex}`, 'make serials of random bits');
  if (WEAK.includes(signatureOid)) add('cert-weak-algorithm', 'its signature is of MD5 or SHA-1');
  const bits = rsaBits(certificate);
  if (bits === null) add('cert-weak-key', 'its public key cannot be read');
  else if (bits !== undefined && bits < MIN_RSA_BITS) add('cert-weak-key', `its RSA key has ${bits} bits`);
  if (!algorithms[0].equals(algorithms[1])) add('cert-algorithms-differ', 'it names two algorithms');
  const isSelfSigned = certificate.issuer.equals(certificate.subject);
  if ((certificate.isCa === true && subjectKeyId === undefined) || (!isSelfSigned && authorityKeyId === undefined))
    add(
      'cert-key-id-missing',
      `${certificate.isCa === true && subjectKeyId === undefined ? 'subject' : 'authority'}KeyIdentifier is missing`,
    );
  for (const { oid, critical } of extensions)
    if (critical && !KNOWN.has(oid)) add('cert-critical-unknown', `the extension ${oid} is critical`);
  if (notAfterMs <= notBeforeMs) add('cert-life', 'its end is not after its beginning');
}

/** Undefined for keys that are not RSA, null for those that cannot be read. */
function rsaBits({ spki }: Certificate): number | undefined | null {
  try {
    return createPublicKey({ key: spki, format: 'der', type: 'spki' }).asymmetricKeyDetails?.modulusLength;
  } catch {
    return null;
  }
}

const isCritical = ({ extensions }: Certificate, oid: string): boolean => extensions.some((each) => each.oid === oid && each.critical);
const urisOf = ({ names }: Certificate): string[] => names.flatMap((name) => (name.kind === 'uri' ? [name.text] : []));

function judgeAuthority(certificate: Certificate, add: Add): void {
  for (const [oid, name] of [
    [OID.basicConstraints, 'basicConstraints'],
    [OID.keyUsage, 'keyUsage'],
  ] as const)
    if (!isCritical(certificate, oid)) add('ca-constraints', `${name} is missing or not critical`);
  if (certificate.keyUsage?.includes('keyCertSign') === false) add('ca-key-usage', 'keyUsage lacks keyCertSign');
  if (certificate.subject.length <= 2) add('ca-subject-empty', 'its subject is empty');
  const uris = urisOf(certificate);
  const [uri] = uris;
  if (uris.length > 1) add('ca-uri', `it has ${uris.length} URI SANs`);
  else if (uri?.startsWith('spiffe://') && !isTrustDomain(uri.slice('spiffe://'.length))) add('ca-uri', `\`${uri}\` is no trust domain`);
  if (certificate.pathLength === undefined && !certificate.issuer.equals(certificate.subject))
    add('ca-path-length', 'it has no path length');
}

function judgeWorkload(certificate: Certificate, add: Add): void {
  const uris = urisOf(certificate);
  const [uri = ''] = uris;
  if (uris.length !== 1) add('svid-uri', `it has ${uris.length} URI SANs`);
  else if (parseSpiffeId(uri) === undefined) add('svid-uri', `\`${uri}\` is no SPIFFE id of a workload`);
  const { keyUsage, extendedKeyUsage } = certificate;
  if (keyUsage === undefined || !isCritical(certificate, OID.keyUsage)) add('svid-key-usage', 'keyUsage is missing or not critical');
  else if (!keyUsage.includes('digitalSignature')) add('svid-key-usage', 'keyUsage lacks digitalSignature');
  for (const each of ['keyCertSign', 'cRLSign']) if (keyUsage?.includes(each)) add('svid-key-usage', `keyUsage has ${each}`);
  if (extendedKeyUsage === undefined) add('svid-extended-key-usage-missing', 'extendedKeyUsage is missing');
  else if (![SERVER, CLIENT].every((each) => extendedKeyUsage.includes(each)))
    add('svid-extended-key-usage', 'extendedKeyUsage lacks serverAuth or clientAuth');
  if (certificate.subject.length <= 2 && !isCritical(certificate, OID.subjectAltName))
    add('svid-san-not-critical', 'its subject is empty and its SAN is not critical');
  const days = Math.round((certificate.notAfterMs - certificate.notBeforeMs) / 86_400_000);
  if (certificate.notAfterMs - certificate.notBeforeMs > MAX_LIFE_MS)
    add('svid-long-life', `it lives ${days} days`, 'let it be renewed more often');
}

/** Certificates of a PEM file with the line that each begins on. */
function blocksOf(text: string): { der: Buffer; line: number }[] {
  const lines = [...text.matchAll(/^-----BEGIN CERTIFICATE-----/gm)].map((match) => text.slice(0, match.index).split('\n').length);
  const blocks = parsePem(text).filter(({ label }) => label === 'CERTIFICATE');
  return blocks.map(({ der }, i) => ({ der, line: lines[i] ?? 1 }));
}
