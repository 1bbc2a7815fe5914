// Which certificates are believed, and for the others why not: path validation by RFC 5280, the rules of an X.509-SVID, revocation, and files
// that somebody made to be misread.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { readCertificates, readRevocationLists } from '../../src/certs/files.ts';
import { type Certificate, type VerifyInput, verify } from '../../src/certs/verify.ts';
import { readCertificate, readRevocationList } from '../../src/certs/x509/read.ts';
import { issueFor, makeTestAuthority, service } from '../support/ca.ts';
import {
  constraints,
  dns,
  email,
  extension,
  limits,
  type Made,
  makeCertificate,
  makeRevocations,
  newKeys,
  purposes,
  type Shape,
  sans,
  seq,
  tlv,
  toPem,
  uri,
  usage,
} from '../support/x509.ts';

const SERVER = '1.3.6.1.5.5.7.3.1';
const CLIENT = '1.3.6.1.5.5.7.3.2';
const ID = 'spiffe://test.mesh/ns/default/sa/web';
const HOUR_MS = 3_600_000;
const CA = [constraints(true), usage('keyCertSign', 'cRLSign')];
const LEAF = [constraints(false), usage('digitalSignature'), purposes(SERVER, CLIENT), sans(uri(ID), dns('web.example.org'))];

const root = makeCertificate({ name: 'root', extensions: CA });
const middle = makeCertificate({ name: 'middle', extensions: [constraints(true, 0), usage('keyCertSign', 'cRLSign')] }, root);
const leaf = makeCertificate({ extensions: LEAF }, middle);

interface Asked extends Partial<Omit<VerifyInput, 'leaf' | 'intermediates' | 'roots' | 'revocations'>> {
  readonly leaf?: Made;
  readonly intermediates?: readonly Made[];
  readonly roots?: readonly Made[];
  readonly revocations?: readonly Buffer[];
}

function ask({ leaf: one = leaf, intermediates = [middle], roots = [root], revocations = [], ...rest }: Asked) {
  const read = (made: Made): Certificate => readCertificate(made.der);
  return verify({
    leaf: read(one),
    intermediates: intermediates.map(read),
    roots: roots.map(read),
    revocations: revocations.map(readRevocationList),
    atMs: Date.now(),
    purpose: 'any',
    profile: 'spiffe',
    ...rest,
  });
}

const ca = (shape: Partial<Shape> & { name: string }, issuer?: Made): Made => makeCertificate({ extensions: CA, ...shape }, issuer);
const under = (issuer: Made, shape: Partial<Shape> = {}): Made => makeCertificate({ extensions: LEAF, ...shape }, issuer);

test('a chain is believed, leaf first, to its root', () => {
  const { verdict, path, reasons } = ask({ purpose: 'server', identity: ID, dns: 'web.example.org' });
  assert.deepEqual([verdict, path.length, reasons], ['valid', 3, []]);
});

test('the chain of our own authority is believed', () => {
  const authority = makeTestAuthority();
  const [own, ...rest] = readCertificates(Buffer.from(issueFor(authority, service('web')).chain));
  const roots = readCertificates(Buffer.from(authority.files.rootCertificate));
  assert.ok(own !== undefined);
  assert.deepEqual(
    verify({ leaf: own, intermediates: rest, roots, revocations: [], atMs: Date.now(), purpose: 'any', profile: 'spiffe' }).reasons,
    [],
  );
});

const other = ca({ name: 'root' });
const selfNamed = ca({ name: 'middle' }, root);
const expiredMiddle = ca({ name: 'middle', notAfterMs: Date.now() - 1000 }, root);
const noCa = makeCertificate({ name: 'middle', extensions: [constraints(false), usage('digitalSignature')] }, root);
const noSign = makeCertificate({ name: 'middle', extensions: [constraints(true), usage('cRLSign')] }, root);
const bare = makeCertificate({ name: 'middle', extensions: [] }, root);
const shortRoot = makeCertificate({ name: 'root', extensions: [constraints(true, 0), usage('keyCertSign')] });
const limited = (...extensions: Buffer[]): Made => makeCertificate({ name: 'middle', extensions: [...CA, ...extensions] }, root);
const rsa1024 = generateKeyPairSync('rsa', { modulusLength: 1024 });
const rsaWeak = makeCertificate({ extensions: LEAF, keys: rsa1024 }, middle);
const sha1 = makeCertificate({ extensions: LEAF, algorithm: seq(Buffer.from('06072a8648ce3d0401', 'hex')), hash: 'sha1' }, middle);

for (const [title, asked, rule] of [
  ['without any root', { roots: [] }, 'no-path'],
  ['without what lies between', { intermediates: [] }, 'no-path'],
  ['to a root of the same name and another key', { roots: [other] }, 'signature'],
  ['through another authority of the same name', { intermediates: [selfNamed] }, 'signature'],
  ['before it begins', { atMs: Date.now() - 2 * HOUR_MS }, 'not-yet-valid'],
  ['after its end', { atMs: Date.now() + 2 * HOUR_MS }, 'expired'],
  ['through an authority that has ended', { leaf: under(expiredMiddle), intermediates: [expiredMiddle] }, 'expired'],
  ['through what is no authority', { leaf: under(noCa), intermediates: [noCa] }, 'not-a-ca'],
  ['through what does not say what it is', { leaf: under(bare), intermediates: [bare] }, 'not-a-ca'],
  ['through an authority whose key may not sign', { leaf: under(noSign), intermediates: [noSign] }, 'key-usage'],
  ['longer than its root allows', { leaf: under(ca({ name: 'm' }, shortRoot)), intermediates: [], roots: [shortRoot] }, 'no-path'],
  [
    'for a server by a client',
    { leaf: under(middle, { extensions: [usage('digitalSignature'), purposes(CLIENT), sans(uri(ID))] }), purpose: 'server' },
    'extended-key-usage',
  ],
  [
    'for a server under an authority for clients',
    { leaf: under(limited(purposes(CLIENT))), intermediates: [limited(purposes(CLIENT))], purpose: 'server' },
    'signature',
  ],
  ['with another identity than is wanted', { identity: 'spiffe://test.mesh/ns/default/sa/orders' }, 'identity'],
  ['with an identity that only begins alike', { identity: `${ID}2` }, 'identity'],
  ['of another trust domain than is wanted', { trustDomain: 'other.mesh' }, 'identity'],
  ['with another DNS name than is wanted', { dns: 'example.org' }, 'dns'],
  [
    'with a critical extension that nobody knows',
    { leaf: under(middle, { extensions: [...LEAF, extension('1.2.3.4', true, seq())] }) },
    'critical-extension',
  ],
  ['with a key that is too small', { leaf: rsaWeak }, 'weak-key'],
  ['signed with SHA-1', { leaf: sha1 }, 'weak-algorithm'],
  ['whose two algorithms differ', { leaf: under(middle, { innerAlgorithm: seq(Buffer.from('06082a8648ce3d040303', 'hex')) }) }, 'form'],
  ['with a serial below zero', { leaf: under(middle, { serial: Buffer.from([0x80, 1]) }) }, 'form'],
  ['with the serial zero', { leaf: under(middle, { serial: Buffer.from([0]) }) }, 'form'],
  ['with a serial of 21 bytes', { leaf: under(middle, { serial: Buffer.alloc(21, 0x11) }) }, 'form'],
  [
    'with two identities',
    { leaf: under(middle, { extensions: [usage('digitalSignature'), sans(uri(ID), uri('spiffe://test.mesh/ns/default/sa/payments'))] }) },
    'svid-uri',
  ],
  [
    'with an identity and another URI',
    { leaf: under(middle, { extensions: [usage('digitalSignature'), sans(uri(ID), uri('https://x.example'))] }) },
    'svid-uri',
  ],
  ['without an identity', { leaf: under(middle, { extensions: [usage('digitalSignature'), sans(dns('web.example.org'))] }) }, 'svid-uri'],
  [
    'with a trust domain for an identity',
    { leaf: under(middle, { extensions: [usage('digitalSignature'), sans(uri('spiffe://test.mesh'))] }) },
    'svid-uri',
  ],
  [
    'with an identity in upper case',
    { leaf: under(middle, { extensions: [usage('digitalSignature'), sans(uri('SPIFFE://test.mesh/ns/default/sa/web'))] }) },
    'svid-uri',
  ],
  [
    'with an identity that climbs',
    { leaf: under(middle, { extensions: [usage('digitalSignature'), sans(uri('spiffe://test.mesh/ns/../sa/web'))] }) },
    'svid-uri',
  ],
  [
    'with an escape in its identity',
    { leaf: under(middle, { extensions: [usage('digitalSignature'), sans(uri('spiffe://test.mesh/ns/%64/sa/web'))] }) },
    'svid-uri',
  ],
  ['that is an authority itself', { leaf: ca({ name: 'x', extensions: [...CA, sans(uri(ID))] }, root), intermediates: [] }, 'svid-ca'],
  ['without keyUsage', { leaf: under(middle, { extensions: [sans(uri(ID))] }) }, 'svid-key-usage'],
  [
    'whose key may sign certificates',
    { leaf: under(middle, { extensions: [usage('digitalSignature', 'keyCertSign'), sans(uri(ID))] }) },
    'svid-key-usage',
  ],
  [
    'whose key may not be used in a handshake',
    { leaf: under(middle, { extensions: [usage('keyAgreement'), sans(uri(ID))] }) },
    'svid-key-usage',
  ],
  [
    'for servers alone',
    { leaf: under(middle, { extensions: [usage('digitalSignature'), purposes(SERVER), sans(uri(ID))] }) },
    'svid-extended-key-usage',
  ],
  ['that somebody calls a root', { roots: [leaf], intermediates: [] }, 'no-path'],
] as const)
  test(`a certificate is not believed ${title}: ${rule}`, () => {
    const { verdict, reasons } = ask(asked as Asked);
    assert.equal(verdict, 'invalid');
    assert.ok(
      reasons.some((each) => each.rule === rule),
      JSON.stringify(reasons),
    );
    for (const { certificate, what } of reasons) assert.ok(certificate !== '' && what !== '');
  });

test('each authority too many is counted, but for those that an authority issued to itself', () => {
  const inner = ca({ name: 'inner' }, middle);
  const deep = ask({ leaf: under(inner), intermediates: [inner, middle] });
  assert.deepEqual(
    deep.reasons.map(({ rule }) => rule),
    ['path-length'],
  );
  const rekeyed = makeCertificate({ name: 'middle', extensions: CA }, middle);
  assert.equal(ask({ leaf: under(rekeyed), intermediates: [rekeyed, middle] }).verdict, 'valid');
});

test('without the SPIFFE rules a certificate of a web server is believed, and with them it is not', () => {
  const web = under(middle, {
    name: 'web',
    extensions: [usage('digitalSignature', 'keyEncipherment'), purposes(SERVER), sans(dns('*.example.org'))],
  });
  assert.equal(ask({ leaf: web, profile: 'rfc5280', purpose: 'server', dns: 'a.example.org' }).verdict, 'valid');
  for (const name of ['example.org', 'a.b.example.org', 'aexample.org', '*.example.org.evil'])
    assert.equal(ask({ leaf: web, profile: 'rfc5280', dns: name }).verdict, 'invalid', name);
  assert.equal(ask({ leaf: web }).verdict, 'invalid');
});

for (const [title, extensions, names, verdict] of [
  ['a host that is permitted', [limits([uri('test.mesh')])], [uri(ID)], 'valid'],
  ['another host', [limits([uri('other.mesh')])], [uri(ID)], 'invalid'],
  ['a host below one without a dot', [limits([uri('mesh')])], [uri(ID)], 'invalid'],
  ['a host below one with a dot', [limits([uri('.mesh')])], [uri(ID)], 'valid'],
  ['the host itself under one with a dot', [limits([uri('.test.mesh')])], [uri(ID)], 'invalid'],
  ['a host that is excluded', [limits([], [uri('test.mesh')])], [uri(ID)], 'invalid'],
  ['a host that is permitted and excluded', [limits([uri('test.mesh')], [uri('test.mesh')])], [uri(ID)], 'invalid'],
  ['a DNS name below the one that is permitted', [limits([dns('example.org')])], [uri(ID), dns('web.example.org')], 'valid'],
  ['a DNS name that only ends alike', [limits([dns('example.org')])], [uri(ID), dns('webexample.org')], 'invalid'],
  ['names of a kind that is not constrained', [limits([dns('example.org')])], [uri(ID)], 'valid'],
  ['a kind that is constrained and not judged', [limits([email('example.org')])], [uri(ID), email('a@example.org')], 'invalid'],
] as const)
  test(`name constraints: ${title}: ${verdict}`, () => {
    const narrow = limited(...extensions);
    const one = under(narrow, { extensions: [usage('digitalSignature'), sans(...names)] });
    const result = ask({ leaf: one, intermediates: [narrow] });
    assert.equal(result.verdict, verdict, JSON.stringify(result.reasons));
    if (verdict === 'invalid') assert.ok(result.reasons.every(({ rule }) => rule === 'name-constraints'));
  });

test('an authority of one trust domain does not stand above a workload of another', () => {
  const foreign = limited(sans(uri('spiffe://other.mesh')));
  assert.deepEqual(
    ask({ leaf: under(foreign), intermediates: [foreign] }).reasons.map(({ rule }) => rule),
    ['ca-uri'],
  );
  const own = limited(sans(uri('spiffe://test.mesh')));
  assert.equal(ask({ leaf: under(own), intermediates: [own] }).verdict, 'valid');
  const workload = limited(sans(uri(ID)));
  assert.deepEqual(
    ask({ leaf: under(workload), intermediates: [workload] }).reasons.map(({ rule }) => rule),
    ['ca-uri'],
  );
});

const serial = Buffer.from([0x55, 0x66]);
const marked = under(middle, { serial });
const clean = makeRevocations(root, []);
for (const [title, lists, verdict, rule] of [
  ['on no list', [clean, makeRevocations(middle, [])], 'valid', undefined],
  ['on the list of its issuer', [clean, makeRevocations(middle, [{ serial, atMs: Date.now() - 1000 }])], 'invalid', 'revoked'],
  ['revoked later than now', [clean, makeRevocations(middle, [{ serial, atMs: Date.now() + HOUR_MS }])], 'valid', undefined],
  [
    'on the list of another issuer',
    [makeRevocations(root, [{ serial, atMs: Date.now() - 1000 }]), makeRevocations(middle, [])],
    'valid',
    undefined,
  ],
  ['with no list of its issuer', [clean], 'unknown', 'revocation-unknown'],
  ['with a list that has ended', [clean, makeRevocations(middle, [], { nextMs: Date.now() - 1000 })], 'unknown', 'revocation-unknown'],
  [
    'with a list that begins later',
    [clean, makeRevocations(middle, [], { thisMs: Date.now() + HOUR_MS })],
    'unknown',
    'revocation-unknown',
  ],
  [
    'with a list that never says when the next one comes',
    [clean, makeRevocations(middle, [], { nextMs: null })],
    'unknown',
    'revocation-unknown',
  ],
  [
    'with a list that somebody else signed',
    [clean, makeRevocations({ name: 'middle', key: newKeys().privateKey }, [])],
    'unknown',
    'revocation-unknown',
  ],
  [
    'with a list that means only a part',
    [clean, makeRevocations(middle, [], {}, [extension('2.5.29.28', true, seq())])],
    'unknown',
    'revocation-unknown',
  ],
  [
    'on a list that has ended',
    [clean, makeRevocations(middle, [{ serial, atMs: Date.now() - 1000 }], { nextMs: Date.now() - 500 })],
    'invalid',
    'revoked',
  ],
] as const)
  test(`revocation: ${title}: ${verdict}`, () => {
    const result = ask({ leaf: marked, revocations: lists });
    assert.equal(result.verdict, verdict, JSON.stringify(result.reasons));
    if (rule !== undefined) assert.ok(result.reasons.some((each) => each.rule === rule));
  });

test('of two paths the one that holds is taken, whatever the order', () => {
  const old = ca({ name: 'old', notAfterMs: Date.now() - 1000 });
  const keys = newKeys();
  const now = makeCertificate({ name: 'crossed', extensions: CA, keys }, root);
  const before = makeCertificate({ name: 'crossed', extensions: CA, keys }, old);
  const one = under(now);
  for (const intermediates of [
    [before, now],
    [now, before],
  ])
    assert.equal(ask({ leaf: one, intermediates, roots: [old, root] }).verdict, 'valid');
});

test('authorities that signed each other in a ring, and fifty of one name, end in an answer', () => {
  const keys = newKeys();
  const a = makeCertificate({ name: 'a', extensions: CA, keys }, { name: 'b', key: keys.privateKey });
  const b = makeCertificate({ name: 'b', extensions: CA, keys }, { name: 'a', key: keys.privateKey });
  assert.equal(ask({ leaf: under(a), intermediates: [a, b] }).verdict, 'invalid');
  const many = Array.from({ length: 50 }, () => makeCertificate({ name: 'a', extensions: CA, keys }, { name: 'a', key: keys.privateKey }));
  assert.equal(ask({ leaf: under(a), intermediates: many }).verdict, 'invalid');
});

const good = leaf.der;
for (const [title, der] of [
  ['nothing', Buffer.alloc(0)],
  ['half of one', good.subarray(0, good.length / 2)],
  ['one with a byte behind it', Buffer.concat([good, Buffer.from([0])])],
  ['a length in more bytes than it needs', Buffer.concat([Buffer.from([0x30, 0x83, 0x00]), good.subarray(2)])],
  ['a length that has no end', Buffer.concat([Buffer.from([0x30, 0x80]), good.subarray(4), Buffer.from([0, 0])])],
  ['a length of four gigabytes', Buffer.from('3084ffffffff30', 'hex')],
  ['ten thousand levels', Buffer.concat(Array.from({ length: 10_000 }, () => Buffer.from([0x30, 0x80])))],
  ['a NUL in its name', makeCertificate({ extensions: [sans(uri(`${ID}\0.evil`))] }, middle).der],
  [
    'a letter that is none of ASCII in its name',
    makeCertificate({ extensions: [sans(uri(`spiffe://test.mesh/ns/d\u00e9/sa/x`))] }, middle).der,
  ],
  ['a blank in its name', makeCertificate({ extensions: [sans(uri(`${ID}, URI:x`))] }, middle).der],
  ['an extension twice', makeCertificate({ extensions: [...LEAF, sans(uri('spiffe://test.mesh/ns/default/sa/payments'))] }, middle).der],
  ['a FALSE that stands there', makeCertificate({ extensions: [extension('2.5.29.19', true, seq(tlv(1, Buffer.from([0]))))] }, middle).der],
  [
    'a path length below zero',
    makeCertificate({ extensions: [extension('2.5.29.19', true, seq(tlv(1, Buffer.from([0xff])), tlv(2, Buffer.from([0x80]))))] }, middle)
      .der,
  ],
  ['no names in its names', makeCertificate({ extensions: [extension('2.5.29.17', false, seq())] }, middle).der],
] as const)
  test(`${title} is no certificate, with a reason`, () =>
    assert.throws(
      () => readCertificate(der as Buffer),
      (error: Error) => error instanceof TypeError && error.message.length > 5,
    ));

test('whatever is changed in a certificate, it is refused or not believed, and nothing else is thrown', () => {
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, by) => {
      const changed = Buffer.from(good);
      changed[at] = (changed[at] ?? 0) ^ by;
      let certificate: Certificate;
      try {
        certificate = readCertificate(changed);
      } catch (error) {
        assert.ok(error instanceof TypeError, String(error));
        return;
      }
      assert.equal(
        verify({
          leaf: certificate,
          intermediates: [readCertificate(middle.der)],
          roots: [readCertificate(root.der)],
          revocations: [],
          atMs: Date.now(),
          purpose: 'any',
          profile: 'spiffe',
        }).verdict,
        'invalid',
      );
    }),
    { numRuns: 2000 },
  );
});

test('whatever is changed in a list of revocations, it is refused or no answer', () => {
  const list = makeRevocations(middle, [{ serial, atMs: Date.now() - 1000 }]);
  fc.assert(
    fc.property(fc.nat(list.length - 1), fc.integer({ min: 1, max: 255 }), (at, by) => {
      const changed = Buffer.from(list);
      changed[at] = (changed[at] ?? 0) ^ by;
      try {
        readRevocationList(changed);
      } catch (error) {
        assert.ok(error instanceof TypeError, String(error));
        return;
      }
      assert.notEqual(ask({ leaf: marked, revocations: [clean, changed] }).verdict, 'valid');
    }),
    { numRuns: 1000 },
  );
});

test('files: PEM and DER, several in one, and what is wrong with which of them', () => {
  const two = Buffer.from(`a note\n${leaf.pem}${middle.pem}`);
  assert.equal(readCertificates(two).length, 2);
  assert.equal(readCertificates(leaf.der).length, 1);
  assert.throws(() => readCertificates(Buffer.from(leaf.pem + toPem('CERTIFICATE', Buffer.from([0x30, 0])))), /number 2: /);
  assert.throws(() => readCertificates(Buffer.from(toPem('PRIVATE KEY', Buffer.from([0x30, 0])))), /no `CERTIFICATE`/);
  assert.throws(() => readCertificates(Buffer.from(leaf.pem.repeat(21))), /20 are read at most/);
  assert.throws(
    () =>
      readCertificates(
        Buffer.from(
          toPem('CERTIFICATE', makeCertificate({ extensions: [extension('1.2.3', false, Buffer.alloc(70_000))] }, middle).der.subarray(0)),
        ),
      ),
    TypeError,
  );
  assert.equal(readRevocationLists(Buffer.from(toPem('X509 CRL', clean))).length, 1);
});
