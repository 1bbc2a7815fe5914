// `npm run bench -- certs`: CPU time of what an authority does, in one process, and of `certs issue` as a whole process. No bars: ratios
// between the parts, and figures to compare with on the same machine (`openssl speed`, `step`, when they are there).
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { signRevocations } from '../../src/certs/authority.ts';
import { makeSigningRequest } from '../../src/certs/csr.ts';
import { readCertificates, readRevocationLists } from '../../src/certs/files.ts';
import { keyPair } from '../../src/certs/key.ts';
import { encryptKey } from '../../src/certs/passphrase.ts';
import { verify } from '../../src/certs/verify.ts';
import { runCertsMethod } from '../../src/control/certs.ts';
import { openOffice } from '../../src/platform/local/office.ts';
import { Revoked } from '../../src/proxy/revoked.ts';
import { issueFor, makeTestAuthority, service } from '../support/ca.ts';
import { LAUNCHER } from '../support/cli.ts';

const ROUNDS = 5;

const cpuUs = (): number => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

/** Median of a few rounds, microseconds of CPU for each. */
function measure(what: string, times: number, work: (i: number) => unknown): number {
  for (let i = 0; i < Math.min(times, 50); i++) work(i);
  const rounds = Array.from({ length: ROUNDS }, () => {
    const start = cpuUs();
    for (let i = 0; i < times; i++) work(i);
    return (cpuUs() - start) / times;
  }).sort((a, b) => a - b);
  const median = rounds[ROUNDS >> 1] ?? 0;
  print(what, median);
  return median;
}

function print(what: string, us: number): void {
  process.stdout.write(`  ${what.padEnd(62)} ${us < 1000 ? `${us.toPrecision(3)} µs` : `${(us / 1000).toPrecision(3)} ms`}\n`);
}

const home = mkdtempSync(join(tmpdir(), 'meshctl-bench-'));
const authority = makeTestAuthority();
const { privateKey, publicKey } = keyPair();
const request = makeSigningRequest(privateKey, publicKey).toString('base64');

process.stdout.write('CPU for one\n');
measure('key pair (P-256)', 2000, () => keyPair());
measure('signing request', 2000, () => makeSigningRequest(privateKey, publicKey));
const signed = measure('leaf: DER and signature', 1000, () =>
  authority.authority.issue({ kind: 'peer', id: service('web') }, publicKey, 60_000, Date.now()),
);
const { office, close } = await openOffice(join(home, 'ca'), { trustDomain: 'bench.example' });
const desk = { office, mesh: undefined };
const issued = measure('certs.issue: request read, leaf, row on disk (fsync)', 200, () =>
  runCertsMethod(desk, 'certs.issue', { name: 'web', request }),
);
print('  of which not the leaf', issued - signed);
measure('certs.list with what was issued so far', 5, () => runCertsMethod(desk, 'certs.list', null));
measure('following the chain of the record, a row', 1, () => office.record.broken());
process.stdout.write(`  (${office.record.head().id} rows)\n`);

const { chain } = issueFor(authority, service('web'));
const [leaf, ...rest] = readCertificates(Buffer.from(chain));
const roots = readCertificates(Buffer.from(authority.files.rootCertificate));
measure('certs verify: chain read', 500, () => readCertificates(Buffer.from(chain)));
if (leaf !== undefined)
  measure('certs verify: path validated', 500, () =>
    verify({ leaf, intermediates: rest, roots, revocations: [], atMs: Date.now(), purpose: 'any', profile: 'spiffe' }),
  );
for (const count of [100, 10_000]) {
  const revoked = Array.from({ length: count }, (_, i) => ({
    serial: (0x40_00_00_00 + i).toString(16).padStart(32, '4'),
    atMs: Date.now(),
    reason: 'keyCompromise' as const,
  }));
  const key = authority.created.keys.get('peer-1');
  if (key === undefined) throw new Error('no key');
  const sign = (): Buffer =>
    signRevocations(authority.files.intermediateCertificate, key, {
      number: 1,
      thisUpdateMs: Date.now(),
      nextUpdateMs: Date.now() + 1000,
      revoked,
    });
  measure(`list of ${count} revocations: signed`, count > 1000 ? 3 : 50, sign);
  const list = sign();
  measure(`list of ${count} revocations: read`, count > 1000 ? 3 : 50, () => readRevocationLists(list));
  const held = new Revoked();
  held.use({ serials: revoked.map(({ serial }) => serial), identities: [], issuers: [] });
  const peer = { id: service('web'), printed: 'spiffe://test.mesh/ns/default/sa/web', serial: 'ab', notAfterMs: 0, issuer: 'cd' };
  measure(`a proxy's question among ${count}`, 200_000, () => held.has(peer));
}
measure('root key encrypted (600,000 rounds)', 2, () => encryptKey(privateKey, 'correct horse battery'));
close();

process.stdout.write('a whole process\n');
writeFileSync(join(home, 'names'), Array.from({ length: 500 }, (_, i) => `s${i}`).join('\n'));
const issue = (...args: string[]): number => {
  const before = childUs();
  execFileSync(process.execPath, [LAUNCHER, 'certs', 'issue', '--dir', join(home, 'ca'), '--out', join(home, 'out'), ...args], {
    stdio: 'ignore',
  });
  return childUs() - before;
};
const one = [1, 2, 3].map(() => issue('web')).sort((a, b) => a - b)[1] ?? 0;
print('certs issue, one name', one);
print('certs issue, 500 names: each', issue('--from', join(home, 'names')) / 500);
rmSync(home, { recursive: true });

/** CPU of children that have ended: the shell's `times` is not at hand, /proc is. */
function childUs(): number {
  const fields = readFileSync('/proc/self/stat', 'latin1').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[13]) + Number(fields[14])) * 10_000;
}
