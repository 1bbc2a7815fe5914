import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Authority, readSigningRequest, workloadKey } from '../../src/certs/authority.ts';
import { makeSigningRequest } from '../../src/certs/csr.ts';
import { exportSpki, keyPair } from '../../src/certs/key.ts';
import { parsePem } from '../../src/certs/pem.ts';
import { readCertificate } from '../../src/certs/x509/read.ts';
import { HOUR_MS, issueFor, makeTestAuthority, service } from '../support/ca.ts';

const HAS_OPENSSL = (() => {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

test('openssl accepts the chain under its strict rules', { skip: !HAS_OPENSSL && 'openssl is not here' }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'meshctl-test-'));
  try {
    const ca = makeTestAuthority();
    const { leaf } = issueFor(ca, service('web'));
    for (const [name, text] of Object.entries({ root: ca.files.rootCertificate, intermediate: ca.files.intermediateCertificate, leaf }))
      writeFileSync(join(directory, name), text);
    const out = execFileSync(
      'openssl',
      [
        'verify',
        '-x509_strict',
        '-purpose',
        'sslserver',
        '-CAfile',
        join(directory, 'root'),
        '-untrusted',
        join(directory, 'intermediate'),
        join(directory, 'leaf'),
      ],
      { encoding: 'utf8' },
    );
    assert.match(out, /: OK/);
    const { privateKey, publicKey } = keyPair();
    writeFileSync(join(directory, 'csr'), makeSigningRequest(privateKey, publicKey));
    execFileSync('openssl', ['req', '-inform', 'DER', '-in', join(directory, 'csr'), '-verify', '-noout'], { stdio: 'pipe' });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a leaf holds exactly one URI, no CA flag, and the usages of a peer', () => {
  const { leaf } = issueFor(makeTestAuthority(), service('web'));
  const certificate = new X509Certificate(leaf);
  assert.equal(certificate.subjectAltName, 'URI:spiffe://test.mesh/ns/default/sa/web');
  assert.equal(certificate.ca, false);
  assert.deepEqual(certificate.keyUsage, ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
  assert.deepEqual(readCertificate(certificate.raw).keyUsage, ['digitalSignature']);
});

test('an intermediate signs leaves only: path length 0, certificate and CRL signing', () => {
  const details = readCertificate(new X509Certificate(makeTestAuthority().files.intermediateCertificate).raw);
  assert.equal(details.pathLength, 0);
  assert.deepEqual(details.keyUsage, ['keyCertSign', 'cRLSign']);
});

test('a leaf is back-dated by a minute and never outlives its issuer', () => {
  const now = Date.UTC(2031, 10, 19, 12);
  const ca = makeTestAuthority('test.mesh', Date.UTC(2026, 10, 21));
  const { leaf } = issueFor(ca, service('web'), 10 * 365 * 24 * HOUR_MS, now);
  const certificate = new X509Certificate(leaf);
  const issuer = new X509Certificate(ca.files.intermediateCertificate);
  assert.equal(certificate.validFromDate.getTime(), now - 60_000);
  assert.equal(certificate.validToDate.getTime(), issuer.validToDate.getTime());
});

test('a certificate that ends in 2050 or later has a four-digit year', () => {
  const ca = makeTestAuthority('test.mesh', Date.UTC(2048, 0, 1));
  assert.equal(new X509Certificate(ca.files.rootCertificate).validToDate.getUTCFullYear(), 2057);
});

test('serials are positive, 16 bytes, and never the same', () => {
  const ca = makeTestAuthority();
  const serials = new Set(Array.from({ length: 200 }, () => new X509Certificate(issueFor(ca, service('web')).leaf).serialNumber));
  assert.equal(serials.size, 200);
  for (const serial of serials) assert.match(serial, /^[4-7][0-9A-F]{31}$/);
});

test('refuses to sign once its intermediate has expired', () => {
  const ca = makeTestAuthority('test.mesh', Date.UTC(2020, 0, 1));
  assert.throws(() => issueFor(ca, service('web'), HOUR_MS, Date.UTC(2026, 0, 1)), { code: 'CERT_SIGNER_EXPIRED' });
});

test('refuses parts that do not belong together', () => {
  const a = makeTestAuthority().created;
  const b = makeTestAuthority().created;
  const swapped = (name: string, certificate: string): typeof a.state => ({
    ...a.state,
    certificates: a.state.certificates.map((ca) => (ca.name === name ? { ...ca, certificate } : ca)),
  });
  const certificateOf = (name: string): string => b.state.certificates.find((ca) => ca.name === name)?.certificate ?? '';
  const wrong: Record<string, [typeof a.state, typeof a.keys]> = {
    'keys of another authority': [a.state, b.keys],
    'a root of another authority': [swapped('root-1', certificateOf('root-1')), a.keys],
    'an intermediate of another authority': [swapped('peer-1', certificateOf('peer-1')), a.keys],
    'a certificate that is none': [swapped('edge-1', 'nothing'), a.keys],
    'no key for what signs': [a.state, new Map()],
    'a signer that is not there': [{ ...a.state, signers: { peer: 'peer-9' } }, a.keys],
  };
  for (const [title, [state, keys]] of Object.entries(wrong))
    assert.throws(() => new Authority(state, keys), { code: 'CA_UNREADABLE' }, title);
});

test('knows its own certificates from those of another authority', () => {
  const a = makeTestAuthority();
  const b = makeTestAuthority();
  const certificate = new X509Certificate(issueFor(a, service('web')).leaf);
  assert.equal(a.authority.signerOf(certificate)?.name, 'peer-1');
  assert.equal(b.authority.signerOf(certificate), undefined);
});

test('reads the key of a signing request', () => {
  const { privateKey, publicKey } = keyPair();
  const read = readSigningRequest(makeSigningRequest(privateKey, publicKey));
  assert.ok(read);
  assert.deepEqual(exportSpki(read.key), exportSpki(publicKey));
});

test('refuses a signing request that another key signed', () => {
  const a = keyPair();
  const b = keyPair();
  assert.equal(readSigningRequest(makeSigningRequest(a.privateKey, b.publicKey)), undefined);
});

test("refuses a workload's signing request for a curve that is not P-256", () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  assert.throws(() => workloadKey(makeSigningRequest(privateKey, publicKey).toString('base64')), { code: 'CSR_REFUSED' });
});

test('refuses every signing request with one bit turned over', () => {
  const { privateKey, publicKey } = keyPair();
  const request = makeSigningRequest(privateKey, publicKey);
  for (let bit = 0; bit < request.length * 8; bit += 7) {
    const broken = Buffer.from(request);
    broken[bit >> 3] = (broken[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const read = readSigningRequest(broken);
    // A bit that leaves the very same key and a valid signature would have to be outside both.
    assert.equal(read, undefined, `bit ${bit}`);
  }
});

test('refuses truncated signing requests', () => {
  const { privateKey, publicKey } = keyPair();
  const request = makeSigningRequest(privateKey, publicKey);
  for (let length = 0; length < request.length; length += 5) assert.equal(readSigningRequest(request.subarray(0, length)), undefined);
});

test('reads PEM blocks and passes over text between them', () => {
  const { files } = makeTestAuthority();
  const blocks = parsePem(`comment\n${files.rootCertificate}more\n${files.rootKey}`);
  assert.deepEqual(
    blocks.map((block) => block.label),
    ['CERTIFICATE', 'PRIVATE KEY'],
  );
});
