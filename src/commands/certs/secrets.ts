// Passphrases and keys of authorities: by file or prompt, never by flag or environment.
import type { KeyObject } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Fault } from '../../base/fault.ts';
import { isEncryptedKey, readKey } from '../../certs/key.ts';
import type { Context, Input } from '../context.ts';
import { textOption } from '../input.ts';
import { readBytes } from '../read-files.ts';

const MIN_PASSPHRASE = 8;

/** The first line of `--passphrase-file`; undefined when that is not given. */
export function passphraseFile(context: Context, input: Input): string | undefined {
  const name = textOption(input, 'passphraseFile');
  if (name === undefined) return undefined;
  const line = readBytes(context, name).toString('utf8').split(/\r?\n/)[0] ?? '';
  if (line === '') throw new Fault('USAGE', 'usage', `the first line of \`${name}\` is empty, and should be the passphrase`);
  return line;
}

/** A passphrase for something new: from the file, else asked for twice. */
export async function newPassphrase(context: Context, input: Input, what: string): Promise<string> {
  const given = passphraseFile(context, input);
  const chosen = given ?? (await askTwice(context, what));
  if (chosen.length < MIN_PASSPHRASE)
    throw new Fault('USAGE', 'usage', `a passphrase of at least ${MIN_PASSPHRASE} characters is wanted`, {
      hint: 'four random words are good',
    });
  return chosen;
}

async function askTwice(context: Context, what: string): Promise<string> {
  if (!context.isTerminal)
    throw new Fault('USAGE', 'usage', `a passphrase for ${what} is wanted, and there is no terminal to ask on`, {
      hint: 'give --passphrase-file FILE',
    });
  const first = await context.askSecret(`passphrase for ${what}: `);
  const second = await context.askSecret('once more: ');
  if (first !== second) throw new Fault('USAGE', 'usage', 'the two passphrases differ; nothing was done');
  return first;
}

/** A private key from a PEM file, with the passphrase that it may want. Throws KEY_UNREADABLE; CA_KEY_MODE when others can read it. */
export async function readKeyFile(context: Context, input: Input, path: string): Promise<KeyObject> {
  const full = resolve(context.cwd, path);
  const pem = readBytes(context, path).toString('utf8');
  if ((statSync(full).mode & 0o077) !== 0)
    throw new Fault('CA_KEY_MODE', 'config', `others can read the key ${full}`, { hint: `run \`chmod 600 ${full}\`` });
  if (!isEncryptedKey(pem)) {
    const key = readKey(pem);
    if (key !== undefined) return key;
    throw new Fault('KEY_UNREADABLE', 'usage', `\`${path}\` holds no private key in PEM`);
  }
  const passphrase =
    passphraseFile(context, input) ?? (context.isTerminal ? await context.askSecret(`passphrase of ${path}: `) : undefined);
  if (passphrase === undefined)
    throw new Fault('USAGE', 'usage', `\`${path}\` is encrypted, and there is no terminal to ask on`, {
      hint: 'give --passphrase-file FILE',
    });
  const key = readKey(pem, passphrase);
  if (key === undefined) throw new Fault('KEY_UNREADABLE', 'usage', `the passphrase does not open \`${path}\``);
  return key;
}

/** The key of a root: `--root-key`, else the one in the authority's directory. Throws ROOT_KEY when it is kept elsewhere. */
export async function rootKey(context: Context, input: Input, directory: string, name: string): Promise<KeyObject> {
  const named = textOption(input, 'rootKey');
  if (named !== undefined) return readKeyFile(context, input, named);
  const path = join(directory, `${name}-key.pem`);
  try {
    readFileSync(path);
  } catch {
    throw new Fault('ROOT_KEY', 'usage', `the key of ${name} is not in ${directory}: it is kept elsewhere`, {
      hint: 'name it with --root-key FILE',
    });
  }
  return readKeyFile(context, input, path);
}
