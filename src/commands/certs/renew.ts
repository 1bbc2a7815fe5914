// `meshctl certs renew FILE`: renews what `certs issue --out` wrote, when it is due; with --daemon again and again.
// The old certificate stays until the new one is whole. Time is looked at by the wall clock, so a machine that slept is no later than it must.
import { execFile } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { lstatSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { Backoff } from '../../base/backoff.ts';
import { Fault, messageOf } from '../../base/fault.ts';
import { makeSigningRequest } from '../../certs/csr.ts';
import { readCertificates } from '../../certs/files.ts';
import { exportKey, exportSpki, type Keys, makeKeys, readKey } from '../../certs/key.ts';
import { BACKDATE_MS, type LeafKind } from '../../certs/profile.ts';
import { lifeLeftPercent, RENEW_AT_SHARE, renewalDueAt } from '../../certs/renewal.ts';
import { type Certificate, commonNameOf, hexOf, namesOf } from '../../certs/verify.ts';
import { splitCommand } from '../../mesh/spec.ts';
import { writeAtomic } from '../../platform/node/files.ts';
import type { Context, Input, Run } from '../context.ts';
import { document, documentLine } from '../document.ts';
import { flag, outputOption, textArgument, textOption, withAuthority } from '../input.ts';
import { LAYOUTS, type Layout, layoutOf, writeVersion } from './output.ts';

/** Between two looks at the clock, at most. */
const TICK_MS = 10_000;
const EXEC_LIMIT_MS = 60_000;
const SERVER = '1.3.6.1.5.5.7.3.1';
const CLIENT = '1.3.6.1.5.5.7.3.2';

interface Held {
  /** The link that `certs issue` made; undefined for a plain file, of which only the certificate is replaced. */
  readonly link: string | undefined;
  readonly layout: Layout;
  readonly chainFile: string;
  readonly keyFile: string;
  readonly leaf: Certificate;
}

interface Outcome {
  readonly outcome: 'renewed' | 'not-due';
  readonly serial: string;
  readonly notAfter: string;
  readonly lifeLeftPercent: number;
  /** When it will be due, before jitter. */
  readonly dueAt: string;
}

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const file = textArgument(input, 0) ?? '';
  const share = shareOption(input);
  const after = afterwards(input);
  if (flag(input, 'daemon')) return watch(context, input, file, share, after);
  const held = read(context, input, file);
  // One look needs no jitter: whoever calls it by a timer has spread that already.
  const isDue = context.now() >= dueOf(held.leaf, share, 0.5);
  const outcome =
    isDue || flag(input, 'force') ? await renew(context, input, held, share) : describe(held.leaf, share, 'not-due', context.now());
  if (outcome.outcome === 'renewed') await after(context);
  if (format === 'json') context.print(document('Renewal', outcome));
  else context.print(line(outcome));
  return outcome.outcome === 'not-due' && flag(input, 'errorUnchanged') ? 1 : 0;
};

function line({ outcome, serial, notAfter, lifeLeftPercent: left, dueAt }: Outcome): string {
  return outcome === 'renewed' ? `renewed: serial ${serial}, until ${notAfter}\n` : `not due: ${left}% of its life left; due at ${dueAt}\n`;
}

function shareOption(input: Input): number {
  const text = textOption(input, 'at');
  if (text === undefined) return RENEW_AT_SHARE;
  const percent = /^\d+(?:\.\d+)?%?$/.test(text) ? Number(text.replace('%', '')) : Number.NaN;
  if (!(percent >= 10 && percent <= 95)) throw new Fault('USAGE', 'usage', `\`--at ${text}\`: a share of life from 10% to 95% is wanted`);
  return percent / 100;
}

function dueOf({ notBeforeMs, notAfterMs }: Certificate, share: number, random: number): number {
  return renewalDueAt(notBeforeMs + BACKDATE_MS, notAfterMs, random, share);
}

function describe(leaf: Certificate, share: number, outcome: Outcome['outcome'], now: number): Outcome {
  return {
    outcome,
    serial: hexOf(leaf.serial),
    notAfter: new Date(leaf.notAfterMs).toISOString(),
    lifeLeftPercent: lifeLeftPercent(leaf.notBeforeMs + BACKDATE_MS, leaf.notAfterMs, now),
    dueAt: new Date(dueOf(leaf, share, 0.5)).toISOString(),
  };
}

function read(context: Context, input: Input, file: string): Held {
  const full = resolve(context.cwd, file);
  const stat = statSync(full, { throwIfNoEntry: false });
  if (stat === undefined) throw new Fault('FILE_UNREADABLE', 'usage', `cannot read \`${file}\`: there is no such file`);
  const directory = stat.isDirectory() ? full : dirname(full);
  const layout = layoutOf(directory);
  if (stat.isDirectory() && layout === undefined)
    throw new Fault('CERT_UNREADABLE', 'usage', `\`${file}\` holds no certificate that \`certs issue --out\` wrote`);
  const names = LAYOUTS[layout ?? 'meshctl'];
  const isOurs = layout !== undefined && (stat.isDirectory() || Object.values(names).some((name) => name === basename(full)));
  const link = isOurs && lstatSync(directory).isSymbolicLink() ? directory : undefined;
  const keyOption = textOption(input, 'key');
  const chainFile = isOurs ? join(directory, names.chain) : full;
  const keyFile = keyOption !== undefined ? resolve(context.cwd, keyOption) : join(directory, names.key);
  return { link, layout: layout ?? 'meshctl', chainFile, keyFile, leaf: leafOf(chainFile) };
}

function leafOf(chainFile: string): Certificate {
  try {
    const [leaf] = readCertificates(readFileSync(chainFile));
    if (leaf !== undefined) return leaf;
  } catch (cause) {
    throw new Fault('CERT_UNREADABLE', 'usage', `\`${chainFile}\` cannot be read: ${messageOf(cause)}`, { cause });
  }
  throw new Fault('CERT_UNREADABLE', 'usage', `\`${chainFile}\` holds no certificate`);
}

async function renew(context: Context, input: Input, held: Held, share: number): Promise<Outcome> {
  const { leaf } = held;
  const rekey = flag(input, 'rekey');
  if (rekey && held.link === undefined)
    throw new Fault('CERT_OUT', 'conflict', 'a new key and its certificate cannot be put in place of two plain files at one moment', {
      hint: 'renew a directory that `certs issue --out` wrote, or leave --rekey out',
    });
  const { privateKey, publicKey } = rekey ? await makeKeys('p256') : readOwnKey(held);
  const wanted = orderOf(leaf);
  const files = await withAuthority(context, input, (authority) =>
    authority.request('certs.issue', {
      ...wanted,
      request: makeSigningRequest(privateKey, publicKey).toString('base64'),
      ttlMs: Math.max(5000, leaf.notAfterMs - leaf.notBeforeMs - BACKDATE_MS),
      replaces: hexOf(leaf.serial),
    }),
  );
  if (held.link !== undefined) writeVersion(held.link, held.layout, { ...files, key: exportKey(privateKey) });
  else writeAtomic(held.chainFile, files.chain, 0o644);
  return describe(leafOf(held.chainFile), share, 'renewed', context.now());
}

function readOwnKey({ keyFile, leaf }: Held): Keys {
  let pem: string;
  try {
    if ((statSync(keyFile).mode & 0o077) !== 0)
      throw new Fault('CA_KEY_MODE', 'config', `others can read the key ${keyFile}`, { hint: `run \`chmod 600 ${keyFile}\`` });
    pem = readFileSync(keyFile, 'utf8');
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    throw new Fault('KEY_UNREADABLE', 'usage', `the key ${keyFile} cannot be read`, {
      cause,
      hint: 'name it with --key FILE, or give --rekey',
    });
  }
  const privateKey = readKey(pem);
  const publicKey = privateKey === undefined ? undefined : createPublicKey(privateKey);
  if (privateKey === undefined || publicKey === undefined || !exportSpki(publicKey).equals(leaf.spki))
    throw new Fault('KEY_UNREADABLE', 'usage', `${keyFile} is not the key of this certificate`);
  return { privateKey, publicKey };
}

/** What to ask for so that the new certificate is as the old one. */
function orderOf(leaf: Certificate): { name: string; kind: LeafKind; dnsNames: string[]; ips: string[] } {
  const { uris, dnsNames, ips } = namesOf(leaf);
  const uses = leaf.extendedKeyUsage ?? [];
  const kind: LeafKind = uris.length > 0 ? 'peer' : uses.includes(CLIENT) && !uses.includes(SERVER) ? 'client' : 'server';
  return { name: uris[0] ?? commonNameOf(leaf) ?? dnsNames[0] ?? '', kind, dnsNames, ips };
}

type After = (context: Context) => Promise<void>;

/** What is done after a renewal: a command without a shell, a signal. */
function afterwards(input: Input): After {
  const command = textOption(input, 'exec');
  const words = command === undefined ? undefined : splitCommand(command);
  if (command !== undefined && words === undefined)
    throw new Fault('USAGE', 'usage', `\`--exec ${command}\` is no command: a quote is open`);
  const signal = textOption(input, 'signal');
  const pidFile = textOption(input, 'pidFile');
  if ((signal === undefined) !== (pidFile === undefined)) throw new Fault('USAGE', 'usage', '--signal and --pid-file belong together');
  if (signal !== undefined && !/^(?:SIG)?(?:HUP|USR1|USR2|TERM|INT)$/.test(signal))
    throw new Fault('USAGE', 'usage', `\`--signal ${signal}\` is not known: HUP, USR1, USR2, TERM and INT are`);
  return async (context) => {
    if (words !== undefined) await execute(words);
    if (signal !== undefined && pidFile !== undefined)
      send(resolve(context.cwd, pidFile), `SIG${signal.replace(/^SIG/, '')}` as NodeJS.Signals);
  };
}

function execute([program = '', ...args]: readonly string[]): Promise<void> {
  return new Promise((done, fail) => {
    execFile(program, [...args], { timeout: EXEC_LIMIT_MS }, (error, stdout, stderr) => {
      process.stderr.write(stdout + stderr);
      if (error === null) done();
      else fail(new Fault('AFTER_RENEWAL', 'conflict', `renewed, but \`${program}\` failed: ${messageOf(error)}`, { cause: error }));
    });
  });
}

function send(pidFile: string, signal: NodeJS.Signals): void {
  try {
    const pid = Number(readFileSync(pidFile, 'utf8').trim());
    if (!(Number.isInteger(pid) && pid > 1)) throw new Error(`${pidFile} holds no pid`);
    process.kill(pid, signal);
  } catch (cause) {
    throw new Fault('AFTER_RENEWAL', 'conflict', `renewed, but ${signal} could not be sent: ${messageOf(cause)}`, { cause });
  }
}

/** Until it is interrupted. A failure is told and tried again; what is there stays. */
async function watch(context: Context, input: Input, file: string, share: number, after: After): Promise<number> {
  const format = outputOption(input, ['table', 'json']);
  const backoff = new Backoff(1000, 300_000);
  const stop = context.interrupted;
  const random = Math.random();
  // Whoever starts it should hear at once of a file that can never be renewed.
  let held = read(context, input, file);
  let waitMs = 0;
  for (;;) {
    const name = await Promise.race([stop, sleep(waitMs)]);
    if (name !== undefined) return 0;
    const due = dueOf(held.leaf, share, random);
    waitMs = Math.min(TICK_MS, Math.max(50, due - context.now()));
    if (context.now() < due) continue;
    try {
      held = read(context, input, file);
      if (context.now() < dueOf(held.leaf, share, random)) continue;
      const outcome = await renew(context, input, held, share);
      held = read(context, input, file);
      backoff.reset();
      context.print(format === 'json' ? documentLine('Renewal', outcome) : line(outcome));
      await after(context);
    } catch (error) {
      const left = held.leaf.notAfterMs - context.now();
      waitMs = backoff.next();
      context.note(
        `meshctl: not renewed: ${messageOf(error)}; tried again in ${Math.ceil(waitMs / 1000)}s; the certificate ${left > 0 ? `ends in ${Math.ceil(left / 1000)}s` : 'HAS EXPIRED'}\n`,
      );
    }
  }
}

function sleep(ms: number): Promise<undefined> {
  return new Promise((done) => setTimeout(() => done(undefined), ms));
}
