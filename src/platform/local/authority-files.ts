// The authority on disk: ca/authority.json says which mesh it is for; certificates and keys are PEM beside it, keys 0600.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { Fault } from '../../base/fault.ts';
import { Authority, createAuthority } from '../../certs/authority.ts';
import { readIfThere, readJsonIfThere, writeAtomic } from '../node/files.ts';
import type { StateDir } from './state-dir.ts';

interface Meta {
  readonly schemaVersion: 1;
  readonly trustDomain: string;
  /** Counts up with each new intermediate. */
  readonly generation: number;
}

const NAMES = {
  rootCertificate: 'root.pem',
  rootKey: 'root-key.pem',
  intermediateCertificate: 'intermediate.pem',
  intermediateKey: 'intermediate-key.pem',
} as const;

/** Opens the authority, or makes one for the trust domain. `authority.json` is written last: without it nothing has begun. */
export function openAuthority(
  state: StateDir,
  trustDomain: string,
  nowMs: number,
): { authority: Authority; generation: number; made: boolean } {
  const metaPath = join(state.ca, 'authority.json');
  const meta = readJsonIfThere(metaPath) as Meta | undefined;
  if (meta === undefined) {
    const files = createAuthority(trustDomain, nowMs);
    for (const [part, name] of Object.entries(NAMES))
      writeAtomic(join(state.ca, name), files[part as keyof typeof NAMES], name.endsWith('-key.pem') ? 0o600 : 0o644);
    writeAtomic(metaPath, JSON.stringify({ schemaVersion: 1, trustDomain, generation: 1 } satisfies Meta));
    return { authority: new Authority(files), generation: 1, made: true };
  }
  if (meta.schemaVersion !== 1)
    throw new Fault('STORE_NEWER', 'config', `${metaPath} was written by a later version`, {
      hint: 'use the newer meshctl, or another state directory',
    });
  if (meta.trustDomain !== trustDomain) {
    throw new Fault(
      'CA_TRUST_DOMAIN',
      'conflict',
      `the authority in ${state.ca} is for trust domain \`${meta.trustDomain}\`, the mesh file says \`${trustDomain}\``,
      { hint: 'keep the trust domain, or move that directory away to begin anew' },
    );
  }
  const read = (name: string): string => {
    const path = join(state.ca, name);
    const text = readIfThere(path);
    if (text === undefined)
      throw new Fault('CA_UNREADABLE', 'config', `${path} is missing`, {
        hint: 'restore `ca/` from a copy, or remove it to make a new authority',
      });
    if (name.endsWith('-key.pem') && (statSync(path).mode & 0o077) !== 0)
      throw new Fault('CA_KEY_MODE', 'config', `others can read the key ${path}`, { hint: `run \`chmod 600 ${path}\`` });
    return text;
  };
  const authority = new Authority({
    rootCertificate: read(NAMES.rootCertificate),
    rootKey: read(NAMES.rootKey),
    intermediateCertificate: read(NAMES.intermediateCertificate),
    intermediateKey: read(NAMES.intermediateKey),
  });
  return { authority, generation: meta.generation, made: false };
}
