// `meshctl certs issue NAME…`: the key is made here and never sent; the authority sees a signing request.
import { join, resolve } from 'node:path';
import { Fault } from '../../base/fault.ts';
import { makeSigningRequest } from '../../certs/csr.ts';
import { exportKey, keyPair, makeKeys } from '../../certs/key.ts';
import { parsePem } from '../../certs/pem.ts';
import { LEAF_KINDS, type LeafKind } from '../../certs/profile.ts';
import type { IssuedFiles } from '../../control/certs.ts';
import type { AuthorityConnection, Context, Input, Run } from '../context.ts';
import { document } from '../document.ts';
import { durationOption, flag, listArgument, outputOption, repeatedOption, textOption, withAuthority } from '../input.ts';
import { readBytes } from '../read-files.ts';
import { LAYOUTS, type Layout, layoutOption, writeVersion } from './output.ts';
import { keyTypeOption } from './rotate.ts';

interface Item extends IssuedFiles {
  readonly name: string;
  /** PEM; undefined when the request came from elsewhere. */
  readonly key: string | undefined;
  readonly directory: string | undefined;
}

interface Order {
  readonly names: readonly string[];
  readonly kind: LeafKind;
  readonly csr: Buffer | undefined;
  readonly out: string | undefined;
  readonly layout: Layout;
  readonly ttlMs: number | undefined;
}

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const printKey = flag(input, 'printKey');
  const order = readOrder(context, input);
  if (order.out === undefined && format === 'table' && !printKey && order.csr === undefined)
    throw new Fault('USAGE', 'usage', 'where should the key go?', { hint: 'give `--out DIR`, or `--print-key` to have it on stdout' });
  if (flag(input, 'dryRun')) {
    context.print(`would issue ${order.kind} certificates for ${order.names.join(', ') || 'the name in the request'}\n`);
    return 0;
  }
  const items = await withAuthority(context, input, async (authority) => {
    const issued: Item[] = [];
    for (const name of order.names.length === 0 ? [undefined] : order.names)
      issued.push(await issueOne(context, input, authority, order, name));
    return issued;
  });
  if (format === 'json') {
    context.print(
      document('IssuedCertificates', {
        items: items.map(({ key, directory, ...rest }) => ({
          ...rest,
          ...(directory === undefined ? {} : { directory }),
          ...(printKey && key !== undefined ? { key } : {}),
        })),
      }),
    );
    return 0;
  }
  for (const item of items) {
    const { directory } = item;
    if (directory === undefined) context.print((printKey ? (item.key ?? '') : '') + item.chain);
    else {
      const files = Object.entries(LAYOUTS[order.layout]).flatMap(([part, file]) =>
        file === undefined || (part === 'key' && item.key === undefined) ? [] : [`  ${join(directory, file)}\n`],
      );
      const who = item.spiffeId ?? [item.kind, ...item.names].join(' ');
      context.print(`certificate/${item.name} issued: ${who}, serial ${item.serial}, until ${item.notAfter}\n${files.join('')}`);
    }
  }
  return 0;
};

function readOrder(context: Context, input: Input): Order {
  const kind = textOption(input, 'kind') ?? 'peer';
  const found = LEAF_KINDS.find((each) => each === kind);
  if (found === undefined) throw new Fault('USAGE', 'usage', `\`--kind ${kind}\` is not known: ${LEAF_KINDS.join(', ')} are`);
  const list = textOption(input, 'from');
  const more =
    list === undefined
      ? []
      : readBytes(context, list)
          .toString('utf8')
          .split('\n')
          .map((line) => line.trim())
          .filter((line) => line !== '' && !line.startsWith('#'));
  const names = [...listArgument(input, 0), ...more];
  const csr = textOption(input, 'csr');
  if (csr !== undefined && names.length > 1) throw new Fault('USAGE', 'usage', 'a signing request is for one name');
  if (csr === undefined && names.length === 0)
    throw new Fault('USAGE', 'usage', 'for whom?', { hint: 'give a NAME, or `--from FILE` with one a line' });
  return {
    names,
    kind: found,
    csr: csr === undefined ? undefined : readRequest(readBytes(context, csr), csr),
    out: textOption(input, 'out'),
    layout: layoutOption(input),
    ttlMs: durationOption(input, 'ttl', 'ttl'),
  };
}

/** DER of a request in PEM or DER. */
function readRequest(bytes: Buffer, file: string): Buffer {
  if (bytes[0] === 0x30) return bytes;
  const block = parsePem(bytes.toString('latin1')).find(({ label }) => /^(?:NEW )?CERTIFICATE REQUEST$/.test(label));
  if (block === undefined) throw new Fault('CERT_UNREADABLE', 'usage', `\`${file}\` holds no \`CERTIFICATE REQUEST\``);
  return block.der;
}

async function issueOne(
  context: Context,
  input: Input,
  authority: AuthorityConnection,
  order: Order,
  name: string | undefined,
): Promise<Item> {
  const keyType = keyTypeOption(input);
  const keys = order.csr !== undefined ? undefined : keyType === undefined ? keyPair() : await makeKeys(keyType);
  const request = order.csr ?? (keys === undefined ? undefined : makeSigningRequest(keys.privateKey, keys.publicKey));
  const files = await authority.request('certs.issue', {
    ...(name === undefined ? {} : { name }),
    kind: order.kind,
    dnsNames: repeatedOption(input, 'dns'),
    ips: repeatedOption(input, 'ip'),
    request: (request ?? Buffer.alloc(0)).toString('base64'),
    ...(order.ttlMs === undefined ? {} : { ttlMs: order.ttlMs }),
  });
  const shown = name ?? files.spiffeId ?? files.names[0] ?? files.serial;
  const key = keys === undefined ? undefined : exportKey(keys.privateKey);
  const directory = order.out === undefined ? undefined : resolve(context.cwd, order.out, directoryName(shown));
  if (directory !== undefined) writeVersion(directory, order.layout, { ...files, key });
  return { ...files, name: shown, key, directory };
}

/** `shop/web` and a SPIFFE id become one directory name. */
function directoryName(name: string): string {
  return name.startsWith('spiffe://') ? (name.split('/').at(-1) ?? '') : name.replaceAll('/', '.').replace(/^\.+/, '_').replace('*', '_');
}
