// A small authority for tests: the real one of src/certs, with helpers that make what it would never issue.
import { createPrivateKey, type KeyObject, randomBytes, X509Certificate } from 'node:crypto';
import { Authority, type AuthorityFiles, createAuthority } from '../../src/certs/authority.ts';
import { makeSigningRequest } from '../../src/certs/csr.ts';
import { exportKey, exportSpki, keyPair } from '../../src/certs/key.ts';
import { printPem } from '../../src/certs/pem.ts';
import { buildCertificate } from '../../src/certs/x509/build.ts';
import { readCertificateDetails } from '../../src/certs/x509/parse.ts';
import { makeSpiffeId, type SpiffeId } from '../../src/mesh/identity.ts';

export const TRUST_DOMAIN = 'test.mesh';
export const HOUR_MS = 3_600_000;

export interface TestAuthority {
  readonly files: AuthorityFiles;
  readonly authority: Authority;
}

export function makeTestAuthority(trustDomain = TRUST_DOMAIN, nowMs = Date.now()): TestAuthority {
  const files = createAuthority(trustDomain, nowMs);
  return { files, authority: new Authority(files) };
}

export interface Credential {
  readonly key: string;
  readonly chain: string;
  readonly leaf: string;
}

export function service(name: string): SpiffeId {
  return makeSpiffeId(TRUST_DOMAIN, 'default', name);
}

/** A proper certificate for a service. */
export function issueFor({ authority }: TestAuthority, id: SpiffeId, ttlMs = HOUR_MS, nowMs = Date.now()): Credential {
  const { privateKey, publicKey } = keyPair();
  const issued = authority.issueForRequest(id, makeSigningRequest(privateKey, publicKey), ttlMs, nowMs);
  return { key: exportKey(privateKey), chain: issued.chain, leaf: issued.leaf };
}

/** A certificate signed by the authority's intermediate, with whatever the template says. */
export function forge(
  { files }: TestAuthority,
  change: { uri?: string; kind?: 'peer' | 'intermediate'; notBeforeMs?: number; notAfterMs?: number },
): Credential {
  const signer: KeyObject = createPrivateKey(files.intermediateKey);
  const issuer = readCertificateDetails(new X509Certificate(files.intermediateCertificate).raw);
  const { privateKey, publicKey } = keyPair();
  const built = buildCertificate(
    {
      kind: change.kind ?? 'peer',
      commonName: undefined,
      issuerName: issuer.subjectName,
      issuerKeyId: issuer.subjectKeyId,
      uri: change.uri ?? 'spiffe://test.mesh/ns/default/sa/web',
      serial: Buffer.concat([Buffer.from([0x41]), randomBytes(15)]),
      notBeforeMs: change.notBeforeMs ?? Date.now() - 60_000,
      notAfterMs: change.notAfterMs ?? Date.now() + HOUR_MS,
      spki: exportSpki(publicKey),
    },
    signer,
  );
  const leaf = printPem('CERTIFICATE', built.der);
  return { key: exportKey(privateKey), leaf, chain: leaf + files.intermediateCertificate };
}
