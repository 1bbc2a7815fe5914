// `meshctl certs backup FILE`: the whole authority in one encrypted file: age around a tar, so that `age -d FILE | tar x` reads it too.
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Fault, messageOf } from '../../base/fault.ts';
import { AuthorityFiles } from '../../platform/local/authority-files.ts';
import type { Run } from '../context.ts';
import { document } from '../document.ts';
import { flag, outputOption, textArgument, withAuthority } from '../input.ts';
import { newPassphrase } from './secrets.ts';

/** The index may change while it is read: then it is read again. */
const MAX_TRIES = 5;

export interface BackupFile {
  readonly name: string;
  readonly data: Uint8Array;
}

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const out = resolve(context.cwd, textArgument(input, 0) ?? '');
  if (existsSync(out) && !flag(input, 'force'))
    throw new Fault('FILE_EXISTS', 'conflict', `${out} is there already`, { hint: 'name another, or give --force' });
  const { directory, trustDomain } = await withAuthority(context, input, (authority) => authority.request('certs.authority', null));
  const passphrase = await newPassphrase(context, input, 'the backup');
  const files = readAuthority(directory);
  if (flag(input, 'dryRun')) {
    context.print(files.map(({ name, data }) => `${name}  ${data.length} bytes\n`).join(''));
    return 0;
  }
  const { Encrypter } = await import('age-encryption');
  const { createTar } = await import('nanotar');
  const encrypter = new Encrypter();
  encrypter.setPassphrase(passphrase);
  const sealed = await encrypter.encrypt(createTar(files.map(({ name, data }) => ({ name, data, attrs: { mode: '600' } }))));
  write(out, sealed);
  if (format === 'json')
    context.print(document('Backup', { file: out, trustDomain, files: files.map(({ name }) => name), bytes: sealed.length }));
  else
    context.print(
      `${out}: the authority for ${trustDomain}, ${files.length} files, ${sealed.length} bytes; without its passphrase nobody reads it\n`,
    );
  return 0;
};

function write(out: string, sealed: Uint8Array): void {
  try {
    writeFileSync(out, sealed, { mode: 0o600 });
    if ((statSync(out).mode & 0o077) !== 0) throw new Error('others can read it');
  } catch (cause) {
    throw new Fault('FILE_UNWRITABLE', 'usage', `the backup cannot be written to ${out}: ${messageOf(cause)}`, { cause });
  }
}

/** Every file of the authority as of one moment; the record through SQLite, so that it is whole while others write. */
function readAuthority(directory: string): BackupFile[] {
  const index = join(directory, 'authority.json');
  for (let i = 0; i < MAX_TRIES; i++) {
    const before = readFileSync(index, 'utf8');
    const files: BackupFile[] = [{ name: 'authority.json', data: Buffer.from(before) }];
    for (const { name } of new AuthorityFiles(directory).load().certificates)
      for (const file of [`${name}.pem`, `${name}-key.pem`, `${name}.crl`])
        if (existsSync(join(directory, file))) files.push({ name: file, data: readFileSync(join(directory, file)) });
    files.push({ name: 'record.db', data: copyOfRecord(directory) });
    if (readFileSync(index, 'utf8') === before) return files;
  }
  throw new Fault('CA_LOCKED', 'unavailable', `the authority in ${directory} changes all the time`, {
    hint: 'try again when no rotation is under way',
  });
}

function copyOfRecord(directory: string): Buffer {
  const home = mkdtempSync(join(tmpdir(), 'meshctl-backup-'));
  const copy = join(home, 'record.db');
  const database = new DatabaseSync(join(directory, 'record.db'), { readOnly: true });
  try {
    database.exec(`VACUUM INTO '${copy.replaceAll("'", "''")}'`);
    return readFileSync(copy);
  } finally {
    database.close();
    rmSync(home, { recursive: true });
  }
}
