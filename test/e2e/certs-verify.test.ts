// `certs verify` as people run it: exit codes, documents, and what is said of files and flags that are wrong.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createServer } from 'node:tls';
import { makeSigningRequest } from '../../src/certs/csr.ts';
import { readCertificates } from '../../src/certs/files.ts';
import { issueFor, makeTestAuthority, service } from '../support/ca.ts';
import { Workplace } from '../support/cli.ts';
import { listen } from '../support/test-mesh.ts';
import { makeRevocations, newKeys, toPem } from '../support/x509.ts';

const place = new Workplace();
after(() => place[Symbol.asyncDispose]());
const authority = makeTestAuthority();
const { chain, key, leaf } = issueFor(authority, service('web'));
place.write('chain.pem', chain);
place.write('leaf.pem', leaf);
place.write('key.pem', key);
place.write('roots.pem', authority.files.rootCertificate);
place.write('middle.pem', authority.files.intermediateCertificate);
place.write('other.pem', makeTestAuthority('other.mesh').files.rootCertificate);
place.write('stray.crl', toPem('X509 CRL', makeRevocations({ name: 'x', key: newKeys().privateKey }, [])));
const ID = 'spiffe://test.mesh/ns/default/sa/web';
const verify = (...args: string[]) => place.run(['certs', 'verify', ...args]);

for (const [title, args, code, says] of [
  [
    'a chain',
    ['chain.pem', '--roots', 'roots.pem'],
    0,
    /^√ valid\n {2}spiffe:\/\/test\.mesh\/ns\/default\/sa\/web {2}serial [0-9a-f]+, until .*\n {4}by CN=test\.mesh intermediate/,
  ],
  ['the identity that is wanted', ['chain.pem', '--roots', 'roots.pem', '--identity', ID, '--purpose', 'client'], 0, /valid/],
  [
    'a leaf and what lies between beside it',
    ['leaf.pem', '--intermediates', 'middle.pem', '--roots', 'other.pem', '--roots', 'roots.pem'],
    0,
    /valid/,
  ],
  ['another root', ['chain.pem', '--roots', 'other.pem'], 1, /no-path/],
  ['another identity', ['chain.pem', '--roots', 'roots.pem', '--identity', `${ID}2`], 1, /identity/],
  ['another trust domain', ['chain.pem', '--roots', 'roots.pem', '--trust-domain', 'other.mesh'], 1, /identity/],
  ['a time before it', ['chain.pem', '--roots', 'roots.pem', '--at', '2001-01-01T00:00:00Z'], 1, /not-yet-valid/],
  ['a DNS name that it has not', ['chain.pem', '--roots', 'roots.pem', '--dns', 'web.example.org'], 1, /dns/],
  ['no list of its issuer', ['chain.pem', '--roots', 'roots.pem', '--crl', 'stray.crl'], 2, /^\? cannot tell\n[\s\S]*revocation-unknown/],
] as const)
  test(`${title}: exit ${code}`, async () => {
    const result = await verify(...args);
    assert.equal(result.code, code, result.stderr);
    assert.match(result.stdout, says);
    const json = JSON.parse((await verify(...args, '-o', 'json')).stdout);
    assert.deepEqual([json.kind, json.verdict], ['CertificateVerification', ['valid', 'invalid', 'unknown'][code]]);
    assert.equal(json.reasons.length === 0, code === 0);
  });

for (const [title, args, says] of [
  ['no root', ['chain.pem'], /nothing is believed/],
  ['a chain that is not there', ['gone.pem', '--roots', 'roots.pem'], /no such file/],
  ['a key for a chain', ['key.pem', '--roots', 'roots.pem'], /holds no `CERTIFICATE`/],
  ['a chain for a CRL', ['chain.pem', '--roots', 'roots.pem', '--crl', 'chain.pem'], /holds no `X509 CRL`/],
  ['a purpose that is none', ['chain.pem', '--roots', 'roots.pem', '--purpose', 'email'], /server, client, any/],
  ['a profile that is none', ['chain.pem', '--roots', 'roots.pem', '--profile', 'web'], /spiffe, rfc5280/],
  ['a time that is none', ['chain.pem', '--roots', 'roots.pem', '--at', 'tomorrow'], /is no time/],
  ['a day that the calendar does not have', ['chain.pem', '--roots', 'roots.pem', '--at', '2026-13-41T00:00:00Z'], /is no time/],
  ['an identity that is none', ['chain.pem', '--roots', 'roots.pem', '--identity', 'web'], /no SPIFFE id/],
  ['a trust domain that is none', ['chain.pem', '--roots', 'roots.pem', '--trust-domain', 'A b'], /no trust domain/],
  ['identity and trust domain', ['chain.pem', '--roots', 'roots.pem', '--identity', ID, '--trust-domain', 'test.mesh'], /name one of them/],
] as const)
  test(`${title} is a usage error, with nothing on stdout and no key material anywhere`, async () => {
    const result = await verify(...args);
    assert.deepEqual([result.code, result.stdout], [2, '']);
    assert.match(result.stderr, says);
    assert.ok(!result.stderr.includes(key.split('\n')[1] ?? 'PRIVATE'));
  });

test('lint: nothing of the chains that we make, a usage error for what holds none, and valid SARIF', async () => {
  const good = await place.run(['certs', 'lint', 'chain.pem', 'roots.pem']);
  assert.deepEqual([good.code, good.stdout], [0, '3 certificates: 0 errors, 0 warnings\n']);
  place.write('broken.pem', leaf.replace(/\n[A-Za-z0-9+/=]+\n-----END/, '\n-----END'));
  for (const [format, says] of [
    ['table', /^broken\.pem:1:1 {2}× error {2}cert-unreadable/],
    ['sarif', /"ruleId": "cert-unreadable"/],
    ['junit', /<failure/],
    ['github', /^::error file=broken\.pem,line=1/],
    ['markdown', /^### Certificate lint/],
    ['json', /"kind": "CertificateLintReport"/],
  ] as const) {
    const bad = await place.run(['certs', 'lint', 'broken.pem', '-o', format]);
    assert.equal(bad.code, 1);
    assert.match(bad.stdout, says);
  }
  for (const args of [['key.pem'], ['gone.pem'], ['chain.pem', '--fail-on', 'all'], ['chain.pem', '-o', 'xml']]) {
    const wrong = await place.run(['certs', 'lint', ...args]);
    assert.deepEqual([wrong.code, wrong.stdout], [2, ''], args.join(' '));
  }
});

test('inspect reads a signing request and a list of revocations, and says what is wrong with them', async () => {
  const { privateKey, publicKey } = newKeys();
  place.write('request.pem', toPem('CERTIFICATE REQUEST', makeSigningRequest(privateKey, publicKey)));
  place.write('forged.pem', toPem('CERTIFICATE REQUEST', makeSigningRequest(privateKey, newKeys().publicKey)));
  place.write(
    'list.pem',
    toPem('X509 CRL', makeRevocations({ name: 'ca', key: privateKey }, [{ serial: Buffer.from([0x12, 0x34]), atMs: 0 }], { nextMs: 1000 })),
  );
  const inspect = (...args: string[]) => place.run(['certs', 'inspect', ...args]);
  assert.match(
    (await inspect('request.pem')).stdout,
    /signing request\n {2}subject +\(empty\)\n {2}key +EC P-256\n {2}signature +of its own key/,
  );
  assert.match((await inspect('forged.pem')).stdout, /signature +× not of its own key/);
  const list = await inspect('list.pem');
  assert.equal(list.code, 0);
  assert.match(list.stdout, /list of revocations\n {2}issuer +CN=ca\n[\s\S]*next update .*expired[\s\S]*1234 on 1970/);
  place.write('bad.pem', toPem('X509 CRL', Buffer.from([0x30, 0])));
  assert.equal((await inspect('bad.pem')).code, 2);
});

test('inspect shows the chain of a server, believed or not, and says when nobody answers', async () => {
  const server = createServer({ key, cert: chain }, (socket) => socket.on('error', () => undefined).end());
  const port = await listen(server);
  const shown = await place.run(['certs', 'inspect', `127.0.0.1:${port}`, '-o', 'json']);
  assert.equal(shown.code, 0, shown.stderr);
  const { items } = JSON.parse(shown.stdout) as { items: { type: string; spiffeId: string | null; file: string }[] };
  assert.deepEqual([items[0]?.spiffeId, items[0]?.file, items.length], [ID, `127.0.0.1:${port}`, 2]);
  await new Promise((done) => server.close(done));
  const gone = await place.run(['certs', 'inspect', `127.0.0.1:${port}`]);
  assert.deepEqual([gone.code, gone.stdout], [3, '']);
  assert.match(gone.stderr, /shows no certificate/);
});

test('a bundle of files: each root once, as PEM and as the JWKS of SPIFFE; what is no authority is refused', async () => {
  const bundle = (...args: string[]) => place.run(['certs', 'bundle', ...args]);
  const pem = await bundle('roots.pem', 'roots.pem', 'other.pem');
  assert.equal(pem.stdout, `${authority.files.rootCertificate}${readFileSync(join(place.directory, 'other.pem'), 'utf8')}`);
  const jwks = JSON.parse((await bundle('roots.pem', '-o', 'spiffe')).stdout);
  assert.deepEqual(Object.keys(jwks), ['keys', 'spiffe_sequence', 'spiffe_refresh_hint']);
  const [own] = jwks.keys;
  assert.deepEqual([own.kty, own.crv, own.use, own.kid, own.x5c.length], ['EC', 'P-256', 'x509-svid', undefined, 1]);
  const certificate = new X509Certificate(Buffer.from(own.x5c[0], 'base64'));
  assert.deepEqual(certificate.publicKey.export({ format: 'jwk' }), { kty: own.kty, crv: own.crv, x: own.x, y: own.y });
  for (const args of [['leaf.pem'], ['key.pem'], ['gone.pem'], ['roots.pem', '-o', 'jwt']]) {
    const wrong = await bundle(...args);
    assert.deepEqual([wrong.code, wrong.stdout], [2, ''], args.join(' '));
  }
});

test('certificates with little of their life left are listed, and are exit 1; none is exit 0', async () => {
  const mesh = new Workplace();
  mesh.write(
    'mesh.yaml',
    'apiVersion: meshctl.dev/v1\nkind: Mesh\nname: short\ncertificates: {ttl: 30s}\nservices:\n  web: {command: [node, -e, "require(\'http\').createServer((q, s) => s.end()).listen(process.env.PORT)"]}\n',
  );
  try {
    assert.equal((await mesh.run(['up', '-d'])).code, 0);
    const list = (share: string) => mesh.run(['certs', 'list', '--expiring', share, '-o', 'json']);
    let expiring = await list('100%');
    while (expiring.code === 0) expiring = await list('100%');
    assert.equal(expiring.code, 1);
    assert.ok(JSON.parse(expiring.stdout).items.every(({ lifeLeftPercent }: { lifeLeftPercent: number }) => lifeLeftPercent < 100));
    const roots = (await mesh.run(['certs', 'bundle'])).stdout;
    assert.equal(readCertificates(Buffer.from(roots)).length, 1);
    assert.equal(JSON.parse((await mesh.run(['certs', 'bundle', '-o', 'spiffe'])).stdout).keys.length, 1);
    const none = await list('1%');
    assert.deepEqual([none.code, JSON.parse(none.stdout).items], [0, []]);
    for (const share of ['much', '0', '101%', '-5']) assert.equal((await list(share)).code, 2, share);
  } finally {
    await mesh.run(['down']);
    await mesh[Symbol.asyncDispose]();
  }
});
