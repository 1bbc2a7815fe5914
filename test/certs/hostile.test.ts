// Requests, containers and bundles that somebody made to break their reader: refused with a reason, never anything but TypeError, never slow.
import assert from 'node:assert/strict';
import { createPrivateKey, randomInt, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { addressBytes, printAddress } from '../../src/certs/address.ts';
import { readSigningRequest } from '../../src/certs/authority.ts';
import { readSpiffeBundle, spiffeBundle } from '../../src/certs/bundle.ts';
import { readPkcs7, readPkcs12, writePkcs7, writePkcs12 } from '../../src/certs/containers.ts';
import { makeSigningRequest } from '../../src/certs/csr.ts';
import { describeFile } from '../../src/certs/describe.ts';
import { readCertificates } from '../../src/certs/files.ts';
import { keyPair } from '../../src/certs/key.ts';
import { issueFor, makeTestAuthority, service } from '../support/ca.ts';
import { seq, tlv } from '../support/x509.ts';

const authority = makeTestAuthority();
const { chain, key } = issueFor(authority, service('web'));
const ders = readCertificates(Buffer.from(chain)).map(({ der }) => der);
const { privateKey, publicKey } = keyPair();
const BUDGET_MS = 4000;

function mutate(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  switch (randomInt(4)) {
    case 0:
      return copy.subarray(0, randomInt(copy.length));
    case 1:
      copy[randomInt(copy.length)] = randomInt(256);
      return copy;
    case 2: {
      const at = randomInt(copy.length);
      return Buffer.concat([copy.subarray(0, at), Buffer.from([randomInt(256)]), copy.subarray(at)]);
    }
    default:
      for (let i = 0; i < 8; i++) copy[randomInt(copy.length)] = randomInt(256);
      return copy;
  }
}

/** As many mutations as fit into the budget, at least a few hundred; `look` gets each with what it once was. */
function storm(bytes: Buffer, look: (mutated: Buffer) => void): void {
  const end = Date.now() + BUDGET_MS;
  for (let i = 0; i < 300 || (i < 3000 && Date.now() < end); i++) look(mutate(bytes));
}

function onlyTypeError(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof TypeError, String(error));
  }
}

test('mutated signing requests: none is taken for a key that is not its own', () => {
  const request = makeSigningRequest(privateKey, publicKey, 'x');
  storm(request, (mutated) => {
    const read = readSigningRequest(mutated);
    if (read !== undefined) assert.ok(read.key.equals(publicKey));
  });
});

test('mutated PKCS#7: read or refused', () => storm(writePkcs7(ders), (mutated) => onlyTypeError(() => readPkcs7(mutated))));

test('mutated PKCS#12: refused, or the same key', () => {
  const pkcs8 = createPrivateKey(key).export({ type: 'pkcs8', format: 'der' });
  const box = writePkcs12(pkcs8, ders, 'correct horse', 'web');
  // Each try costs a derivation: fewer of them.
  for (let i = 0; i < 40; i++)
    onlyTypeError(() => {
      for (const found of readPkcs12(mutate(box), 'correct horse').keys) assert.equal(found, key);
    });
});

test('mutated files: `inspect` says something of each and never throws', () => {
  for (const bytes of [Buffer.from(chain), ders[0] ?? Buffer.alloc(0), makeSigningRequest(privateKey, publicKey), writePkcs7(ders)])
    storm(bytes, (mutated) => void describeFile(mutated, Date.now()));
});

test('deep nesting and giant lengths are refused at once', () => {
  let deep: Buffer = tlv(5);
  for (let i = 0; i < 5000; i++) deep = seq(deep);
  const giant = Buffer.from('3084ffffffff0201', 'hex');
  const endless = Buffer.from(`30${'80'.repeat(1000)}`, 'hex');
  const start = Date.now();
  for (const bytes of [deep, giant, endless, Buffer.alloc(3_000_000, 0x30)]) {
    assert.equal(readSigningRequest(bytes), undefined);
    assert.throws(() => readPkcs7(bytes), TypeError);
    assert.throws(() => readPkcs12(bytes, ''), TypeError);
  }
  assert.ok(Date.now() - start < 10_000);
});

test('bundles: what is no bundle is refused, what is not known is passed over, no key is trusted that is no authority', () => {
  const roots = readCertificates(Buffer.from(authority.files.rootCertificate));
  const good = JSON.stringify(spiffeBundle(roots, 7));
  assert.deepEqual([readSpiffeBundle(good).roots.length, readSpiffeBundle(good).sequence], [1, 7]);
  const keyOf = (change: object): string => JSON.stringify({ keys: [{ ...(JSON.parse(good) as { keys: object[] }).keys[0], ...change }] });
  for (const text of [
    keyOf({ use: 'jwt-svid' }),
    keyOf({ use: undefined }),
    keyOf({ x5c: [] }),
    keyOf({ x5c: 'x' }),
    '{"keys":[]}',
    '{"keys":[null,1,"x",[]]}',
  ])
    assert.equal(readSpiffeBundle(text).roots.length, 0, text);
  // Only the first counts (SPIFFE Trust Domain and Bundle section 4.2.2).
  const two = keyOf({ x5c: [(roots[0]?.der ?? Buffer.alloc(0)).toString('base64'), 'AAAA'] });
  assert.equal(readSpiffeBundle(two).roots.length, 1);
  const leaf = new X509Certificate(chain).raw.toString('base64');
  for (const text of [
    '',
    '[]',
    'null',
    '{}',
    '{"keys":{}}',
    '{"keys":"x"}',
    keyOf({ x5c: ['AAAA'] }),
    keyOf({ x5c: [leaf] }),
    JSON.stringify({ keys: new Array(101).fill({}) }),
  ])
    assert.throws(() => readSpiffeBundle(text), TypeError, text.slice(0, 60));
  for (const sequence of ['7', -0.5, 1e300, null])
    assert.equal(readSpiffeBundle(JSON.stringify({ keys: [], spiffe_sequence: sequence })).sequence, null);
});

test('addresses are four or sixteen bytes, and nothing else is one', () => {
  for (const [text, printed] of [
    ['10.0.0.7', '10.0.0.7'],
    ['::1', '::1'],
    ['2001:DB8::7', '2001:db8::7'],
    ['::ffff:1.2.3.4', '::ffff:102:304'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
  ] as const)
    assert.equal(printAddress(addressBytes(text) ?? Buffer.alloc(0)), printed);
  for (const text of [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '256.1.1.1',
    '1.2.3.4:80',
    '01.2.3.4x',
    'fe80::1%eth0',
    '[::1]',
    '::1::',
    ':::',
    '1:2:3:4:5:6:7:8:9',
    'localhost',
    '1.2.3.4\u0000',
  ])
    assert.equal(addressBytes(text), undefined, text);
});
