// `meshctl certs init`: a new authority. A new root, one that others made, or one whose key stays with them (--csr, --intermediate-cert).
import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Fault, messageOf } from '../../base/fault.ts';
import { type AuthorityState, type CaCertificate, createAuthority, signRevocations } from '../../certs/authority.ts';
import { readPkcs12 } from '../../certs/containers.ts';
import { makeSigningRequest } from '../../certs/csr.ts';
import { exportKey, exportSpki, type Keys, makeKeys, readKey } from '../../certs/key.ts';
import { encryptKey } from '../../certs/passphrase.ts';
import { parsePem, printPem } from '../../certs/pem.ts';
import { isTrustDomain } from '../../mesh/identity.ts';
import { AuthorityFiles, saveNew } from '../../platform/local/authority-files.ts';
import { lockAuthority } from '../../platform/local/office.ts';
import { writeAtomic } from '../../platform/node/files.ts';
import type { Context, Input, Run } from '../context.ts';
import { document } from '../document.ts';
import { durationOption, flag, outputOption, repeatedOption, textOption } from '../input.ts';
import { readBytes } from '../read-files.ts';
import { ROOT_LIST_LIFE_MS } from './crl.ts';
import { placeOf } from './place.ts';
import { keyTypeOption, writeSecret } from './rotate.ts';
import { newPassphrase, passphraseFile, readKeyFile } from './secrets.ts';

const DNS_NAME = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const { directory, trustDomain: fromMesh } = placeOf(context, input);
  const files = new AuthorityFiles(directory);
  const trustDomain = textOption(input, 'trustDomain') ?? fromMesh;
  const given = repeatedOption(input, 'intermediateCert');
  if (files.exists && !flag(input, 'force'))
    throw new Fault('CA_EXISTS', 'conflict', `there is an authority in ${directory} already`, {
      hint: '`certs rotate` renews what is in it; --force moves it aside and begins anew: every workload then gets a new certificate',
    });
  if (trustDomain === undefined)
    throw new Fault('USAGE', 'usage', 'for which trust domain?', {
      hint: 'give --trust-domain NAME; a mesh file here or above would say it',
    });
  if (!isTrustDomain(trustDomain))
    throw new Fault('USAGE', 'usage', `\`${trustDomain}\` is no trust domain: 1 to 255 of a-z, 0-9, \`.\`, \`_\` and \`-\``);
  const isConstrained = flag(input, 'nameConstraints');
  if (isConstrained && !DNS_NAME.test(trustDomain))
    throw new Fault('USAGE', 'usage', `with --name-constraints the trust domain must be a DNS name, and \`${trustDomain}\` is none`);
  if (flag(input, 'dryRun')) {
    context.print(`would make an authority for ${trustDomain} in ${directory}\n`);
    return 0;
  }
  const unlock = await lockAuthority(directory);
  try {
    if (files.exists) moveAside(directory);
    const made =
      textOption(input, 'csr') !== undefined
        ? await askElsewhere(context, input, files, trustDomain)
        : given.length > 0
          ? complete(context, input, files, trustDomain, given)
          : await make(context, input, files, trustDomain, isConstrained);
    if (format === 'json') context.print(document('Authority', { directory, trustDomain, ...made.body }));
    else context.print(made.text);
    return 0;
  } finally {
    unlock();
  }
};

interface Made {
  readonly body: object;
  readonly text: string;
}

async function make(context: Context, input: Input, files: AuthorityFiles, trustDomain: string, isConstrained: boolean): Promise<Made> {
  const type = keyTypeOption(input) ?? 'p256';
  const root = await broughtRoot(context, input);
  const offline = textOption(input, 'rootOffline');
  if (root !== undefined && offline !== undefined)
    throw new Fault('USAGE', 'usage', 'a root that you bring stays where it is: leave --root-offline out');
  // Asked before a key is made: who has no passphrase has changed nothing.
  const passphrase =
    root !== undefined || flag(input, 'insecureNoPassphrase') ? undefined : await newPassphrase(context, input, "the root's key");
  const keys = { root: await makeKeys(type), peer: await makeKeys(type), edge: await makeKeys(type) };
  const created = createAuthority({
    trustDomain,
    nowMs: context.now(),
    keys,
    rootLifeMs: durationOption(input, 'rootLife', 'root-life'),
    intermediateLifeMs: durationOption(input, 'intermediateLife', 'intermediate-life'),
    isConstrained,
    ...(root === undefined ? {} : { root }),
  });
  const pem = passphrase === undefined ? exportKey(keys.root.privateKey) : encryptKey(keys.root.privateKey, passphrase);
  if (offline !== undefined) writeSecret(context, offline, pem);
  const kept = root !== undefined || offline !== undefined ? undefined : pem;
  saveNew(files, created, kept);
  signFirstList(context, files, created.state, created.keys.get('root-1'));
  const where =
    root !== undefined
      ? 'its root stays where it is'
      : offline !== undefined
        ? `the root's key is in ${offline}: keep it apart`
        : passphrase === undefined
          ? "the root's key is in clear"
          : "the root's key is encrypted";
  return report(files, created.state, where);
}

function signFirstList(context: Context, files: AuthorityFiles, { certificates }: AuthorityState, key: KeyObject | undefined): void {
  const root = certificates.find(({ kind }) => kind === 'root');
  if (root === undefined || key === undefined) return;
  const now = context.now();
  const end = Math.min(now + ROOT_LIST_LIFE_MS, new X509Certificate(root.certificate).validToDate.getTime());
  files.writeList(root.name, signRevocations(root.certificate, key, { number: 1, thisUpdateMs: now, nextUpdateMs: end, revoked: [] }));
}

function report(files: AuthorityFiles, { trustDomain, certificates }: AuthorityState, where: string): Made {
  const items = certificates.map(({ name, kind, certificate }) => {
    const x509 = new X509Certificate(certificate);
    return { name, kind, subject: x509.subject, notAfter: x509.validToDate.toISOString(), file: join(files.directory, `${name}.pem`) };
  });
  const lines = items.map(({ name, notAfter, file }) => `  ${name.padEnd(8)} until ${notAfter}  ${file}\n`);
  return { body: { certificates: items, rootKey: where }, text: `authority for ${trustDomain} made; ${where}\n${lines.join('')}` };
}

/** A root with its key, from PEM or PKCS#12. */
async function broughtRoot(context: Context, input: Input): Promise<{ certificate: string; key: KeyObject } | undefined> {
  const p12 = textOption(input, 'rootP12');
  const certFile = textOption(input, 'rootCert');
  if (p12 === undefined && certFile === undefined) return undefined;
  if (p12 !== undefined) {
    const passphrase = passphraseFile(context, input) ?? (await context.askSecret(`passphrase of ${p12}: `));
    const { certificates, keys } = readPkcs12(readBytes(context, p12), passphrase);
    const key = keys[0] === undefined ? undefined : readKey(keys[0]);
    const certificate = key === undefined ? undefined : certificates.find((pem) => new X509Certificate(pem).checkPrivateKey(key));
    if (key === undefined || certificate === undefined)
      throw new Fault('KEY_UNREADABLE', 'usage', `\`${p12}\` holds no key with its certificate`);
    return { certificate: checkRoot(certificate, p12), key };
  }
  const keyFile = textOption(input, 'rootKey');
  if (keyFile === undefined)
    throw new Fault('USAGE', 'usage', '--root-cert wants its key too', {
      hint: 'give --root-key FILE, or --csr DIR to have requests for whoever holds it',
    });
  const certificate = checkRoot(readBytes(context, certFile ?? '').toString('utf8'), certFile ?? '');
  const key = await readKeyFile(context, input, keyFile);
  if (!new X509Certificate(certificate).checkPrivateKey(key))
    throw new Fault('CA_KEY', 'usage', `\`${keyFile}\` is not the key of \`${certFile}\``);
  return { certificate, key };
}

/** PEM of the one certificate. Throws CA_ROOT for one that could not sign an intermediate. */
function checkRoot(text: string, file: string): string {
  const blocks = parsePem(text).filter(({ label }) => label === 'CERTIFICATE');
  const wrong = (what: string): Fault => new Fault('CA_ROOT', 'usage', `\`${file}\` ${what}`);
  if (blocks.length !== 1) throw wrong(`holds ${blocks.length} certificates, and one root is wanted`);
  let x509: X509Certificate;
  try {
    x509 = new X509Certificate(blocks[0]?.der ?? '');
  } catch (cause) {
    throw new Fault('CA_ROOT', 'usage', `\`${file}\` cannot be read: ${messageOf(cause)}`, { cause });
  }
  if (!x509.ca) throw wrong('is no authority: basicConstraints says so, or nothing');
  if (x509.validToDate.getTime() <= Date.now()) throw wrong(`expired on ${x509.validToDate.toISOString()}`);
  return printPem('CERTIFICATE', x509.raw);
}

const PENDING = 'pending.json';

/** Keys here, requests for whoever holds the root. */
async function askElsewhere(context: Context, input: Input, files: AuthorityFiles, trustDomain: string): Promise<Made> {
  const rootFile = textOption(input, 'rootCert');
  if (rootFile === undefined) throw new Fault('USAGE', 'usage', '--csr wants the root that will sign', { hint: 'give --root-cert FILE' });
  const root = checkRoot(readBytes(context, rootFile).toString('utf8'), rootFile);
  const out = resolve(context.cwd, textOption(input, 'csr') ?? '.');
  mkdirSync(out, { recursive: true });
  const type = keyTypeOption(input) ?? 'p256';
  const requests: string[] = [];
  for (const name of ['peer-1', 'edge-1']) {
    const { privateKey, publicKey }: Keys = await makeKeys(type);
    files.writeKey(name, exportKey(privateKey));
    const file = join(out, `${name}.csr`);
    writeAtomic(
      file,
      printPem('CERTIFICATE REQUEST', makeSigningRequest(privateKey, publicKey, `${trustDomain.slice(0, 40)} ${name}`)),
      0o644,
    );
    requests.push(file);
  }
  writeAtomic(join(files.directory, PENDING), JSON.stringify({ schemaVersion: 1, trustDomain, root }));
  return {
    body: { requests },
    text: `${requests.map((file) => `${file}\n`).join('')}have them signed as authorities (path length 0, keyCertSign and cRLSign), then: meshctl certs init --intermediate-cert peer.pem --intermediate-cert edge.pem\n`,
  };
}

/** The intermediates that somebody signed for the keys that wait here. */
function complete(context: Context, input: Input, files: AuthorityFiles, trustDomain: string, given: readonly string[]): Made {
  const path = join(files.directory, PENDING);
  if (!existsSync(path))
    throw new Fault('CA_ADOPT', 'usage', `no key waits in ${files.directory} for an intermediate`, {
      hint: '`certs init --root-cert ROOT --csr DIR` begins',
    });
  const pending = JSON.parse(readBytes(context, path).toString('utf8')) as { trustDomain: string; root: string };
  if (pending.trustDomain !== trustDomain && textOption(input, 'trustDomain') !== undefined)
    throw new Fault('CA_ADOPT', 'usage', `the keys that wait are for ${pending.trustDomain}, not ${trustDomain}`);
  const root = new X509Certificate(pending.root);
  const found: CaCertificate[] = given.map((file) => {
    const wrong = (what: string): Fault => new Fault('CA_ADOPT', 'usage', `\`${file}\` ${what}`);
    const block = parsePem(readBytes(context, file).toString('utf8')).find(({ label }) => label === 'CERTIFICATE');
    if (block === undefined) throw wrong('holds no certificate');
    const x509 = new X509Certificate(block.der);
    const kind = (['peer', 'edge'] as const).find((each) => files.readKey(`${each}-1`) !== undefined && belongs(files, `${each}-1`, x509));
    if (kind === undefined) throw wrong('belongs to no key that waits here');
    if (!x509.ca) throw wrong('is no authority: basicConstraints says so, or nothing');
    if (!x509.checkIssued(root) || !x509.verify(root.publicKey)) throw wrong('was not signed by the root that was named');
    return { name: `${kind}-1`, kind, generation: 1, root: 'root-1', certificate: printPem('CERTIFICATE', x509.raw) };
  });
  if (!found.some(({ kind }) => kind === 'peer'))
    throw new Fault('CA_ADOPT', 'usage', 'the certificate for peer-1 is missing: nothing could sign a workload');
  const edge = found.find(({ kind }) => kind === 'edge');
  const state: AuthorityState = {
    trustDomain: pending.trustDomain,
    sequence: 1,
    lastGeneration: 1,
    certificates: [{ name: 'root-1', kind: 'root', generation: 1, root: 'root-1', certificate: pending.root }, ...found],
    signers: { peer: 'peer-1', ...(edge === undefined ? {} : { edge: edge.name }) },
    distrusted: [],
    isConstrained: false,
  };
  files.save(state, new Map());
  renameSync(path, `${path}.done`);
  return report(files, state, 'its root stays where it is');
}

function belongs(files: AuthorityFiles, name: string, certificate: X509Certificate): boolean {
  const key = readKey(files.readKey(name) ?? '');
  return key !== undefined && exportSpki(createPublicKey(key)).equals(exportSpki(certificate.publicKey));
}

/** Everything but the lock goes beside, so that nothing is lost. */
function moveAside(directory: string): void {
  const aside = `${directory}.${new Date().toISOString().replace(/[:.]/g, '-')}`;
  renameSync(directory, aside);
  mkdirSync(directory, { mode: 0o700 });
  renameSync(join(aside, 'lock'), join(directory, 'lock'));
}
