// Works on an authority's directory until it is killed, or until its one order is done. For tests that end it at any moment.
//   argv   directory, order (init | issue | revoke | root | intermediate | loop), step at which it kills itself (0: never)
//
// A step is one write to the disk: a file, a row of the record. At the n-th the process is gone before it is done, or just after.
import { X509Certificate } from 'node:crypto';
import { readSigningRequest, signIntermediate, signRoot } from '../../src/certs/authority.ts';
import { makeSigningRequest } from '../../src/certs/csr.ts';
import { exportKey, exportSpki, keyPair, readKey } from '../../src/certs/key.ts';
import { runCertsMethod } from '../../src/control/certs.ts';
import type { AuthorityStore } from '../../src/control/office.ts';
import { type Office, Office as OfficeClass } from '../../src/control/office.ts';
import type { CertificateRecord } from '../../src/control/record.ts';
import { AuthorityFiles } from '../../src/platform/local/authority-files.ts';
import { openOffice } from '../../src/platform/local/office.ts';

const [directory = '', order = '', at = '0', side = 'before'] = process.argv.slice(2);
let steps = 0;

/** Kills the process at the step that is meant; otherwise does the work. */
function step<T>(work: () => T): T {
  steps++;
  const isMeant = steps === Number(at);
  if (isMeant && side === 'before') process.kill(process.pid, 'SIGKILL');
  const result = work();
  if (isMeant) process.kill(process.pid, 'SIGKILL');
  return result;
}

const own = { writeKey: 1, writeList: 1, append: 1 };
const counted = <T extends object>(target: T): T =>
  new Proxy(target, {
    get: (object, name) => {
      const value = Reflect.get(object, name) as unknown;
      if (typeof value !== 'function') return value;
      const call = (...args: unknown[]): unknown => (value as (...args: unknown[]) => unknown).apply(object, args);
      return name in own || name === 'save' ? (...args: unknown[]) => step(() => call(...args)) : call;
    },
  });

// Within `save` each file is a step too.
const { writeKey } = AuthorityFiles.prototype;
AuthorityFiles.prototype.writeKey = function (name, pem) {
  step(() => writeKey.call(this, name, pem));
};

const opened = await openOffice(directory, { trustDomain: 'kill.example' });
const office: Office = new OfficeClass(
  counted(opened.office.files as AuthorityStore),
  counted(opened.office.record as CertificateRecord),
  Date.now,
);
const desk = { office, mesh: undefined };

function issue(name: string): string {
  const { privateKey, publicKey } = keyPair();
  const request = makeSigningRequest(privateKey, publicKey).toString('base64');
  const { serial } = runCertsMethod(desk, 'certs.issue', { name, request }) as { serial: string };
  process.stdout.write(`issued ${serial}\n`);
  return serial;
}

/** What was killed in the middle is gone on with. */
function resume(): void {
  const { state } = office.authority;
  if (state.rotation === undefined) return;
  const { from, to, phase } = state.rotation;
  if (phase === 'trust') office.switchTo(state.certificates.find(({ root, kind }) => root === to && kind === 'peer')?.generation ?? 0);
  office.drop(from);
}

async function rotate(withRoot: boolean): Promise<void> {
  resume();
  const { generation, requests } = await office.request(['peer', 'edge']);
  const keys = keyPair();
  const current = office.authority.state.certificates.find(({ kind }) => kind === 'root');
  const root = withRoot ? signRoot({ trustDomain: 'kill.example', generation, keys, nowMs: Date.now() }) : (current?.certificate ?? '');
  const rootKey = withRoot ? keys.privateKey : readKey(office.files.readKey(current?.name ?? '') ?? '');
  if (rootKey === undefined) throw new Error('no root key');
  const certificates = requests.map(({ name, kind, request }) => {
    const read = readSigningRequest(Buffer.from(request, 'base64'));
    const spki = exportSpki(read?.key ?? keys.publicKey);
    return {
      name,
      kind,
      certificate: signIntermediate({ trustDomain: 'kill.example', kind, generation, spki, root, rootKey, nowMs: Date.now() }),
    };
  });
  office.adopt(withRoot ? { root: { certificate: root, key: exportKey(keys.privateKey) }, certificates } : { certificates });
  office.switchTo(generation);
  if (withRoot) office.drop(office.authority.state.rotation?.from ?? '');
  else office.tidy();
}

const ORDERS: Record<string, () => unknown> = {
  init: () => undefined,
  issue: () => issue('web'),
  revoke: () => office.revoke(issue('web'), 'keyCompromise'),
  root: () => rotate(true),
  intermediate: () => rotate(false),
  loop: async () => {
    for (let i = 0; ; i++) {
      if (i % 7 === 3) await rotate(false);
      else if (i % 11 === 5) await rotate(true);
      else if (i % 5 === 2) office.revoke(issue('web'), 'superseded');
      else issue(`s${i % 4}`);
      await new Promise((done) => setImmediate(done));
    }
  },
};
await ORDERS[order]?.();
process.stdout.write(`done ${steps} ${new X509Certificate(office.authority.bundle).serialNumber}\n`);
opened.close();
