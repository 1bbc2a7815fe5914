// `meshctl certs issue NAME…`: the key is made here and never sent; the authority sees a signing request.
//
//   DIR/NAME ─► DIR/.NAME.<version>/{key,leaf,chain,bundle}.pem     a link, swapped by one rename; the version before is kept
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { codeOf, Fault, messageOf } from '../../base/fault.ts';
import { makeSigningRequest } from '../../certs/csr.ts';
import { exportKey, keyPair } from '../../certs/key.ts';
import type { IssuedFiles } from '../../control/admin.ts';
import { writeAtomic } from '../../platform/node/files.ts';
import type { Context, Run } from '../context.ts';
import { document } from '../document.ts';
import { durationOption, flag, listArgument, outputOption, textOption, withMesh } from '../input.ts';

interface Item extends IssuedFiles {
  readonly name: string;
  readonly key: string;
  readonly directory: string | undefined;
}

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const names = listArgument(input, 0);
  const out = textOption(input, 'out');
  const ttlMs = durationOption(input, 'ttl', 'ttl');
  const printKey = flag(input, 'printKey');
  if (out === undefined && format === 'table' && !printKey) {
    throw new Fault('USAGE', 'usage', 'where should the key go?', { hint: 'give `--out DIR`, or `--print-key` to have it on stdout' });
  }
  const items = await withMesh(context, input, async (mesh) => {
    const issued: Item[] = [];
    for (const name of names) {
      const { privateKey, publicKey } = keyPair();
      const request = makeSigningRequest(privateKey, publicKey).toString('base64');
      const files = await mesh.request('certs.issue', { name, request, ...(ttlMs === undefined ? {} : { ttlMs }) });
      const key = exportKey(privateKey);
      issued.push({ ...files, name, key, directory: out === undefined ? undefined : writeFiles(context, out, name, files, key) });
    }
    return issued;
  });
  if (format === 'json') {
    context.print(
      document('IssuedCertificates', {
        items: items.map(({ key, directory, ...rest }) => ({
          ...rest,
          ...(directory === undefined ? {} : { directory }),
          ...(printKey ? { key } : {}),
        })),
      }),
    );
    return 0;
  }
  for (const item of items) {
    if (item.directory !== undefined)
      context.print(
        `certificate/${item.name} issued: ${item.spiffeId}, serial ${item.serial}, until ${item.notAfter}\n${['key', 'leaf', 'chain', 'bundle'].map((part) => `  ${join(item.directory ?? '', `${part}.pem`)}\n`).join('')}`,
      );
    else context.print(item.key + item.chain);
  }
  return 0;
};

function writeFiles(context: Context, out: string, name: string, files: IssuedFiles, key: string): string {
  // `shop/web` and a SPIFFE id become one directory name.
  const short = name.startsWith('spiffe://') ? name.split('/').slice(-1).join() : name.replaceAll('/', '.');
  const link = resolve(context.cwd, out, short);
  const parent = dirname(link);
  try {
    mkdirSync(parent, { recursive: true, mode: 0o700 });
    if (existsSync(link) && !lstatSync(link).isSymbolicLink())
      throw new Fault('CERT_OUT', 'conflict', `${link} is there and was not written by \`certs issue\``, { hint: 'choose another --out' });
    const version = `.${short}.${files.serial.slice(0, 16)}`;
    const directory = join(parent, version);
    mkdirSync(directory, { mode: 0o700 });
    chmodSync(directory, 0o700);
    writeAtomic(join(directory, 'key.pem'), key, 0o600);
    writeAtomic(join(directory, 'leaf.pem'), files.leaf, 0o644);
    writeAtomic(join(directory, 'chain.pem'), files.chain, 0o644);
    writeAtomic(join(directory, 'bundle.pem'), files.bundle, 0o644);
    const before = existsSync(link) ? basename(readlinkSync(link)) : undefined;
    const fresh = `${link}.${process.pid}.tmp`;
    symlinkSync(version, fresh);
    renameSync(fresh, link);
    for (const entry of readdirSync(parent)) {
      if (entry.startsWith(`.${short}.`) && entry !== version && entry !== before && /\.[0-9a-f]{16}$/.test(entry))
        rmSync(join(parent, entry), { recursive: true, force: true });
    }
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw new Fault(
      'CERT_OUT',
      'usage',
      `cannot write to ${parent}: ${codeOf(error) === 'EACCES' ? 'permission denied' : messageOf(error)}`,
      { cause: error },
    );
  }
  return link;
}
