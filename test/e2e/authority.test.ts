// An authority without a mesh, as an operator keeps it for years: made, used, renewed, moved, backed up, and asked for things it must refuse.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, existsSync, readdirSync, readFileSync, realpathSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readPkcs12 } from '../../src/certs/containers.ts';
import { LAUNCHER, pairWorkplace, type Result, Workplace } from '../support/cli.ts';
import { listen } from '../support/test-mesh.ts';

const place = new Workplace();
after(() => place[Symbol.asyncDispose]());
place.write('pass', 'correct horse battery\n');
place.write('other-pass', 'something else\n');
const certs = (...args: string[]): Promise<Result> => place.run(['certs', ...args]);
const at = (...parts: string[]): string => join(place.directory, ...parts);
const HAS_OPENSSL = (() => {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();
const OPENSSL = { skip: !HAS_OPENSSL && 'openssl is not here' };
const openssl = (...args: string[]): string =>
  execFileSync('openssl', args, { cwd: place.directory, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

async function ok(...args: string[]): Promise<Result> {
  const result = await certs(...args);
  assert.equal(result.code, 0, `${args.join(' ')}: ${result.stderr}`);
  return result;
}

async function init(name: string, ...more: string[]): Promise<void> {
  await ok('init', '--dir', name, '--trust-domain', 'shop.example', '--passphrase-file', 'pass', ...more);
}

test('is made with its root key encrypted, and openssl can open that', OPENSSL, async () => {
  await init('plain');
  assert.deepEqual(readdirSync(at('plain')).sort(), [
    'authority.json',
    'edge-1-key.pem',
    'edge-1.pem',
    'peer-1-key.pem',
    'peer-1.pem',
    'root-1-key.pem',
    'root-1.crl',
    'root-1.pem',
  ]);
  assert.equal(statSync(at('plain')).mode & 0o777, 0o700);
  for (const file of readdirSync(at('plain')).filter((each) => each.includes('-key')))
    assert.equal(statSync(at('plain', file)).mode & 0o777, 0o600);
  assert.match(readFileSync(at('plain/root-1-key.pem'), 'utf8'), /BEGIN ENCRYPTED PRIVATE KEY/);
  openssl('pkey', '-in', 'plain/root-1-key.pem', '-passin', 'file:pass', '-noout');
  assert.throws(() => openssl('pkey', '-in', 'plain/root-1-key.pem', '-passin', 'file:other-pass', '-noout'));
  const structure = openssl('asn1parse', '-in', 'plain/root-1-key.pem');
  assert.match(structure, /PBES2[\s\S]*PBKDF2[\s\S]*INTEGER +:0927C0[\s\S]*hmacWithSHA256[\s\S]*aes-256-cbc/, '600,000 rounds');
});

for (const type of ['p256', 'p384', 'rsa2048', 'ed25519'])
  test(`an authority with ${type} keys issues what openssl accepts under its strict rules`, OPENSSL, async () => {
    await init(`kty-${type}`, '--key-type', type, '--name-constraints');
    await ok('issue', 'web', '--dir', `kty-${type}`, '--out', `out-${type}`, '--key-type', type);
    await ok(
      'issue',
      'gate',
      '--kind',
      'server',
      '--dns',
      'shop.example.com',
      '--ip',
      '2001:db8::7',
      '--dir',
      `kty-${type}`,
      '--out',
      `out-${type}`,
    );
    for (const [name, signer] of [
      ['web', 'peer-1'],
      ['gate', 'edge-1'],
    ] as const) {
      const verified = openssl(
        'verify',
        '-x509_strict',
        '-CAfile',
        `kty-${type}/root-1.pem`,
        '-untrusted',
        `kty-${type}/${signer}.pem`,
        `out-${type}/${name}/leaf.pem`,
      );
      assert.match(verified, /OK/);
    }
    await ok('crl', '--dir', `kty-${type}`, '--out', `crl-${type}`);
    for (const name of ['root-1', 'peer-1', 'edge-1'])
      assert.match(
        execFileSync(
          'openssl',
          ['crl', '-inform', 'DER', '-in', `crl-${type}/${name}.crl`, '-CAfile', `kty-${type}/${name}.pem`, '-noout', '-text'],
          {
            cwd: place.directory,
            encoding: 'utf8',
          },
        ),
        /CRL Number/,
      );
    const lists = ['root-1', 'peer-1'].flatMap((name) => ['--crl', `crl-${type}/${name}.crl`]);
    const verdict = await certs('verify', `out-${type}/web/chain.pem`, '--roots', `kty-${type}/root-1.pem`, ...lists);
    assert.equal(verdict.code, 0, verdict.stdout);
  });

test('an SVID below the intermediate for servers is refused by openssl and by us: it may not name the trust domain', OPENSSL, async () => {
  await init('edge');
  const state = JSON.parse(readFileSync(at('edge/authority.json'), 'utf8'));
  // Whoever has the other intermediate's key signs what it is not for.
  writeFileSync(at('edge/authority.json'), JSON.stringify({ ...state, signers: { peer: 'edge-1', edge: 'edge-1' } }));
  await ok('issue', 'web', '--dir', 'edge', '--out', 'edge-out');
  assert.throws(
    () => openssl('verify', '-CAfile', 'edge/root-1.pem', '-untrusted', 'edge/edge-1.pem', 'edge-out/web/leaf.pem'),
    /excluded subtree/,
  );
  const verdict = await certs('verify', 'edge-out/web/chain.pem', '--roots', 'edge/root-1.pem');
  assert.equal(verdict.code, 1);
  assert.match(verdict.stdout, /name-constraints/);
});

test("the root's key is written out and not kept; rotating asks for it", async () => {
  await init('apart', '--root-offline', 'root-apart.pem');
  assert.equal(existsSync(at('apart/root-1-key.pem')), false);
  assert.equal(statSync(at('root-apart.pem')).mode & 0o777, 0o600);
  await ok('issue', 'web', '--dir', 'apart', '--out', 'apart-out');
  const without = await certs('rotate', 'intermediate', '--dir', 'apart', '--passphrase-file', 'pass');
  assert.deepEqual([without.code, /kept elsewhere/.test(without.stderr)], [2, true]);
  await ok('rotate', 'intermediate', '--dir', 'apart', '--root-key', 'root-apart.pem', '--passphrase-file', 'pass');
  const again = await certs(
    'init',
    '--dir',
    'apart2',
    '--trust-domain',
    'shop.example',
    '--passphrase-file',
    'pass',
    '--root-offline',
    'root-apart.pem',
  );
  assert.deepEqual([again.code, /FILE_EXISTS/.test(again.stderr)], [1, true], 'a key is never overwritten');
  const next = await certs('rotate', 'root', '--dir', 'apart', '--passphrase-file', 'pass');
  assert.deepEqual([next.code, /--root-offline/.test(next.stderr)], [2, true]);
  await ok('rotate', 'root', '--dir', 'apart', '--passphrase-file', 'pass', '--root-offline', 'root-apart-2.pem', '--accept-loss');
});

test('a root that somebody else made signs: by its key, from PKCS#12, or by requests that its holder signs', OPENSSL, async () => {
  openssl(
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    'company.key',
    '-out',
    'company.pem',
    '-days',
    '30',
    '-subj',
    '/O=Company/CN=Company Root',
  );
  chmodSync(at('company.key'), 0o600);
  await ok('init', '--dir', 'own1', '--trust-domain', 'shop.example', '--root-cert', 'company.pem', '--root-key', 'company.key');
  assert.equal(existsSync(at('own1/root-1-key.pem')), false);
  openssl('pkcs12', '-export', '-inkey', 'company.key', '-in', 'company.pem', '-passout', 'file:pass', '-out', 'company.p12');
  await ok('init', '--dir', 'own2', '--trust-domain', 'shop.example', '--root-p12', 'company.p12', '--passphrase-file', 'pass');
  await ok('init', '--dir', 'own3', '--trust-domain', 'shop.example', '--root-cert', 'company.pem', '--csr', 'requests');
  place.write(
    'ca.cnf',
    'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n',
  );
  for (const name of ['peer-1', 'edge-1'])
    openssl(
      'x509',
      '-req',
      '-in',
      `requests/${name}.csr`,
      '-CA',
      'company.pem',
      '-CAkey',
      'company.key',
      '-CAcreateserial',
      '-days',
      '20',
      '-extfile',
      'ca.cnf',
      '-out',
      `${name}.signed`,
    );
  const early = await certs('issue', 'web', '--dir', 'own3', '--out', 'own3-out');
  assert.deepEqual([early.code, /CA_NONE/.test(early.stderr)], [3, true]);
  await ok(
    'init',
    '--dir',
    'own3',
    '--trust-domain',
    'shop.example',
    '--intermediate-cert',
    'peer-1.signed',
    '--intermediate-cert',
    'edge-1.signed',
  );
  for (const own of ['own1', 'own2', 'own3']) {
    await ok('issue', 'web', '--dir', own, '--out', `${own}-out`);
    const verdict = await certs('verify', `${own}-out/web/chain.pem`, '--roots', 'company.pem');
    assert.equal(verdict.code, 0, `${own}: ${verdict.stdout}`);
  }
});

for (const [title, args, code, says] of [
  ['no trust domain', ['init', '--dir', 'x'], 2, /for which trust domain/],
  ['a trust domain that is none', ['init', '--dir', 'x', '--trust-domain', 'Shop'], 2, /no trust domain/],
  ['constraints on what is no DNS name', ['init', '--dir', 'x', '--trust-domain', 'a_b', '--name-constraints'], 2, /must be a DNS name/],
  ['no passphrase and no terminal', ['init', '--dir', 'x', '--trust-domain', 'shop.example'], 2, /no terminal/],
  [
    'a passphrase that is too short',
    ['init', '--dir', 'x', '--trust-domain', 'shop.example', '--passphrase-file', 'short'],
    2,
    /at least 8/,
  ],
  ['an empty passphrase file', ['init', '--dir', 'x', '--trust-domain', 'shop.example', '--passphrase-file', 'empty'], 2, /is empty/],
  [
    'a key type that is weak',
    ['init', '--dir', 'x', '--trust-domain', 'shop.example', '--key-type', 'rsa1024', '--passphrase-file', 'pass'],
    2,
    /not known/,
  ],
  ['a root without its key', ['init', '--dir', 'x', '--trust-domain', 'shop.example', '--root-cert', 'leafish.pem'], 2, /wants its key/],
  [
    'a root that is a workload',
    ['init', '--dir', 'x', '--trust-domain', 'shop.example', '--root-cert', 'leafish.pem', '--root-key', 'leafish.key'],
    2,
    /no authority/,
  ],
  ['requests without a root', ['init', '--dir', 'x', '--trust-domain', 'shop.example', '--csr', 'y'], 2, /wants the root/],
  [
    'an intermediate that nobody asked for',
    ['init', '--dir', 'x', '--trust-domain', 'shop.example', '--intermediate-cert', 'leafish.pem'],
    2,
    /no key waits/,
  ],
  ['one that is there', ['init', '--dir', 'there', '--trust-domain', 'shop.example', '--passphrase-file', 'pass'], 1, /CA_EXISTS/],
  ['a directory without an authority', ['issue', 'web', '--dir', 'x', '--out', 'y'], 3, /CA_NONE/],
  ['a peer with a DNS name', ['issue', 'web', '--dir', 'there', '--dns', 'a.example', '--out', 'y'], 2, /for `--kind server`/],
  ['a server without a name', ['issue', 'gate', '--kind', 'server', '--dir', 'there', '--out', 'y'], 2, /wants a name/],
  [
    'a DNS name with capitals',
    ['issue', 'gate', '--kind', 'server', '--dns', 'A.example', '--dir', 'there', '--out', 'y'],
    2,
    /no DNS name/,
  ],
  [
    'an address with a port',
    ['issue', 'gate', '--kind', 'server', '--ip', '10.0.0.1:80', '--dir', 'there', '--out', 'y'],
    2,
    /no IP address/,
  ],
  ['a kind that is none', ['issue', 'web', '--kind', 'ca', '--dir', 'there', '--out', 'y'], 2, /peer, server, client, ingress/],
  [
    'an id of another trust domain',
    ['issue', 'spiffe://other.example/ns/default/sa/web', '--dir', 'there', '--out', 'y'],
    2,
    /ask the authority of that domain/,
  ],
  ['a life that is too short', ['issue', 'web', '--ttl', '4s', '--dir', 'there', '--out', 'y'], 2, /under 5s/],
  ['nobody', ['issue', '--dir', 'there', '--out', 'y'], 2, /for whom/],
  ['a layout that is none', ['issue', 'web', '--layout', 'nginx', '--dir', 'there', '--out', 'y'], 2, /meshctl, tls, spiffe-helper/],
  ['a request that is none', ['issue', 'web', '--csr', 'pass', '--dir', 'there'], 2, /holds no `CERTIFICATE REQUEST`/],
  ['a leaf to rotate without a mesh', ['rotate', 'leaf', '--dir', 'there'], 3, /no mesh is running/],
  ['the wrong passphrase', ['rotate', 'intermediate', '--dir', 'there', '--passphrase-file', 'other-pass'], 2, /does not open/],
  ['a serial that was never given', ['revoke', 'ab'.repeat(16), '--dir', 'there'], 1, /CERT_UNKNOWN/],
  ['a reason that is none', ['revoke', 'web', '--reason', 'bored', '--dir', 'there'], 2, /keyCompromise/],
  ['a renewal of nothing', ['renew', 'gone', '--dir', 'there'], 2, /no such file/],
  ['a signal without a process', ['renew', 'there', '--signal', 'HUP', '--dir', 'there'], 2, /belong together/],
  ['a backup that is none', ['restore', 'pass', '--dir', 'x', '--passphrase-file', 'pass'], 2, /no backup/],
  ['a restore over one that is there', ['restore', 'pass', '--dir', 'there', '--passphrase-file', 'pass'], 1, /CA_EXISTS/],
] as const)
  test(`${title}: exit ${code}, and nothing is made`, async () => {
    place.write('short', 'hunter2\n');
    place.write('empty', '\n');
    if (!existsSync(at('there'))) await init('there');
    if (!existsSync(at('leafish.pem'))) {
      await ok('issue', 'leafish', '--dir', 'there', '--out', 'leafish-out');
      place.write('leafish.pem', readFileSync(at('leafish-out/leafish/leaf.pem'), 'utf8'));
      place.write('leafish.key', readFileSync(at('leafish-out/leafish/key.pem'), 'utf8'));
      chmodSync(at('leafish.key'), 0o600);
    }
    const result = await certs(...args);
    assert.equal(result.code, code, result.stdout + result.stderr);
    assert.match(result.stderr, says);
    assert.doesNotMatch(result.stdout + result.stderr, /PRIVATE KEY-----|correct horse|something else/);
    assert.equal(existsSync(at('x', 'authority.json')), false);
    assert.equal(existsSync(at('y')), false);
  });

test('a request is signed for what it is; what the profile forbids is refused with the rule', OPENSSL, async () => {
  await init('csr');
  const request = (name: string, ...more: string[]): void => {
    openssl(
      'req',
      '-new',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
      '-subj',
      '/CN=x',
      ...more.flatMap((each) => ['-addext', each]),
    );
  };
  request('good', 'subjectAltName=URI:spiffe://shop.example/ns/default/sa/pay');
  const { stdout } = await ok('issue', '--csr', 'good.csr', '--dir', 'csr');
  assert.equal(new X509Certificate(stdout).subjectAltName, 'URI:spiffe://shop.example/ns/default/sa/pay');
  for (const [name, extensions, args, says] of [
    [
      'two',
      ['subjectAltName=URI:spiffe://shop.example/ns/default/sa/pay,URI:spiffe://shop.example/ns/default/sa/web'],
      ['pay'],
      /svid-uri: .*more than one URI/,
    ],
    ['other', ['subjectAltName=URI:spiffe://shop.example/ns/default/sa/web'], ['pay'], /svid-uri: the request asks for .*web/],
    ['dns', ['subjectAltName=URI:spiffe://shop.example/ns/default/sa/pay,DNS:pay.example'], ['pay'], /svid-uri: .*DNS/],
    ['mail', ['subjectAltName=email:a@b.example'], ['pay'], /svid-uri: .*e-mail/],
    ['ca', ['basicConstraints=CA:TRUE'], ['pay'], /svid-ca/],
    [
      'uri',
      ['subjectAltName=URI:spiffe://shop.example/ns/default/sa/pay,DNS:pay.example'],
      ['pay', '--kind', 'server'],
      /svid-uri: .*no URI/,
    ],
  ] as const) {
    request(name, ...extensions);
    const result = await certs('issue', ...args, '--csr', `${name}.csr`, '--dir', 'csr');
    assert.equal(result.code, 1, `${name}: ${result.stderr}`);
    assert.match(result.stderr, says, name);
  }
  openssl('req', '-new', '-newkey', 'rsa:1024', '-nodes', '-keyout', 'weak.key', '-out', 'weak.csr', '-subj', '/CN=x');
  assert.match((await certs('issue', 'pay', '--csr', 'weak.csr', '--dir', 'csr')).stderr, /weak-key/);
});

test('many names in one go, each with its own key, and no name touches the files of another', async () => {
  await init('many');
  place.write('names', '# services\nweb\nshop/api\nspiffe://shop.example/ns/default/sa/pay\n');
  await ok('issue', 'shop', '--from', 'names', '--dir', 'many', '--out', 'many-out');
  for (let i = 0; i < 3; i++) await ok('issue', 'shop', '--dir', 'many', '--out', 'many-out');
  const keys = ['shop', 'web', 'shop.api', 'pay'].map((name) => readFileSync(at('many-out', name, 'key.pem'), 'utf8'));
  assert.equal(new Set(keys).size, 4);
});

test('renews when it is due, keeps the key unless asked, and says which of the outcomes it was', async () => {
  await init('renew');
  await ok('issue', 'web', '--dir', 'renew', '--out', 'renew-out', '--layout', 'spiffe-helper');
  const file = (name: string): string => readFileSync(at('renew-out/web', name), 'utf8');
  const before = { key: file('svid_key.pem'), chain: file('svid.pem') };
  const early = await ok('renew', 'renew-out/web', '--dir', 'renew', '-o', 'json');
  assert.equal(JSON.parse(early.stdout).outcome, 'not-due');
  assert.equal((await certs('renew', 'renew-out/web', '--dir', 'renew', '--error-unchanged')).code, 1);
  assert.equal(file('svid.pem'), before.chain);
  await ok(
    'renew',
    'renew-out/web',
    '--dir',
    'renew',
    '--force',
    '--exec',
    `${process.execPath} -e "require('fs').writeFileSync('ran','x')"`,
  );
  assert.equal(existsSync(at('ran')), true);
  assert.notEqual(file('svid.pem'), before.chain);
  assert.equal(file('svid_key.pem'), before.key);
  await ok('renew', 'renew-out/web', '--dir', 'renew', '--force', '--rekey');
  assert.notEqual(file('svid_key.pem'), before.key);
  assert.ok(new X509Certificate(file('svid.pem')).checkPrivateKey(createPrivateKey(file('svid_key.pem'))));
  const failed = await certs('renew', 'renew-out/web', '--dir', 'renew', '--force', '--exec', 'no-such-program');
  assert.deepEqual([failed.code, /renewed, but/.test(failed.stderr)], [1, true]);
  const chain = file('svid.pem');
  assert.equal((await certs('renew', 'renew-out/web', '--dir', 'nowhere', '--force')).code, 3);
  assert.equal(file('svid.pem'), chain, 'the old one stays');
  const { items } = JSON.parse((await ok('list', '--dir', 'renew', '-o', 'json')).stdout) as { items: { serial: string }[] };
  assert.equal(items.length, 1, 'what was replaced is not held any more');
  await ok('revoke', items[0]?.serial ?? '', '--dir', 'renew', '--reason', 'keyCompromise');
  const revoked = await certs('renew', 'renew-out/web', '--dir', 'renew', '--force');
  assert.deepEqual([revoked.code, /CERT_REVOKED/.test(revoked.stderr)], [1, true]);
  await ok('revoke', 'web', '--dir', 'renew');
  assert.match((await certs('issue', 'web', '--dir', 'renew', '--out', 'renew-out')).stderr, /CERT_BLOCKED/);
  await ok('allow', 'web', '--dir', 'renew');
  await ok('issue', 'web', '--dir', 'renew', '--out', 'renew-out2');
});

test('twenty processes at once: every certificate is on record once, and the chain of the record is whole', async () => {
  await init('crowd');
  const results = await Promise.all(
    Array.from({ length: 20 }, (_, i) => certs('issue', `s${i % 5}`, '--dir', 'crowd', '--out', `crowd-out/${i}`)),
  );
  assert.deepEqual(
    results.map(({ code }) => code),
    Array.from({ length: 20 }, () => 0),
  );
  const { rows, check } = JSON.parse((await ok('log', '--dir', 'crowd', '--kind', 'issued', '--check', '-o', 'json')).stdout);
  assert.equal(new Set(rows.map((row: { issued: { serial: string } }) => row.issued.serial)).size, 20);
  assert.equal(check.whole, true);
});

test('a backup brings everything back, is encrypted, and is refused when it was touched', async () => {
  await init('keep');
  await ok('issue', 'web', '--dir', 'keep', '--out', 'keep-out');
  await ok('backup', 'keep.age', '--dir', 'keep', '--passphrase-file', 'pass');
  const bytes = readFileSync(at('keep.age'));
  assert.equal(statSync(at('keep.age')).mode & 0o777, 0o600);
  assert.match(bytes.toString('latin1'), /^age-encryption\.org\/v1\n/);
  assert.ok(!bytes.includes('PRIVATE KEY') && !bytes.includes('shop.example'));
  assert.equal((await certs('backup', 'keep.age', '--dir', 'keep', '--passphrase-file', 'pass')).code, 1, 'not overwritten');
  await ok('restore', 'keep.age', '--dir', 'kept', '--passphrase-file', 'pass');
  for (const file of readdirSync(at('keep')).filter((each) => each.endsWith('.pem')))
    assert.equal(readFileSync(at('kept', file), 'utf8'), readFileSync(at('keep', file), 'utf8'), file);
  const log = (name: string): Promise<Result> => ok('log', '--dir', name, '-o', 'json', '--kind', 'issued');
  assert.deepEqual(JSON.parse((await log('kept')).stdout).rows, JSON.parse((await log('keep')).stdout).rows);
  await ok('issue', 'web', '--dir', 'kept', '--out', 'kept-out');
  assert.equal((await certs('restore', 'keep.age', '--dir', 'kept2', '--passphrase-file', 'other-pass')).code, 2);
  const broken = Buffer.from(bytes);
  broken[broken.length - 40] = (broken[broken.length - 40] ?? 0) ^ 1;
  writeFileSync(at('broken.age'), broken);
  assert.equal((await certs('restore', 'broken.age', '--dir', 'kept2', '--passphrase-file', 'pass')).code, 2);
  assert.equal(existsSync(at('kept2')), false);
  await ok('restore', 'keep.age', '--dir', 'kept', '--passphrase-file', 'pass', '--force');
  assert.equal(readdirSync(place.directory).filter((name) => name.startsWith('kept.')).length, 1, 'the one before is beside it');
});

test('a backup with other files in it writes none of them', async () => {
  const { Encrypter } = await import('age-encryption');
  const { createTar } = await import('nanotar');
  for (const name of ['../evil', '/tmp/evil', 'authority.json/../../evil', 'evil', 'root-1-key.pem.bak']) {
    const encrypter = new Encrypter();
    encrypter.setPassphrase('correct horse battery');
    encrypter.setScryptWorkFactor(10);
    writeFileSync(
      at('evil.age'),
      await encrypter.encrypt(
        createTar([
          { name, data: 'x' },
          { name: 'authority.json', data: '{}' },
          { name: 'record.db', data: '' },
        ]),
      ),
    );
    const result = await certs('restore', 'evil.age', '--dir', 'evil-dir', '--passphrase-file', 'pass');
    assert.deepEqual([result.code, /BACKUP/.test(result.stderr)], [2, true], name);
    assert.equal(existsSync(at('evil-dir')), false);
    assert.equal(existsSync(at('evil')), false);
  }
});

test('PKCS#12 goes to openssl and comes back, PKCS#7 too', OPENSSL, async () => {
  await init('box');
  await ok('issue', 'web', '--dir', 'box', '--out', 'box-out');
  await ok('export', 'box-out/web', '--out', 'web.p12', '--passphrase-file', 'pass');
  const text = openssl('pkcs12', '-in', 'web.p12', '-passin', 'file:pass', '-nodes');
  assert.equal(text.match(/BEGIN CERTIFICATE/g)?.length, 2);
  assert.match(text, /friendlyName: web/);
  const { keys } = readPkcs12(readFileSync(at('web.p12')), 'correct horse battery');
  assert.equal(keys[0], readFileSync(at('box-out/web/key.pem'), 'utf8'));
  await ok('export', 'box-out/web', '--to', 'p7b', '--out', 'web.p7b');
  assert.equal(openssl('pkcs7', '-inform', 'DER', '-in', 'web.p7b', '-print_certs').match(/BEGIN CERTIFICATE/g)?.length, 2);
  assert.equal((await certs('export', 'box-out/web', '--out', 'web.p12', '--passphrase-file', 'pass')).code, 1);
  const short = await ok('inspect', 'web.p12', 'web.p7b', '--short', '--passphrase-file', 'pass');
  assert.equal(short.stdout.match(/spiffe:\/\/shop\.example\/ns\/default\/sa\/web/g)?.length, 2);
  const wrong = await certs('inspect', 'web.p12', '--passphrase-file', 'other-pass');
  assert.deepEqual([wrong.code, /the passphrase does not open it/.test(wrong.stderr)], [2, true]);
});

test('keys that others can read are refused with the command that mends it', async () => {
  await init('open');
  chmodSync(at('open/peer-1-key.pem'), 0o640);
  const result = await certs('issue', 'web', '--dir', 'open', '--out', 'open-out');
  assert.equal(result.code, 2);
  assert.match(result.stderr, /CA_KEY_MODE[\s\S]*chmod 600 .*peer-1-key\.pem/);
});

test('bundles of other trust domains are set, fetched, refreshed and taken away; older ones and strange ones are refused', async () => {
  await init('home');
  await ok('init', '--dir', 'away', '--trust-domain', 'partner.example', '--insecure-no-passphrase');
  place.write('partner.json', (await ok('bundle', '--dir', 'away', '-o', 'spiffe')).stdout);
  place.write('own.json', (await ok('bundle', '--dir', 'home', '-o', 'spiffe')).stdout);
  await ok('bundle', 'set', 'partner.example', 'partner.json', '--dir', 'home');
  assert.equal((await ok('bundle', 'show', 'partner.example', '--dir', 'home')).stdout, readFileSync(at('away/root-1.pem'), 'utf8'));
  await ok('rotate', 'root', '--dir', 'away', '--step');
  const newer = JSON.parse((await ok('bundle', '--dir', 'away', '-o', 'spiffe')).stdout);
  assert.equal(newer.keys.length, 2);
  let body = JSON.stringify({ ...newer, keys: [...newer.keys, { kty: 'XX', use: 'jwt-svid' }, { kty: 'EC', use: 'x509-svid', x5c: [] }] });
  let status = 200;
  await ok('issue', 'localhost', '--kind', 'server', '--dns', 'localhost', '--dir', 'away', '--out', 'away-out');
  const read = (file: string): Buffer => readFileSync(at('away-out/localhost', file));
  const server = createServer({ key: read('key.pem'), cert: read('chain.pem') }, (_request, response) => {
    response.writeHead(status, { location: 'https://elsewhere.example/' });
    response.end(body);
  });
  const port = await listen(server);
  const env = { NODE_EXTRA_CA_CERTS: at('away/root-1.pem') };
  const bundle = (...args: string[]): Promise<Result> => place.run(['certs', 'bundle', ...args, '--dir', 'home'], { env });
  const set = await bundle('set', 'partner.example', '--endpoint', `https://localhost:${port}/bundle.json`);
  assert.equal(set.code, 0, set.stderr);
  assert.match(set.stdout, /2 roots, sequence 2/);
  const listed = JSON.parse((await bundle('list', '-o', 'json')).stdout).items[0];
  assert.deepEqual([listed.trustDomain, listed.roots, listed.sequence, listed.due], ['partner.example', 2, 2, false]);
  assert.equal((await bundle('refresh')).code, 0);
  for (const [what, code, says] of [
    [() => (body = JSON.stringify({ ...newer, spiffe_sequence: 1 })), 1, /older \(sequence 1\)/],
    [() => (body = JSON.stringify({ keys: [], spiffe_sequence: 9 })), 2, /no root/],
    [
      () => (body = readFileSync(at('own.json'), 'utf8').replace('"spiffe_sequence": 1', '"spiffe_sequence": 9')),
      2,
      /that of spiffe:\/\/shop\.example/,
    ],
    [() => (body = 'nothing'), 3, /no JSON/],
    [() => (body = '{"keys": 1}'), 3, /no list/],
    [
      () =>
        (body = JSON.stringify({
          ...newer,
          keys: [{ use: 'x509-svid', x5c: [new X509Certificate(read('leaf.pem')).raw.toString('base64')] }],
        })),
      3,
      /no authority/,
    ],
    [() => (status = 302), 3, /answers 302/],
  ] as const) {
    what();
    const result = await bundle('refresh', 'partner.example');
    assert.equal(result.code, code, result.stderr);
    assert.match(result.stderr, says);
  }
  assert.match(
    (await place.run(['certs', 'bundle', 'refresh', '--dir', 'home'])).stderr,
    /cannot be fetched/,
    'nobody vouches for that server',
  );
  assert.equal(JSON.parse((await bundle('list', '-o', 'json')).stdout).items[0].sequence, 2, 'what was there stays');
  for (const args of [
    ['set', 'Partner', 'partner.json'],
    ['set', 'shop.example', 'own.json'],
    ['set', 'partner.example'],
    ['set', 'partner.example', 'pass'],
    ['set', 'partner.example', '--endpoint', 'http://localhost/'],
    ['set', 'partner.example', 'partner.json', '--endpoint-id', 'spiffe://x/y'],
  ])
    assert.equal((await bundle(...args)).code, 2, args.join(' '));
  assert.equal((await bundle('delete', 'partner.example')).code, 0);
  assert.equal((await bundle('delete', 'partner.example')).code, 1);
  server.close();
});

test('an endpoint that proves a SPIFFE id is believed by the bundle that is there, and by nothing else', async () => {
  await ok('init', '--dir', 'spiffe-away', '--trust-domain', 'partner.example', '--insecure-no-passphrase');
  await init('spiffe-home');
  await ok('issue', 'endpoint', 'impostor', '--dir', 'spiffe-away', '--out', 'spiffe-out');
  const bundle = (...args: string[]): Promise<Result> => certs('bundle', ...args, '--dir', 'spiffe-home');
  place.write('spiffe.json', (await ok('bundle', '--dir', 'spiffe-away', '-o', 'spiffe')).stdout);
  const serveAs = async (name: string): Promise<{ port: number; close: () => void }> => {
    const read = (file: string): Buffer => readFileSync(at('spiffe-out', name, file));
    const server = createServer({ key: read('key.pem'), cert: read('chain.pem') }, (_request, response) =>
      response.end(readFileSync(at('spiffe.json'))),
    );
    return { port: await listen(server), close: () => void server.close() };
  };
  for (const [name, code] of [
    ['endpoint', 0],
    ['impostor', 3],
  ] as const) {
    const { port, close } = await serveAs(name);
    await bundle(
      'set',
      'partner.example',
      'spiffe.json',
      '--endpoint',
      `https://127.0.0.1:${port}/`,
      '--endpoint-id',
      'spiffe://partner.example/ns/default/sa/endpoint',
    );
    const result = await bundle('refresh');
    assert.equal(result.code, code, result.stderr);
    close();
  }
});

test('the daemon renews again and again, and keeps what it has while the authority is away', async () => {
  await init('daemon');
  await ok('issue', 'web', '--dir', 'daemon', '--out', 'daemon-out', '--ttl', '5s');
  const chain = (): string => readFileSync(at('daemon-out/web/chain.pem'), 'utf8');
  const serial = (): string => new X509Certificate(chain()).serialNumber;
  const child = spawn(
    process.execPath,
    [LAUNCHER, 'certs', 'renew', 'daemon-out/web', '--daemon', '--rekey', '--dir', 'daemon', '-o', 'json'],
    {
      cwd: place.directory,
      env: place.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let [out, err] = ['', ''];
  child.stdout.on('data', (bytes: Buffer) => {
    out += bytes.toString();
  });
  child.stderr.on('data', (bytes: Buffer) => {
    err += bytes.toString();
  });
  const until = async (what: string, holds: () => boolean): Promise<void> => {
    const end = Date.now() + 20_000;
    while (!holds()) {
      if (Date.now() > end) assert.fail(`not in time: ${what}: ${err}`);
      await new Promise((done) => setTimeout(done, 10));
      // One link, one version: whoever looks it up once never sees a key beside another's certificate.
      const version = realpathSync(at('daemon-out/web'));
      const pair = [readFileSync(join(version, 'chain.pem')), readFileSync(join(version, 'key.pem'))] as const;
      assert.ok(new X509Certificate(pair[0]).checkPrivateKey(createPrivateKey(pair[1])));
    }
  };
  const first = serial();
  await until('a renewal', () => serial() !== first);
  const second = serial();
  await until('another', () => serial() !== second);
  renameSync(at('daemon'), at('daemon-away'));
  await until('a failure', () => /not renewed: .*CA_NONE|not renewed: there is no authority/.test(err));
  const kept = serial();
  renameSync(at('daemon-away'), at('daemon'));
  await until('one after that', () => serial() !== kept);
  child.kill('SIGTERM');
  const [code] = (await once(child, 'exit')) as [number];
  assert.equal(code, 0);
  for (const line of out.trim().split('\n')) assert.equal(JSON.parse(line).outcome, 'renewed');
  assert.match(err, /tried again in \d+s; the certificate (?:ends in|HAS EXPIRED)/);
});

test('no command prints a private key that was not asked for, in any form', async () => {
  await init('quiet');
  await ok('issue', 'web', '--dir', 'quiet', '--out', 'quiet-out');
  const secrets = [
    ...['peer-1', 'edge-1', 'root-1'].map((name) => readFileSync(at('quiet', `${name}-key.pem`), 'utf8')),
    readFileSync(at('quiet-out/web/key.pem'), 'utf8'),
  ].map((pem) => pem.split('\n')[1] ?? pem);
  const commands = [
    ['issue', 'api', '--dir', 'quiet', '-o', 'json'],
    ['issue', 'api', '--dir', 'quiet', '--out', 'quiet-out2', '-o', 'json'],
    ['list', '--dir', 'quiet', '-o', 'json'],
    ['log', '--dir', 'quiet', '-o', 'json', '--check'],
    ['bundle', '--dir', 'quiet', '-o', 'spiffe'],
    ['crl', '--dir', 'quiet', '-o', 'json'],
    ['inspect', 'quiet/peer-1-key.pem', 'quiet-out/web/key.pem', 'quiet-out/web/chain.pem', '-o', 'json'],
    ['rotate', 'root', '--plan', '--dir', 'quiet', '-o', 'json'],
    ['renew', 'quiet-out/web', '--force', '--dir', 'quiet', '-o', 'json'],
    ['revoke', 'api', '--dir', 'quiet', '-o', 'json'],
    ['verify', 'quiet/peer-1-key.pem', '--roots', 'quiet/root-1.pem', '--debug'],
    ['rotate', 'intermediate', '--dir', 'quiet', '--root-key', 'quiet-out/web/key.pem', '--debug'],
    ['export', 'quiet-out/web', '--key', 'quiet/peer-1-key.pem', '--out', 'q.p12', '--passphrase-file', 'pass', '--debug'],
  ];
  for (const args of commands) {
    const { stdout, stderr } = await certs(...args);
    assert.doesNotMatch(stdout + stderr, /PRIVATE KEY-----|correct horse/, args.join(' '));
    for (const secret of secrets) assert.ok(!(stdout + stderr).includes(secret), args.join(' '));
  }
  const record = readFileSync(at('quiet/record.db')).toString('latin1');
  for (const secret of secrets) assert.ok(!record.includes(secret));
  assert.match((await ok('issue', 'asked', '--dir', 'quiet', '--print-key')).stdout, /PRIVATE KEY-----/, 'asked for, it is printed');
});

test('while a mesh runs on it, an authority is neither made anew, nor restored over, nor used past the control plane', async () => {
  await using mesh = pairWorkplace();
  mesh.write('pass', 'correct horse battery\n');
  const here = (...args: string[]): Promise<Result> => mesh.run(['certs', ...args, '--passphrase-file', 'pass']);
  assert.equal((await here('init')).code, 0);
  assert.equal((await mesh.run(['up', '-d'])).code, 0);
  assert.equal((await here('backup', 'b.age')).code, 0, 'a backup is taken while it runs');
  for (const args of [
    ['init', '--force'],
    ['restore', 'b.age', '--force'],
  ]) {
    const result = await here(...args);
    assert.deepEqual([result.code, /CA_LOCKED/.test(result.stderr)], [1, true], args.join(' '));
  }
  const past = await mesh.run(['certs', 'issue', 'web', '--dir', '.meshctl/ca', '--out', 'o']);
  assert.deepEqual([past.code, /CA_LOCKED/.test(past.stderr)], [1, true]);
  const rotated = await here('rotate', 'root');
  assert.equal(rotated.code, 0, rotated.stderr);
  const without = await mesh.run(['certs', 'rotate', 'intermediate']);
  assert.deepEqual([without.code, /is encrypted/.test(without.stderr)], [2, true], "control has no root's key to sign with");
  assert.equal((await mesh.run(['down'])).code, 0);
  assert.equal((await here('restore', 'b.age', '--force')).code, 0);
});

test("a peer's clock that is fifty seconds behind does not matter", async () => {
  await init('skew');
  await ok('issue', 'web', '--dir', 'skew', '--out', 'skew-out');
  const late = new Date(Date.now() - 50_000).toISOString();
  assert.equal((await certs('verify', 'skew-out/web/chain.pem', '--roots', 'skew/root-1.pem', '--at', late)).code, 0);
  const tooLate = new Date(Date.now() - 70_000).toISOString();
  assert.equal((await certs('verify', 'skew-out/web/chain.pem', '--roots', 'skew/root-1.pem', '--at', tooLate)).code, 1);
});
