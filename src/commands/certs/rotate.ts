// `meshctl certs rotate leaf|intermediate|root`: new certificates while traffic goes on. Each step is looked at by handshakes from every
// proxy before the next is taken; a run that was stopped goes on where it was.
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Fault } from '../../base/fault.ts';
import { type CaKind, readSigningRequest, signIntermediate, signRevocations, signRoot } from '../../certs/authority.ts';
import { exportKey, exportSpki, KEY_TYPES, type Keys, type KeyType, makeKeys } from '../../certs/key.ts';
import { encryptKey } from '../../certs/passphrase.ts';
import { type PlannedStep, planRoot, type RootStep } from '../../certs/plan.ts';
import type { AuthorityReport, Evidence, RenewedItem } from '../../control/certs.ts';
import { renderTable } from '../../views/table.ts';
import { SYMBOL } from '../../views/theme.ts';
import type { AuthorityConnection, Context, Input, Run } from '../context.ts';
import { document } from '../document.ts';
import { durationOption, flag, listArgument, outputOption, textArgument, textOption, withAuthority } from '../input.ts';
import { readBytes } from '../read-files.ts';
import { ROOT_LIST_LIFE_MS } from './crl.ts';
import { newPassphrase, passphraseFile, rootKey } from './secrets.ts';

const LOOK_EVERY_MS = 20;
const WORKLOADS_MS = 4000;

interface Done {
  readonly step: string;
  readonly what: string;
  readonly proxies: number;
  readonly handshakes: number;
}

interface Work {
  readonly context: Context;
  readonly input: Input;
  readonly authority: AuthorityConnection;
  readonly timeoutMs: number;
  /** Each is told as it is done. */
  readonly done: (done: Done) => void;
}

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const what = textArgument(input, 0) ?? '';
  const services = listArgument(input, 1);
  const timeoutMs = durationOption(input, 'timeout', 'timeout') ?? 20_000;
  if (!['leaf', 'intermediate', 'root'].includes(what))
    throw new Fault('USAGE', 'usage', `\`${what}\` is not rotated: leaf, intermediate or root is`);
  if (what !== 'leaf' && services.length > 0) throw new Fault('USAGE', 'usage', 'services are named for `rotate leaf` only');
  if (what !== 'intermediate' && flag(input, 'emergency'))
    throw new Fault('USAGE', 'usage', '`--emergency` is for a stolen intermediate: `rotate intermediate`');
  return withAuthority(context, input, async (authority) => {
    const steps: Done[] = [];
    const work: Work = {
      context,
      input,
      authority,
      timeoutMs,
      done: (done) => {
        steps.push(done);
        if (format === 'table') context.print(stepLine(done));
      },
    };
    if (flag(input, 'plan') || flag(input, 'dryRun')) return showPlan(work, what, services, format);
    try {
      if (what === 'leaf') return await rotateLeaves(work, services, format);
      if (what === 'intermediate') await rotateIntermediate(work);
      else if (flag(input, 'rollback')) await rollBack(work);
      else await rotateRoot(work);
    } finally {
      if (format === 'json' && what !== 'leaf') context.print(document('Rotation', { what, steps }));
    }
    return 0;
  });
};

function stepLine({ step, what, proxies, handshakes }: Done): string {
  const seen = proxies === 0 ? 'no mesh is running, so nobody was asked' : `${proxies} proxies, ${handshakes} handshakes between them`;
  return `${SYMBOL.good} ${step.padEnd(8)} ${what} (${seen})\n`;
}

async function showPlan({ context, authority }: Work, what: string, services: readonly string[], format: string): Promise<number> {
  const steps: PlannedStep[] =
    what === 'root' ? await readPlan(authority) : simplePlan(what, services, await authority.request('certs.evidence', null));
  if (format === 'json') context.print(document('RotationPlan', { what, steps }));
  else
    for (const { step, what: text, state, why } of steps) {
      context.print(`${{ done: SYMBOL.good, next: '→', waits: SYMBOL.bad, later: ' ' }[state]} ${step.padEnd(8)} ${text}\n`);
      for (const each of why) context.print(`             ${each}\n`);
    }
  return 0;
}

function simplePlan(what: string, services: readonly string[], { proxies, generation }: Evidence): PlannedStep[] {
  const meant = proxies.filter(
    ({ instance }) => services.length === 0 || services.some((name) => instance === name || instance.startsWith(`${name}-`)),
  );
  const renew: PlannedStep = {
    step: 'sign',
    what: `${meant.map(({ instance }) => instance).join(', ') || 'nobody'}: a new key and certificate`,
    state: what === 'leaf' ? 'next' : 'later',
    why: meant.filter(({ connected }) => !connected).map(({ instance }) => `${instance} is not connected`),
  };
  if (what === 'leaf') return [renew];
  return [{ step: 'trust', what: `intermediates of generation ${generation + 1} below the same root`, state: 'next', why: [] }, renew];
}

async function readPlan(authority: AuthorityConnection): Promise<PlannedStep[]> {
  const report = await authority.request('certs.authority', null);
  const evidence = await authority.request('certs.evidence', null);
  const root = rootOf(report);
  const held = evidence.held.find((each) => each.root === (report.rotation?.from ?? root));
  return planRoot({ ...report, ...evidence, root, held: held?.items ?? [], heldUntil: held?.until ?? null });
}

function rootOf({ certificates }: AuthorityReport): string {
  return certificates.find(({ kind, signs }) => kind === 'peer' && signs)?.root ?? '';
}

async function rotateLeaves({ context, authority }: Work, services: readonly string[], format: string): Promise<number> {
  const { items } = await authority.request('certs.renew', services.length === 0 ? {} : { services: [...services] });
  if (format === 'json') context.print(document('Renewals', { items }));
  else
    context.print(
      renderTable(
        [{ name: 'INSTANCE' }, { name: 'BEFORE' }, { name: 'AFTER' }],
        items.map(({ instance, before, after, why }) => [
          instance,
          before ?? '-',
          after === null ? { text: `${SYMBOL.bad} ${why}`, meaning: 'bad' } : after,
        ]),
      ),
    );
  return items.every(({ after }) => after !== null) ? 0 : 1;
}

async function rotateIntermediate(work: Work): Promise<void> {
  const { context, input, authority } = work;
  const before = await authority.request('certs.authority', null);
  if (before.rotation !== null)
    throw new Fault('ROTATION', 'conflict', `a rotation from ${before.rotation.from} to ${before.rotation.to} is under way`, {
      hint: '`meshctl certs rotate root` goes on with it, `--rollback` takes it back',
    });
  const root = before.certificates.find(({ name }) => name === rootOf(before));
  if (root === undefined) throw new Fault('CA_UNREADABLE', 'config', 'the authority has no root');
  const key = await rootKey(context, input, before.directory, root.name);
  const { generation, certificates } = await makeIntermediates(work, before, root.certificate, key);
  await authority.request('certs.adopt', { certificates });
  await authority.request('certs.switch', { generation });
  const emergency = flag(input, 'emergency');
  const renewed = await renewAll(work, emergency);
  if (emergency) {
    const old = before.certificates.filter(({ kind, root: above }) => kind !== 'root' && above === root.name).map(({ name }) => name);
    await authority.request('certs.retire', { names: old, stolen: true });
    const template = await authority.request('certs.listTemplate', { root: root.name, lifeMs: ROOT_LIST_LIFE_MS });
    await authority.request('certs.listTake', {
      root: root.name,
      der: signRevocations(root.certificate, key, template).toString('base64'),
    });
    for (const { instance, why } of renewed.filter(({ after }) => after === null))
      context.note(`meshctl: ${instance}: ${why}; it attests again when it can\n`);
  }
  work.done({
    step: 'sign',
    what: `peer-${generation} signs${emergency ? `; what was below ${root.name} before is believed no more` : ''}`,
    ...(await look(work, generation)),
  });
}

async function rotateRoot(work: Work): Promise<void> {
  const { input, authority } = work;
  const only = flag(input, 'step');
  const before = await authority.request('certs.authority', null);
  const from: RootStep = before.rotation === null ? 'trust' : before.rotation.phase === 'trust' ? 'sign' : 'drop';
  if (from === 'trust') {
    const to = await trustNew(work, before);
    work.done({ step: 'trust', what: `${to} is trusted besides ${rootOf(before)}`, ...(await look(work)) });
    if (only) return;
  }
  if (from !== 'drop') {
    const report = await authority.request('certs.authority', null);
    // What was done in an earlier run is looked at again: the world has moved on.
    if (from === 'sign') await look(work);
    const generation = Math.max(...report.certificates.filter(({ root }) => root === report.rotation?.to).map((each) => each.generation));
    await authority.request('certs.switch', { generation });
    await renewAll(work, false);
    work.done({ step: 'sign', what: `what is below ${report.rotation?.to} signs`, ...(await look(work, generation)) });
    if (only) return;
  }
  const { rotation, generation } = await authority.request('certs.authority', null);
  if (rotation === null) return;
  if (from === 'drop') {
    await renewAll(work, false);
    await look(work, generation);
  }
  await workloadsFollow(work, rotation.from);
  const { lost } = await authority.request('certs.drop', { root: rotation.from, acceptLoss: flag(input, 'acceptLoss') });
  const loss = lost.length === 0 ? '' : `; lost: ${lost.map(({ name, serial }) => `${name} (${serial})`).join(', ')}`;
  work.done({ step: 'drop', what: `${rotation.from} is trusted no more${loss}`, ...(await look(work, generation)) });
}

/** Who streams from the Workload API is given a new certificate within a second or two. */
async function workloadsFollow({ authority }: Work, root: string): Promise<void> {
  const end = Date.now() + WORKLOADS_MS;
  for (;;) {
    const { held } = await authority.request('certs.evidence', null);
    const items = held.find((each) => each.root === root)?.items ?? [];
    if (!items.some(({ channel }) => channel === 'workload-api') || Date.now() >= end) return;
    await new Promise((done) => setTimeout(done, LOOK_EVERY_MS));
  }
}

async function rollBack(work: Work): Promise<void> {
  const { authority, input } = work;
  const report = await authority.request('certs.authority', null);
  const { rotation } = report;
  if (rotation === null) throw new Fault('ROTATION', 'conflict', 'no rotation of the root is under way, so there is nothing to take back');
  if (rotation.phase === 'sign') {
    const generation = Math.max(
      ...report.certificates.filter(({ root, kind }) => root === rotation.from && kind === 'peer').map((each) => each.generation),
    );
    await authority.request('certs.switch', { generation });
    await renewAll(work, true);
    work.done({ step: 'back', what: `what is below ${rotation.from} signs again`, ...(await look(work)) });
  }
  await authority.request('certs.drop', { root: rotation.to, acceptLoss: flag(input, 'acceptLoss') });
  work.done({ step: 'back', what: `${rotation.to} is trusted no more`, ...(await look(work)) });
}

/** A new root, kept as the flags say, with intermediates below it; gives its name. */
async function trustNew(work: Work, before: AuthorityReport): Promise<string> {
  const { context, input, authority } = work;
  const generation = before.lastGeneration + 1;
  const nowMs = context.now();
  const brought = textOption(input, 'rootCert');
  let certificate: string;
  let keys: Keys | undefined;
  if (brought === undefined) {
    keys = await makeKeys(
      keyTypeOption(input) ?? (before.certificates.find(({ name }) => name === rootOf(before))?.keyType as KeyType | undefined) ?? 'p256',
    );
    certificate = signRoot({
      trustDomain: before.trustDomain,
      generation,
      keys,
      nowMs,
      lifeMs: durationOption(input, 'rootLife', 'root-life'),
      isConstrained: before.isConstrained,
    });
  } else certificate = readBytes(context, brought).toString('utf8');
  // Where the key goes is settled before anything is made that would need it.
  const kept = keys === undefined ? undefined : await keepRootKey(context, input, before, keys);
  const key = keys?.privateKey ?? (await rootKey(context, input, before.directory, `root-${generation}`));
  const { certificates } = await makeIntermediates(work, before, certificate, key);
  await authority.request('certs.adopt', { root: { certificate, ...(kept === undefined ? {} : { key: kept }) }, certificates });
  const name = `root-${generation}`;
  const template = await authority.request('certs.listTemplate', { root: name, lifeMs: ROOT_LIST_LIFE_MS });
  await authority.request('certs.listTake', { root: name, der: signRevocations(certificate, key, template).toString('base64') });
  return name;
}

/** PEM that stays in the authority's directory; undefined when it was written elsewhere. The new key is kept as the old one was, or better. */
async function keepRootKey(context: Context, input: Input, before: AuthorityReport, { privateKey }: Keys): Promise<string | undefined> {
  const old = before.certificates.find(({ name }) => name === rootOf(before))?.key;
  const offline = textOption(input, 'rootOffline');
  const isClear =
    flag(input, 'insecureNoPassphrase') || (old === 'clear' && passphraseFile(context, input) === undefined && offline === undefined);
  if (old === 'elsewhere' && offline === undefined)
    throw new Fault('ROOT_KEY', 'usage', 'the key of the root is kept elsewhere; where should that of the new one go?', {
      hint: 'name a file with --root-offline FILE',
    });
  const pem = isClear ? exportKey(privateKey) : encryptKey(privateKey, await newPassphrase(context, input, "the new root's key"));
  if (offline === undefined) return pem;
  writeSecret(context, offline, pem);
  return undefined;
}

/** A key that nothing may overwrite. */
export function writeSecret(context: Context, name: string, pem: string): void {
  try {
    writeFileSync(resolve(context.cwd, name), pem, { mode: 0o600, flag: 'wx' });
  } catch (cause) {
    throw new Fault('FILE_EXISTS', 'conflict', `the key cannot be written to ${name}`, {
      cause,
      hint: 'it must be a new file in a directory that is there',
    });
  }
}

export function keyTypeOption(input: Input): KeyType | undefined {
  const text = textOption(input, 'keyType');
  if (text === undefined) return undefined;
  const found = KEY_TYPES.find((type) => type === text);
  if (found === undefined) throw new Fault('USAGE', 'usage', `\`--key-type ${text}\` is not known: ${KEY_TYPES.join(', ')} are`);
  return found;
}

type Made = { name: string; kind: Exclude<CaKind, 'root'>; certificate: string };

async function makeIntermediates(
  { authority, context, input }: Work,
  { trustDomain }: AuthorityReport,
  root: string,
  key: Keys['privateKey'],
): Promise<{ generation: number; certificates: Made[] }> {
  const keyType = keyTypeOption(input);
  const { generation, requests } = await authority.request('certs.request', {
    kinds: ['peer', 'edge'],
    ...(keyType === undefined ? {} : { keyType }),
  });
  const certificates = requests.map(({ name, kind, request }): Made => {
    const read = readSigningRequest(Buffer.from(request, 'base64'));
    if (read === undefined) throw new Fault('INTERNAL', 'internal', `the request for ${name} is unreadable`);
    const lifeMs = durationOption(input, 'intermediateLife', 'intermediate-life');
    const certificate = signIntermediate({
      trustDomain,
      kind,
      generation,
      spki: exportSpki(read.key),
      root,
      rootKey: key,
      nowMs: context.now(),
      lifeMs,
    });
    return { name, kind, certificate };
  });
  return { generation, certificates };
}

/** Every proxy that has an older certificate gets a new one. With `isLossy` those that do not answer are only named. */
async function renewAll({ authority }: Work, isLossy: boolean): Promise<RenewedItem[]> {
  const { proxies, generation } = await authority.request('certs.evidence', null);
  const old = proxies.filter((each) => !each.blocked && each.generation !== null && each.generation !== generation);
  if (old.length === 0) return [];
  const { items } = await authority.request('certs.renew', { services: old.map(({ instance }) => instance) });
  const failed = items.filter(({ after }) => after === null);
  if (failed.length > 0 && !isLossy)
    throw new Fault('ROTATION_BEHIND', 'unavailable', `${failed.map(({ instance, why }) => `${instance}: ${why}`).join('; ')}`, {
      hint: 'run it again when they are back; nothing is lost until then',
    });
  return items;
}

/** Waits until every proxy knows and has what it should, then has each of them shake hands with the others. */
async function look({ authority, timeoutMs }: Work, generation?: number): Promise<{ proxies: number; handshakes: number }> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const { proxies } = await authority.request('certs.evidence', null);
    const live = proxies.filter(({ blocked }) => !blocked);
    if (live.length === 0) return { proxies: 0, handshakes: 0 };
    const behind = live.filter(
      (each) => !each.connected || !each.trusts || (generation !== undefined && (each.generation ?? generation) < generation),
    );
    if (behind.length === 0) {
      const { items } = await authority.request('certs.handshakes', null);
      const failed = items.filter(({ ok }) => !ok);
      if (failed.length === 0) return { proxies: live.length, handshakes: items.length };
      // A proxy that is just restarting is no reason to stop.
      if (Date.now() >= end) throw handshakeFault(failed);
    } else if (Date.now() >= end)
      throw new Fault(
        'ROTATION_BEHIND',
        'unavailable',
        `${behind.map(({ instance }) => instance).join(', ')} ${behind.length === 1 ? 'has' : 'have'} not followed in time`,
        {
          hint: '`meshctl proxy status` tells more; run it again to go on, or `--rollback` to take it back',
        },
      );
    await new Promise((done) => setTimeout(done, LOOK_EVERY_MS));
  }
}

const MAX_NAMED = 5;

function handshakeFault(failed: readonly { from: string; to: string; why: string }[]): Fault {
  const named = failed.slice(0, MAX_NAMED).map(({ from, to, why }) => `${from} -> ${to}: ${why}`);
  return new Fault(
    'ROTATION_BEHIND',
    'unavailable',
    `handshakes fail: ${named.join('; ')}${failed.length > MAX_NAMED ? `; and ${failed.length - MAX_NAMED} more` : ''}`,
    {
      hint: 'run it again to go on, or `--rollback` to take it back',
    },
  );
}
