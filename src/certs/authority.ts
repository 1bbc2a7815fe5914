// The mesh's authority: a root, and an intermediate that signs. Values in, certificates out; files are the platform's matter.
import { createPrivateKey, type KeyObject, randomBytes, X509Certificate } from 'node:crypto';
import { Fault } from '../base/fault.ts';
import { printSpiffeId, printTrustDomain, type SpiffeId } from '../mesh/identity.ts';
import { exportKey, exportSpki, keyPair } from './key.ts';
import { printPem } from './pem.ts';
import { BACKDATE_MS, INTERMEDIATE_LIFE_MS, ROOT_LIFE_MS } from './profile.ts';
import { buildCertificate } from './x509/build.ts';
import { readCertificateDetails, readSigningRequest } from './x509/parse.ts';

/** What is kept of an authority, all PEM. The two keys are secrets. */
export interface AuthorityFiles {
  readonly rootCertificate: string;
  readonly rootKey: string;
  readonly intermediateCertificate: string;
  readonly intermediateKey: string;
}

export interface Issued {
  /** PEM, leaf first, then the intermediate. */
  readonly chain: string;
  readonly leaf: string;
  /** Lower-case hex. */
  readonly serial: string;
  readonly issuedAtMs: number;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** Makes a new authority for the trust domain. */
export function createAuthority(trustDomain: string, nowMs: number): AuthorityFiles {
  const root = keyPair();
  const intermediate = keyPair();
  const uri = printTrustDomain(trustDomain);
  const notBeforeMs = nowMs - BACKDATE_MS;
  const rootBuilt = buildCertificate(
    {
      kind: 'root',
      commonName: `${trustDomain.slice(0, 48)} root`,
      issuerName: undefined,
      issuerKeyId: undefined,
      uri,
      serial: makeSerial(),
      notBeforeMs,
      notAfterMs: nowMs + ROOT_LIFE_MS,
      spki: exportSpki(root.publicKey),
    },
    root.privateKey,
  );
  const intermediateBuilt = buildCertificate(
    {
      kind: 'intermediate',
      commonName: `${trustDomain.slice(0, 48)} intermediate`,
      issuerName: rootBuilt.subjectName,
      issuerKeyId: rootBuilt.keyId,
      uri,
      serial: makeSerial(),
      notBeforeMs,
      notAfterMs: nowMs + INTERMEDIATE_LIFE_MS,
      spki: exportSpki(intermediate.publicKey),
    },
    root.privateKey,
  );
  return {
    rootCertificate: printPem('CERTIFICATE', rootBuilt.der),
    rootKey: exportKey(root.privateKey),
    intermediateCertificate: printPem('CERTIFICATE', intermediateBuilt.der),
    intermediateKey: exportKey(intermediate.privateKey),
  };
}

export class Authority {
  readonly rootPem: string;
  readonly intermediatePem: string;
  readonly #intermediate: X509Certificate;
  readonly #key: KeyObject;
  readonly #issuerName: Buffer;
  readonly #issuerKeyId: Buffer;

  /** Throws CA_UNREADABLE when the four parts do not belong together. */
  constructor(files: AuthorityFiles) {
    this.rootPem = files.rootCertificate;
    this.intermediatePem = files.intermediateCertificate;
    let root: X509Certificate;
    try {
      root = new X509Certificate(files.rootCertificate);
      this.#intermediate = new X509Certificate(files.intermediateCertificate);
      this.#key = createPrivateKey(files.intermediateKey);
    } catch (cause) {
      throw new Fault('CA_UNREADABLE', 'config', 'the authority cannot be read', {
        cause,
        hint: 'restore `ca/` from a copy, or remove it to make a new authority: every workload then gets a new certificate',
      });
    }
    if (!this.#intermediate.verify(root.publicKey) || !this.#intermediate.checkPrivateKey(this.#key)) {
      throw new Fault('CA_UNREADABLE', 'config', "the authority's certificates and keys do not belong together", {
        hint: 'restore `ca/` from a copy',
      });
    }
    const details = readCertificateDetails(this.#intermediate.raw);
    this.#issuerName = details.subjectName;
    this.#issuerKeyId = details.subjectKeyId ?? Buffer.alloc(0);
  }

  /** Whether the intermediate signed this certificate. */
  signed(certificate: X509Certificate): boolean {
    return certificate.checkIssued(this.#intermediate) && certificate.verify(this.#intermediate.publicKey);
  }

  /** Signs a workload certificate for a public key; its end is never later than the issuer's. */
  issue(id: SpiffeId, publicKey: KeyObject, ttlMs: number, nowMs: number): Issued {
    const issuerEnd = this.#intermediate.validToDate.getTime();
    if (nowMs >= issuerEnd)
      throw new Fault('CERT_SIGNER_EXPIRED', 'unavailable', `the intermediate expired on ${new Date(issuerEnd).toISOString()}`, {
        hint: 'remove `ca/` to make a new authority',
      });
    const issuedAtMs = Math.floor(nowMs / 1000) * 1000;
    const notBeforeMs = issuedAtMs - BACKDATE_MS;
    const notAfterMs = Math.min(issuedAtMs + ttlMs, issuerEnd);
    const serial = makeSerial();
    const built = buildCertificate(
      {
        kind: 'peer',
        commonName: undefined,
        issuerName: this.#issuerName,
        issuerKeyId: this.#issuerKeyId,
        uri: printSpiffeId(id),
        serial,
        notBeforeMs,
        notAfterMs,
        spki: exportSpki(publicKey),
      },
      this.#key,
    );
    const leaf = printPem('CERTIFICATE', built.der);
    return { leaf, chain: leaf + this.intermediatePem, serial: serial.toString('hex'), issuedAtMs, notBeforeMs, notAfterMs };
  }

  /** Like `issue`, for a PKCS#10 request. Throws CSR_REFUSED when its signature does not hold or its key is not P-256. */
  issueForRequest(id: SpiffeId, request: Buffer, ttlMs: number, nowMs: number): Issued {
    const key = readSigningRequest(request);
    if (key === undefined)
      throw new Fault('CSR_REFUSED', 'denied', 'the signing request is unreadable, not for a P-256 key, or not signed by its own key');
    return this.issue(id, key, ttlMs, nowMs);
  }
}

// 126 random bits, positive, no leading zero byte (RFC 5280 section 4.1.2.2; CA/B wants 64 or more).
function makeSerial(): Buffer {
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial;
}
