// `meshctl certs restore FILE`: an authority from its backup. What is unpacked is opened and looked at before it takes the place of anything.
import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { Fault } from '../../base/fault.ts';
import { connectAuthority } from '../../platform/local/connect.ts';
import { lockAuthority } from '../../platform/local/office.ts';
import { makePrivateDirectory, writeAtomic } from '../../platform/node/files.ts';
import type { Context, Input, Run } from '../context.ts';
import { document } from '../document.ts';
import { flag, outputOption, textArgument } from '../input.ts';
import { readBytes } from '../read-files.ts';
import { placeOf } from './place.ts';
import { passphraseFile } from './secrets.ts';

/** The only names that a backup holds: nothing else is ever written. */
const NAME = /^(?:authority\.json|record\.db|(?:root|peer|edge)-\d{1,9}(?:-key)?\.(?:pem|crl))$/;
const MAX_FILES = 1000;
const MAX_BYTES = 4 * 1024 * 1024 * 1024;

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const file = textArgument(input, 0) ?? '';
  const { directory } = placeOf(context, input);
  if (existsSync(join(directory, 'authority.json')) && !flag(input, 'force'))
    throw new Fault('CA_EXISTS', 'conflict', `there is an authority in ${directory} already`, { hint: '--force moves it aside' });
  const files = await unseal(context, input, file);
  makePrivateDirectory(dirname(directory));
  const fresh = mkdtempSync(join(dirname(directory), `.${basename(directory)}-restore-`));
  try {
    for (const { name, data } of files)
      writeAtomic(join(fresh, name), Buffer.from(data), name.endsWith('.pem') && !name.includes('-key') ? 0o644 : 0o600);
    const report = await lookAt(fresh, context);
    if (flag(input, 'dryRun')) {
      context.print(`${file}: an authority for ${report.trustDomain}, ${files.length} files, whole\n`);
      return 0;
    }
    // A mesh that runs on the one that is there keeps its lock.
    const unlock = await lockAuthority(directory);
    unlock();
    const aside = `${directory}.${new Date().toISOString().replace(/[:.]/g, '-')}`;
    if (existsSync(join(directory, 'authority.json'))) renameSync(directory, aside);
    else rmSync(directory, { recursive: true, force: true });
    renameSync(fresh, directory);
    if (format === 'json')
      context.print(document('Restore', { directory, trustDomain: report.trustDomain, files: files.map(({ name }) => name) }));
    else
      context.print(
        `${directory}: the authority for ${report.trustDomain} is back${existsSync(aside) ? `; the one before is in ${aside}` : ''}\ncertificates that were issued after the backup are not on its record: revoke by name, not by serial, what you do not trust\n`,
      );
    return 0;
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
};

async function lookAt(directory: string, context: Context): Promise<{ trustDomain: string }> {
  const authority = await connectAuthority(directory, undefined, context.cwd, () => undefined);
  try {
    const { broken } = await authority.request('certs.logCheck', {});
    if (broken !== null)
      throw new Fault('BACKUP', 'config', `the record in the backup was changed: row ${broken} does not follow from the one before it`);
    return await authority.request('certs.authority', null);
  } finally {
    authority.close();
  }
}

async function unseal(context: Context, input: Input, file: string): Promise<{ name: string; data: Uint8Array }[]> {
  const sealed = readBytes(context, file);
  const passphrase = passphraseFile(context, input) ?? (await context.askSecret(`passphrase of ${file}: `));
  const { Decrypter } = await import('age-encryption');
  const { parseTar } = await import('nanotar');
  let tar: Uint8Array;
  try {
    const decrypter = new Decrypter();
    decrypter.addPassphrase(passphrase);
    tar = await decrypter.decrypt(sealed);
  } catch (cause) {
    throw new Fault('BACKUP', 'usage', `\`${file}\` is no backup, or the passphrase does not open it`, { cause });
  }
  const entries = parseTar(tar);
  const wrong = entries.find(({ name, type }) => !NAME.test(name) || (type !== undefined && type !== 'file'));
  if (
    wrong !== undefined ||
    entries.length > MAX_FILES ||
    tar.length > MAX_BYTES ||
    new Set(entries.map(({ name }) => name)).size !== entries.length
  )
    throw new Fault(
      'BACKUP',
      'config',
      `\`${file}\` is no backup of an authority${wrong === undefined ? '' : `: it holds \`${wrong.name}\``}`,
    );
  for (const name of ['authority.json', 'record.db'])
    if (!entries.some((entry) => entry.name === name))
      throw new Fault('BACKUP', 'config', `\`${file}\` is no backup of an authority: it holds no \`${name}\``);
  return entries.map(({ name, data }) => ({ name, data: data ?? new Uint8Array() }));
}
