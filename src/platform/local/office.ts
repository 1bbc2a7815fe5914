// Opens the authority of a directory: one process at a time, held by a lock with pid and start time.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Fault } from '../../base/fault.ts';
import { Office } from '../../control/office.ts';
import { makePrivateDirectory } from '../node/files.ts';
import { takeLockAt } from '../node/lock.ts';
import { AuthorityFiles, ensureAuthority } from './authority-files.ts';
import { LocalRecord } from './record.ts';

/** A command that works on the authority without a mesh is done in a moment; others wait for it this long. */
const LOCK_WAIT_MS = 15_000;
const LOOK_EVERY_MS = 20;

export interface OpenOffice {
  readonly office: Office;
  close(): void;
}

/** Takes the lock of an authority's directory. Throws CA_LOCKED when another process keeps it. */
export async function lockAuthority(directory: string, isKept = false): Promise<() => void> {
  makePrivateDirectory(directory);
  const end = Date.now() + LOCK_WAIT_MS;
  for (;;) {
    const taken = takeLockAt(join(directory, 'lock'), isKept);
    if (typeof taken === 'function') return taken;
    // Two that want to keep it: the one before may be on its way out.
    if (Date.now() >= end || (taken.isKept && !isKept))
      throw new Fault('CA_LOCKED', 'conflict', `the authority in ${directory} is in use by process ${taken.pid}`, {
        hint: 'a running mesh uses its authority: leave `--dir` out and name the mesh by `--state`',
      });
    await new Promise((done) => setTimeout(done, LOOK_EVERY_MS));
  }
}

/**
 * Opens an authority; with a trust domain one is made where there is none. `earlier` is a database whose record of certificates is taken
 * over (before version 3 it stood with the policies). Throws CA_NONE, CA_LOCKED, CA_UNREADABLE, CA_TRUST_DOMAIN.
 */
export async function openOffice(
  directory: string,
  wanted: { trustDomain?: string; earlier?: string; isKept?: boolean } = {},
): Promise<OpenOffice> {
  const files = new AuthorityFiles(directory);
  if (wanted.trustDomain === undefined && !files.exists)
    throw new Fault('CA_NONE', 'unavailable', `there is no authority in ${directory}`, { hint: '`meshctl certs init` makes one' });
  const unlock = await lockAuthority(directory, wanted.isKept);
  let record: LocalRecord | undefined;
  try {
    if (wanted.trustDomain !== undefined) ensureAuthority(files, wanted.trustDomain, Date.now());
    record = new LocalRecord(directory);
    if (wanted.earlier !== undefined) takeOver(record, wanted.earlier);
    const open = record;
    if (record.head().id === 0) record.append(Date.now(), { kind: 'authority', what: `made: ${namesIn(files)}` });
    return {
      office: new Office(files, record, Date.now),
      close: () => {
        open.close();
        unlock();
      },
    };
  } catch (error) {
    record?.close();
    unlock();
    throw error;
  }
}

function namesIn(files: AuthorityFiles): string {
  return files
    .load()
    .certificates.map(({ name }) => name)
    .join(', ');
}

function takeOver(record: LocalRecord, path: string): void {
  if (record.head().id > 0 || !existsSync(path)) return;
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    const isThere = database.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'issued'").get() !== undefined;
    if (!isThere) return;
    for (const row of database.prepare('SELECT * FROM issued ORDER BY id').all() as Record<string, string | number>[])
      record.append(Number(row['issued_at']), {
        kind: 'issued',
        issued: {
          serial: String(row['serial']),
          spiffeId: String(row['spiffe_id']),
          service: String(row['service']),
          instance: String(row['instance']),
          channel: row['channel'] === 'file' ? 'file' : 'proxy',
          kind: 'peer',
          issuedAtMs: Number(row['issued_at']),
          notBeforeMs: Number(row['not_before']),
          notAfterMs: Number(row['not_after']),
          issuer: `peer-${row['generation']}`,
          generation: Number(row['generation']),
        },
      });
  } finally {
    database.close();
  }
}
