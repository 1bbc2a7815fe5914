// Where issued certificates are written: one link a name, swapped by one rename, so that no reader sees a key beside another's certificate.
//
//   DIR/NAME ─► DIR/.NAME.<version>/{key,leaf,chain,bundle}.pem     the version before is kept
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { codeOf, Fault, messageOf } from '../../base/fault.ts';
import { writeAtomic } from '../../platform/node/files.ts';
import type { Input } from '../context.ts';
import { textOption } from '../input.ts';

/** File names by part; what a layout does not name is not written. */
export const LAYOUTS = {
  meshctl: { key: 'key.pem', leaf: 'leaf.pem', chain: 'chain.pem', bundle: 'bundle.pem' },
  tls: { key: 'tls.key', leaf: undefined, chain: 'tls.crt', bundle: 'ca.crt' },
  'spiffe-helper': { key: 'svid_key.pem', leaf: undefined, chain: 'svid.pem', bundle: 'svid_bundle.pem' },
} as const;
export type Layout = keyof typeof LAYOUTS;

export interface Parts {
  /** PEM; undefined when the key is with whoever made the request. */
  readonly key: string | undefined;
  readonly leaf: string;
  readonly chain: string;
  readonly bundle: string;
  readonly serial: string;
}

export function layoutOption(input: Input): Layout {
  const text = textOption(input, 'layout') ?? 'meshctl';
  const found = (Object.keys(LAYOUTS) as Layout[]).find((each) => each === text);
  if (found === undefined) throw new Fault('USAGE', 'usage', `\`--layout ${text}\` is not known: ${Object.keys(LAYOUTS).join(', ')} are`);
  return found;
}

/** The layout of a directory that was written here; undefined for any other. */
export function layoutOf(directory: string): Layout | undefined {
  return (Object.keys(LAYOUTS) as Layout[]).find((each) => existsSync(join(directory, LAYOUTS[each].chain)));
}

/** Writes a new version and swaps the link. Throws CERT_OUT. */
export function writeVersion(link: string, layout: Layout, parts: Parts): void {
  const parent = dirname(link);
  const short = basename(link);
  try {
    mkdirSync(parent, { recursive: true, mode: 0o700 });
    if (existsSync(link) && !lstatSync(link).isSymbolicLink())
      throw new Fault('CERT_OUT', 'conflict', `${link} is there and was not written by \`certs issue\``, { hint: 'choose another --out' });
    const version = `.${short}.${parts.serial.slice(0, 16)}`;
    const directory = join(parent, version);
    mkdirSync(directory, { mode: 0o700 });
    chmodSync(directory, 0o700);
    const names = LAYOUTS[layout];
    if (parts.key !== undefined) writeAtomic(join(directory, names.key), parts.key, 0o600);
    for (const part of ['leaf', 'chain', 'bundle'] as const) {
      const name = names[part];
      if (name !== undefined) writeAtomic(join(directory, name), parts[part], 0o644);
    }
    const before = existsSync(link) ? basename(readlinkSync(link)) : undefined;
    const fresh = `${link}.${process.pid}.tmp`;
    rmSync(fresh, { force: true });
    symlinkSync(version, fresh);
    renameSync(fresh, link);
    for (const entry of readdirSync(parent)) {
      // `.shop.api.<version>` is one of `shop.api`, not of `shop`.
      const isOurs = entry.startsWith(`.${short}.`) && /^[0-9a-f]{16}$/.test(entry.slice(short.length + 2));
      if (isOurs && entry !== version && entry !== before) rmSync(join(parent, entry), { recursive: true, force: true });
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
}
