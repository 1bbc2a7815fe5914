// A small authority for tests: the real one of src/certs, with helpers that make what it would never issue.
import { randomBytes, X509Certificate } from 'node:crypto';
import { Authority, type CreatedAuthority, createAuthority, workloadKey } from '../../src/certs/authority.ts';
import { makeSigningRequest } from '../../src/certs/csr.ts';
import { exportKey, exportSpki, keyPair } from '../../src/certs/key.ts';
import { printPem } from '../../src/certs/pem.ts';
import { buildCertificate } from '../../src/certs/x509/build.ts';
import { readCertificate } from '../../src/certs/x509/read.ts';
import { makeSpiffeId, type SpiffeId } from '../../src/mesh/identity.ts';

export const TRUST_DOMAIN = 'test.mesh';
export const HOUR_MS = 3_600_000;

export interface TestAuthority {
  /** PEM of what signs SVIDs. */
  readonly files: {
    readonly rootCertificate: string;
    readonly rootKey: string;
    readonly intermediateCertificate: string;
    readonly intermediateKey: string;
  };
  readonly created: CreatedAuthority;
  readonly authority: Authority;
}

export function makeTestAuthority(trustDomain = TRUST_DOMAIN, nowMs = Date.now()): TestAuthority {
  return testAuthorityOf(createAuthority({ trustDomain, nowMs }));
}

export function testAuthorityOf(created: CreatedAuthority): TestAuthority {
  const certificate = (name: string): string => created.state.certificates.find((ca) => ca.name === name)?.certificate ?? '';
  const { peer } = created.state.signers;
  const root = created.state.certificates.find(({ name }) => name === peer)?.root ?? '';
  const key = (name: string): string => {
    const found = created.keys.get(name);
    return found === undefined ? '' : exportKey(found);
  };
  return {
    files: {
      rootCertificate: certificate(root),
      rootKey: key(root),
      intermediateCertificate: certificate(peer),
      intermediateKey: key(peer),
    },
    created,
    authority: new Authority(created.state, created.keys),
  };
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
  const key = workloadKey(makeSigningRequest(privateKey, publicKey).toString('base64'));
  const issued = authority.issue({ kind: 'peer', id }, key, ttlMs, nowMs);
  return { key: exportKey(privateKey), chain: issued.chain, leaf: issued.leaf };
}

/** A certificate signed by the authority's intermediate, with whatever the template says. */
export function forge(
  { files, created }: TestAuthority,
  change: { uri?: string; kind?: 'peer' | 'intermediate'; notBeforeMs?: number; notAfterMs?: number },
): Credential {
  const signer = created.keys.get(created.state.signers.peer);
  if (signer === undefined) throw new Error('the authority has no key');
  const issuer = readCertificate(new X509Certificate(files.intermediateCertificate).raw);
  const { privateKey, publicKey } = keyPair();
  const built = buildCertificate(
    {
      kind: change.kind ?? 'peer',
      commonName: undefined,
      issuerName: issuer.subject,
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
