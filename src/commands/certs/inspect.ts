// `meshctl certs inspect FILE|HOST:PORT…`: certificates, keys, signing requests, lists of revocations; the chain that a server shows.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { Fault, messageOf } from '../../base/fault.ts';
import { printable } from '../../base/printable.ts';
import { readPkcs12 } from '../../certs/containers.ts';
import { type CertificateDescription, type Description, describeCertificate, describeFile } from '../../certs/describe.ts';
import { NAME } from '../../mesh/identity.ts';
import { paint, SYMBOL } from '../../views/theme.ts';
import type { Context, Input, Run } from '../context.ts';
import { document } from '../document.ts';
import { flag, listArgument, outputOption, withMesh } from '../input.ts';
import { readBytes } from '../read-files.ts';
import { readLiveChain } from './live-chain.ts';
import { passphraseFile } from './secrets.ts';

type Item = { readonly file: string } & Description;

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const items: Item[] = [];
  for (const name of listArgument(input, 0)) items.push(...(await read(context, input, name)));
  if (format === 'json') context.print(document('Inspection', { items }));
  else
    for (const item of items) {
      if (flag(input, 'short')) {
        context.print(`${printable(item.file)}: ${printable(shortly(item))}\n`);
        continue;
      }
      context.print(`${paint('strong', printable(item.file))}: ${printable(title(item))}\n`);
      for (const [name, value] of lines(item)) context.print(`  ${name.padEnd(12)} ${printable(value)}\n`);
    }
  return items.every((item) => item.type !== 'unreadable') ? 0 : 2;
};

async function read(context: Context, input: Input, name: string): Promise<Item[]> {
  const server = /^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):(\d{1,5})$/.exec(name);
  if (server !== null && !existsSync(resolve(context.cwd, name))) {
    const chain = await readLiveChain((server[1] ?? '').replace(/^\[|\]$/g, ''), Number(server[2]));
    return chain.map((certificate) => ({ file: name, ...describeCertificate(certificate, context.now()) }));
  }
  const full = resolve(context.cwd, name);
  if (name !== '-' && NAME.test(name) && !existsSync(full)) return readService(context, input, name);
  const bytes = readBytes(context, name);
  const found = describeFile(await opened(context, input, name, bytes), context.now());
  if (found.length === 0) throw new Fault('CERT_UNREADABLE', 'usage', `\`${name}\` holds no PEM block and is no DER certificate`);
  return found.map((item) => ({ file: name, ...item }));
}

/** What the proxies of a running service show to whoever connects. */
async function readService(context: Context, input: Input, name: string): Promise<Item[]> {
  const { items } = await withMesh(context, input, (mesh) => mesh.request('certs.targets', { service: name }));
  if (items.length === 0)
    throw new Fault('FILE_UNREADABLE', 'usage', `\`${name}\` is neither a file nor a service with a proxy that listens`);
  const chains = await Promise.all(items.map(async ({ instance, host, port }) => ({ instance, chain: await readLiveChain(host, port) })));
  return chains.flatMap(({ instance, chain }) =>
    chain.map((certificate) => ({ file: instance, ...describeCertificate(certificate, context.now()) })),
  );
}

function shortly(item: Description): string {
  if (item.type !== 'certificate') return title(item);
  const what = item.spiffeId ?? (item.subject || item.subjectAltNames.join(', '));
  return `${item.ca ? 'authority ' : ''}${what}, ${item.expired ? `expired on ${item.notAfter}` : `${item.lifeLeftPercent}% left, until ${item.notAfter}`}, serial ${item.serial}`;
}

/** A PKCS#12 as the PEM of what is in it. It says itself that it is one: version 3 of a PFX begins so (RFC 7292 section 4). */
async function opened(context: Context, input: Input, name: string, bytes: Buffer): Promise<Buffer> {
  const PFX = Buffer.from([0x02, 0x01, 0x03, 0x30]);
  if (bytes[0] !== 0x30 || !bytes.subarray(1, 10).includes(PFX)) return bytes;
  const passphrase = passphraseFile(context, input) ?? (context.isTerminal ? await context.askSecret(`passphrase of ${name}: `) : '');
  try {
    const { certificates, keys } = readPkcs12(bytes, passphrase);
    return Buffer.from([...certificates, ...keys].join(''));
  } catch (cause) {
    throw new Fault('CERT_UNREADABLE', 'usage', `\`${name}\` is a PKCS#12, and ${messageOf(cause)}`, {
      cause,
      hint: 'give --passphrase-file FILE',
    });
  }
}

function title(item: Description): string {
  switch (item.type) {
    case 'certificate':
      return 'certificate';
    case 'private-key':
      return `private key, ${item.description}`;
    case 'signing-request':
      return 'signing request';
    case 'revocation-list':
      return 'list of revocations';
    case 'unreadable':
      return item.description;
  }
}

const MAX_SERIALS = 20;

function lines(item: Description): [string, string][] {
  switch (item.type) {
    case 'certificate':
      return certificateLines(item);
    case 'signing-request':
      return [
        ['subject', item.subject],
        ['key', item.publicKey],
        ['signature', item.signatureHolds ? 'of its own key' : `${SYMBOL.bad} not of its own key`],
      ];
    case 'revocation-list':
      return [
        ['issuer', item.issuer],
        ['this update', item.thisUpdate],
        [
          'next update',
          item.nextUpdate === null ? '(none: it never ends)' : `${item.nextUpdate}${item.expired ? ` (${SYMBOL.bad} expired)` : ''}`,
        ],
        ['revoked', String(item.revoked.length)],
        ...item.revoked.slice(0, MAX_SERIALS).map(({ serial, at }): [string, string] => ['', `${serial} on ${at}`]),
      ];
    default:
      return [];
  }
}

function certificateLines(item: CertificateDescription): [string, string][] {
  return [
    ['subject', item.subject === '' ? '(empty)' : item.subject],
    ['issuer', item.issuer],
    ['names', item.subjectAltNames.join(', ') || '(none)'],
    ['serial', item.serial],
    ['not before', item.notBefore],
    ['not after', `${item.notAfter} (${item.expired ? `${SYMBOL.bad} expired` : `${item.lifeLeftPercent}% of its life left`})`],
    ['authority', item.ca ? `yes${item.pathLength === null ? '' : `, path length ${item.pathLength}`}` : 'no'],
    ['usage', [...item.keyUsage, ...item.extendedKeyUsage].join(', ') || '(none)'],
    ['key', item.publicKey],
    ['sha-256', item.fingerprintSha256],
  ];
}
