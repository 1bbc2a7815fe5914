// Each point of `certs lint` on a certificate that breaks it, and none on those that the mesh makes.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { CERTIFICATE_RULES, lintCertificates } from '../../src/certs/lint.ts';
import { issueFor, makeTestAuthority, service } from '../support/ca.ts';
import { constraints, dns, extension, makeCertificate, purposes, type Shape, sans, seq, tlv, uri, usage } from '../support/x509.ts';

const SERVER = '1.3.6.1.5.5.7.3.1';
const CLIENT = '1.3.6.1.5.5.7.3.2';
const ID = 'spiffe://test.mesh/ns/default/sa/web';
const DAY_MS = 86_400_000;
const SKI = extension('2.5.29.14', false, tlv(4, 'key-1'));
const AKI = extension('2.5.29.35', false, seq(tlv(0x80, 'key-1')));
const SERIAL = Buffer.from('4142434445464748494a', 'hex');
const CA = [constraints(true, 0), usage('keyCertSign', 'cRLSign'), SKI];
const LEAF = [constraints(false), usage('digitalSignature'), purposes(SERVER, CLIENT), AKI, sans(uri(ID))];
const without = (list: readonly Buffer[], part: Buffer): Buffer[] => list.filter((each) => each !== part);
const swap = (list: readonly Buffer[], part: Buffer | undefined, other: Buffer): Buffer[] =>
  list.map((each) => (each === part ? other : each));

const ca = makeCertificate({ name: 'ca', serial: SERIAL, extensions: CA });
const found = (pem: string): string[] => [...new Set(lintCertificates('f.pem', Buffer.from(pem)).findings.map(({ rule }) => rule))];
const leaf = (shape: Partial<Shape> = {}): string => makeCertificate({ serial: SERIAL, extensions: LEAF, ...shape }, ca).pem;
const authority = (shape: Partial<Shape> = {}): string =>
  makeCertificate({ name: 'inner', serial: SERIAL, extensions: [...CA, AKI], ...shape }, ca).pem;

test('nothing is wrong with what the mesh makes, nor with the examples here', () => {
  const own = makeTestAuthority();
  const { chain } = issueFor(own, service('web'));
  assert.deepEqual(found(chain + own.files.rootCertificate), []);
  assert.deepEqual(found(leaf()), []);
  assert.deepEqual(found(authority()), []);
});

const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 });
const CASES: readonly (readonly [string, string, string])[] = [
  ['half a certificate', leaf().replace(/\n[A-Za-z0-9+/=]+\n-----END/, '\n-----END'), 'cert-unreadable'],
  ['a serial below zero', leaf({ serial: Buffer.from([0x81, ...Buffer.alloc(9, 1)]) }), 'cert-serial'],
  ['a serial that was counted', leaf({ serial: Buffer.from([7]) }), 'cert-serial-short'],
  ['a small key', leaf({ keys: rsa }), 'cert-weak-key'],
  ['SHA-1', leaf({ algorithm: seq(Buffer.from('06072a8648ce3d0401', 'hex')), hash: 'sha1' }), 'cert-weak-algorithm'],
  ['two algorithms', leaf({ innerAlgorithm: seq(Buffer.from('06082a8648ce3d040303', 'hex')) }), 'cert-algorithms-differ'],
  ['no key identifier of its issuer', leaf({ extensions: without(LEAF, AKI) }), 'cert-key-id-missing'],
  ['an authority without key identifier', authority({ extensions: [...without(CA, SKI), AKI] }), 'cert-key-id-missing'],
  ['a critical extension that nobody knows', leaf({ extensions: [...LEAF, extension('1.2.3.4', true, seq())] }), 'cert-critical-unknown'],
  ['an end before its beginning', leaf({ notBeforeMs: Date.now(), notAfterMs: Date.now() - DAY_MS }), 'cert-life'],
  ['an older version', leaf({ version: 2 }), 'cert-version'],
  ['an authority without keyUsage', authority({ extensions: [constraints(true, 0), SKI, AKI] }), 'ca-constraints'],
  ['an authority that may not sign', authority({ extensions: [constraints(true, 0), usage('cRLSign'), SKI, AKI] }), 'ca-key-usage'],
  ['an authority without a name', authority({ name: '' }), 'ca-subject-empty'],
  ['an authority with the id of a workload', authority({ extensions: [...CA, AKI, sans(uri(ID))] }), 'ca-uri'],
  ['an authority with two ids', authority({ extensions: [...CA, AKI, sans(uri('spiffe://a.b'), uri('spiffe://c.d'))] }), 'ca-uri'],
  ['an authority without path length', authority({ extensions: [constraints(true), usage('keyCertSign'), SKI, AKI] }), 'ca-path-length'],
  ['no identity', leaf({ extensions: swap(LEAF, LEAF.at(-1), sans(dns('a.b'))) }), 'svid-uri'],
  ['two identities', leaf({ extensions: swap(LEAF, LEAF.at(-1), sans(uri(ID), uri(`${ID}2`))) }), 'svid-uri'],
  ['an identity in upper case', leaf({ extensions: swap(LEAF, LEAF.at(-1), sans(uri(ID.toUpperCase()))) }), 'svid-uri'],
  ['no keyUsage', leaf({ extensions: without(LEAF, LEAF[1] as Buffer) }), 'svid-key-usage'],
  [
    'a key that may sign certificates',
    leaf({ extensions: swap(LEAF, LEAF[1], usage('digitalSignature', 'keyCertSign')) }),
    'svid-key-usage',
  ],
  ['a key for servers alone', leaf({ extensions: swap(LEAF, LEAF[2], purposes(SERVER)) }), 'svid-extended-key-usage'],
  ['no purpose', leaf({ extensions: without(LEAF, LEAF[2] as Buffer) }), 'svid-extended-key-usage-missing'],
  [
    'no subject and names that are not critical',
    leaf({ extensions: swap(LEAF, LEAF.at(-1), extension('2.5.29.17', false, seq(uri(ID)))) }),
    'svid-san-not-critical',
  ],
  ['a month of life', leaf({ notAfterMs: Date.now() + 30 * DAY_MS }), 'svid-long-life'],
  ['more life than its issuer', leaf({ notAfterMs: Date.now() + 2 * 3_600_000 }) + ca.pem, 'chain-outlives'],
  ['the authority before it', authority() + leaf(), 'chain-order'],
];

for (const [title, pem, rule] of CASES) test(`finds ${title}: ${rule}`, () => assert.ok(found(pem).includes(rule), found(pem).join(', ')));

test('every rule has a case, and every finding its line', () => {
  assert.deepEqual([...new Set(CASES.map(([, , rule]) => rule))].sort(), CERTIFICATE_RULES.map(({ id }) => id).sort());
  const { findings, count } = lintCertificates('f.pem', Buffer.from(`a note\n\n${leaf()}${leaf({ serial: Buffer.from([7]) })}`));
  assert.equal(count, 2);
  assert.deepEqual(
    findings.map(({ rule, place }) => [rule, place?.file, place?.line]),
    [
      ['chain-order', 'f.pem', 3],
      ['cert-serial-short', 'f.pem', 3 + leaf().trimEnd().split('\n').length],
    ],
  );
});
