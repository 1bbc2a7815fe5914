// `meshctl certs export CHAIN --to p12|p7b|der|pem`: the same certificates in the container that another program wants.
import { createPublicKey } from 'node:crypto';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { Fault, messageOf } from '../../base/fault.ts';
import { writePkcs7, writePkcs12 } from '../../certs/containers.ts';
import { readCertificates } from '../../certs/files.ts';
import { exportSpki, isEncryptedKey, readKey } from '../../certs/key.ts';
import { printPem } from '../../certs/pem.ts';
import { type Certificate, commonNameOf, keyOf, namesOf } from '../../certs/verify.ts';
import type { Context, Input, Run } from '../context.ts';
import { flag, textArgument, textOption } from '../input.ts';
import { readBytes } from '../read-files.ts';
import { LAYOUTS, layoutOf } from './output.ts';
import { newPassphrase } from './secrets.ts';

const FORMATS = ['p12', 'p7b', 'der', 'pem'] as const;

export const run: Run = async (context, input) => {
  const to = FORMATS.find((each) => each === (textOption(input, 'to') ?? 'p12'));
  if (to === undefined) throw new Fault('USAGE', 'usage', `\`--to ${textOption(input, 'to')}\` is not known: ${FORMATS.join(', ')} are`);
  const { chainFile, keyFile } = sourceOf(context, input);
  const chain = read(context, chainFile);
  const [leaf] = chain;
  if (leaf === undefined) throw new Fault('CERT_UNREADABLE', 'usage', `\`${chainFile}\` holds no certificate`);
  const out = textOption(input, 'out');
  if (out === undefined && to !== 'pem') throw new Fault('USAGE', 'usage', 'where to?', { hint: 'give --out FILE' });
  const bytes = await convert(context, input, to, chain, leaf, keyFile);
  if (out === undefined) context.print(bytes.toString('latin1'));
  else {
    const full = resolve(context.cwd, out);
    try {
      writeFileSync(full, bytes, { mode: to === 'p12' ? 0o600 : 0o644, flag: flag(input, 'force') ? 'w' : 'wx' });
    } catch (cause) {
      if (existsSync(full) && !flag(input, 'force'))
        throw new Fault('FILE_EXISTS', 'conflict', `${full} is there already`, { hint: 'name another, or give --force' });
      throw new Fault('FILE_UNWRITABLE', 'usage', `cannot write ${full}: ${messageOf(cause)}`, { cause });
    }
    context.print(
      `${full}: ${chain.length} certificate${chain.length === 1 ? '' : 's'}${to === 'p12' ? ' and the key, under the passphrase' : ''}\n`,
    );
  }
  return 0;
};

function sourceOf(context: Context, input: Input): { chainFile: string; keyFile: string } {
  const name = textArgument(input, 0) ?? '';
  const full = resolve(context.cwd, name);
  const isDirectory = statSync(full, { throwIfNoEntry: false })?.isDirectory() === true;
  const directory = isDirectory ? full : dirname(full);
  const layout = layoutOf(directory);
  if (isDirectory && layout === undefined)
    throw new Fault('CERT_UNREADABLE', 'usage', `\`${name}\` holds no certificate that \`certs issue --out\` wrote`);
  const names = LAYOUTS[layout ?? 'meshctl'];
  return { chainFile: isDirectory ? join(full, names.chain) : name, keyFile: textOption(input, 'key') ?? join(directory, names.key) };
}

function read(context: Context, file: string): Certificate[] {
  try {
    return readCertificates(readBytes(context, file));
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    throw new Fault('CERT_UNREADABLE', 'usage', `\`${file}\` cannot be read: ${messageOf(cause)}`, { cause });
  }
}

async function convert(
  context: Context,
  input: Input,
  to: (typeof FORMATS)[number],
  chain: readonly Certificate[],
  leaf: Certificate,
  keyFile: string,
): Promise<Buffer> {
  const ders = chain.map(({ der }) => der);
  if (to === 'p7b') return writePkcs7(ders);
  if (to === 'der') return leaf.der;
  if (to === 'pem') return Buffer.from(ders.map((der) => printPem('CERTIFICATE', der)).join(''));
  const pem = readBytes(context, keyFile).toString('utf8');
  const key = isEncryptedKey(pem) ? undefined : readKey(pem);
  const own = keyOf(leaf);
  if (key === undefined || own === undefined || !exportSpki(own).equals(exportSpki(createPublicKey(key))))
    throw new Fault('KEY_UNREADABLE', 'usage', `\`${keyFile}\` is not the key of this certificate, or is encrypted`, {
      hint: 'name it with --key FILE',
    });
  const { uris, dnsNames } = namesOf(leaf);
  const passphrase = await newPassphrase(context, input, 'the PKCS#12 file');
  const name = uris[0]?.split('/').at(-1) ?? commonNameOf(leaf) ?? dnsNames[0] ?? 'certificate';
  return writePkcs12(key.export({ type: 'pkcs8', format: 'der' }), ders, passphrase, name);
}
