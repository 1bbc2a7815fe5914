import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { describeFile } from '../../src/certs/describe.ts';
import { readPeer } from '../../src/certs/peer.ts';
import { lifeLeftPercent, renewalDueAt } from '../../src/certs/renewal.ts';
import { forge, issueFor, makeTestAuthority, service } from '../support/ca.ts';

const ca = makeTestAuthority();

test('reads the identity and the serial of a peer', () => {
  const certificate = new X509Certificate(issueFor(ca, service('web')).leaf);
  const peer = readPeer(certificate);
  assert.ok('id' in peer);
  assert.deepEqual(peer.id, service('web'));
  assert.equal(peer.serial, certificate.serialNumber.toLowerCase());
});

test('refuses a peer without certificate', () => assert.deepEqual(readPeer(undefined), { refused: 'no certificate' }));

test('refuses an authority as a peer', () => {
  for (const pem of [ca.files.rootCertificate, ca.files.intermediateCertificate, forge(ca, { kind: 'intermediate' }).leaf]) {
    assert.ok('refused' in readPeer(new X509Certificate(pem)));
  }
});

for (const uri of [
  'https://test.mesh/ns/default/sa/web',
  'spiffe://test.mesh',
  'spiffe://TEST.mesh/ns/default/sa/web',
  'spiffe://test.mesh/ns/default/sa/web, URI:spiffe://test.mesh/ns/default/sa/payments',
  'spiffe://test.mesh/ns/default/sa/web\u0000.evil',
  'spiffe://test.mesh/ns/default/sa/../payments',
  '',
]) {
  test(`refuses a peer whose URI is ${JSON.stringify(uri)}`, () =>
    assert.ok('refused' in readPeer(new X509Certificate(forge(ca, { uri }).leaf))));
}

test('a renewal is due at two thirds of life, within the jitter', () => {
  assert.deepEqual(
    [0.5, 0, 1].map((random) => Math.round(renewalDueAt(0, 3000, random))),
    [2000, 1850, 2150],
  );
});

test('life left goes from 100 to 0 and no further', () => {
  assert.deepEqual(
    [-5, 0, 500, 999.5, 1000, 2000].map((now) => lifeLeftPercent(0, 1000, now)),
    [100, 100, 50, 0.1, 0, 0],
  );
});

test('describes each block of a file, and no key material', () => {
  const { chain, key } = issueFor(ca, service('web'));
  const items = describeFile(Buffer.from(chain + key), Date.now());
  assert.deepEqual(
    items.map((item) => item.type),
    ['certificate', 'certificate', 'private-key'],
  );
  assert.ok(!JSON.stringify(items).includes(key.split('\n')[1] ?? ''));
});

test('describes a damaged block as unreadable, and an empty file as nothing', () => {
  assert.equal(describeFile(Buffer.from('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'), 0)[0]?.type, 'unreadable');
  assert.deepEqual(describeFile(Buffer.from('hello'), 0), []);
});
