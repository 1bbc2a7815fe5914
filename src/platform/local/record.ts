// CertificateRecord on SQLite: `ca/record.db`. One table; what is searched for is read out of each row's body by SQLite itself, so that a
// row cannot say one thing to a search and another to the hash.
import { chmodSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { Fault } from '../../base/fault.ts';
import { sha256 } from '../../base/hash.ts';
import type { CertificateRecord, IssuedRecord, RecordEvent, RecordRow, RevokedRecord } from '../../control/record.ts';

const SCHEMA_VERSION = 1;
const GENESIS = '0'.repeat(64);
const PAGE = 5000;

const SCHEMA = `
CREATE TABLE IF NOT EXISTS record (
  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL,
  serial TEXT AS (coalesce(body ->> '$.issued.serial', body ->> '$.revoked.serial')) VIRTUAL,
  instance TEXT AS (body ->> '$.issued.instance') VIRTUAL,
  not_after INTEGER AS (body ->> '$.issued.notAfterMs') VIRTUAL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS record_serial ON record (serial) WHERE kind = 'issued';
CREATE INDEX IF NOT EXISTS record_instance ON record (instance, id) WHERE kind = 'issued';
CREATE INDEX IF NOT EXISTS record_end ON record (not_after) WHERE kind = 'issued';
CREATE INDEX IF NOT EXISTS record_kind ON record (kind, id) WHERE kind <> 'issued';
CREATE TRIGGER IF NOT EXISTS record_keep_update BEFORE UPDATE ON record BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END;
CREATE TRIGGER IF NOT EXISTS record_keep_delete BEFORE DELETE ON record BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END;
`;

type Row = Record<string, string | number | null>;

export class LocalRecord implements CertificateRecord {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  /** Opens or makes the record of an authority. Throws STORE_UNREADABLE, STORE_NEWER. */
  constructor(directory: string) {
    const path = join(directory, 'record.db');
    const isNew = !existsSync(path);
    try {
      this.#database = new DatabaseSync(path);
      this.#database.exec('PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
    } catch (cause) {
      throw new Fault('STORE_UNREADABLE', 'config', `\`${path}\` cannot be opened as a database`, {
        cause,
        hint: '`meshctl certs restore` brings back a copy',
      });
    }
    if (isNew) chmodSync(path, 0o600);
    const version = Number((this.#database.prepare('PRAGMA user_version').get() as Row)['user_version']);
    if (version > SCHEMA_VERSION) {
      this.#database.close();
      throw new Fault('STORE_NEWER', 'config', `\`${path}\` was written by a later version`, { hint: 'use the newer meshctl' });
    }
    if (version < SCHEMA_VERSION) this.#database.exec(`${SCHEMA} PRAGMA user_version = ${SCHEMA_VERSION};`);
  }

  append(atMs: number, event: RecordEvent): number {
    const { kind, ...rest } = event;
    const body = JSON.stringify(rest);
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      const last = this.head();
      const id = last.id + 1;
      this.#on('INSERT INTO record (id, at, kind, body, hash) VALUES (?, ?, ?, ?, ?)').run(
        id,
        atMs,
        kind,
        body,
        hashOf(last.hash, id, atMs, kind, body),
      );
      this.#database.exec('COMMIT');
      return id;
    } catch (error) {
      this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  newestIssued(instance: string): IssuedRecord | undefined {
    return issuedOf(
      this.#on(
        "SELECT body FROM record WHERE kind = 'issued' AND instance = ? AND body ->> '$.issued.channel' = 'proxy' ORDER BY id DESC LIMIT 1",
      ).get(instance),
    );
  }

  issued(serial: string): IssuedRecord | undefined {
    return issuedOf(this.#on("SELECT body FROM record WHERE kind = 'issued' AND serial = ?").get(serial));
  }

  unexpired(nowMs: number): IssuedRecord[] {
    const rows = this.#on("SELECT body FROM record WHERE kind = 'issued' AND not_after > ? ORDER BY id").all(Math.floor(nowMs));
    return rows.flatMap((row) => issuedOf(row) ?? []);
  }

  revoked(): (RevokedRecord & { atMs: number })[] {
    const rows = this.#on("SELECT at, body FROM record WHERE kind = 'revoked' ORDER BY id DESC").all() as Row[];
    return rows.map((row) => ({
      ...(JSON.parse(String(row['body'])) as { revoked: RevokedRecord }).revoked,
      atMs: Number(row['at']),
    }));
  }

  blocked(): string[] {
    const blocked = new Set<string>();
    const rows = this.#on("SELECT kind, body FROM record WHERE kind IN ('blocked', 'allowed') ORDER BY id").all() as Row[];
    for (const row of rows) {
      const { spiffeId } = JSON.parse(String(row['body'])) as { spiffeId: string };
      if (row['kind'] === 'blocked') blocked.add(spiffeId);
      else blocked.delete(spiffeId);
    }
    return [...blocked];
  }

  rows(after: number, limit: number): RecordRow[] {
    const rows = this.#on('SELECT id, at, kind, body, hash FROM record WHERE id > ? ORDER BY id LIMIT ?').all(after, limit) as Row[];
    return rows.map((row) => ({
      id: Number(row['id']),
      atMs: Number(row['at']),
      event: { kind: row['kind'], ...JSON.parse(String(row['body'])) } as RecordEvent,
      hash: String(row['hash']),
    }));
  }

  head(): { id: number; hash: string } {
    const row = this.#on('SELECT id, hash FROM record ORDER BY id DESC LIMIT 1').get() as Row | undefined;
    return row === undefined ? { id: 0, hash: GENESIS } : { id: Number(row['id']), hash: String(row['hash']) };
  }

  rowOf(hash: string): number | undefined {
    const row = this.#on('SELECT id FROM record WHERE hash = ?').get(hash) as Row | undefined;
    return row === undefined ? undefined : Number(row['id']);
  }

  broken(): number | undefined {
    let last = { id: 0, hash: GENESIS };
    for (;;) {
      const rows = this.#on('SELECT id, at, kind, body, hash FROM record WHERE id > ? ORDER BY id LIMIT ?').all(last.id, PAGE) as Row[];
      if (rows.length === 0) return undefined;
      for (const row of rows) {
        const id = Number(row['id']);
        const hash = hashOf(last.hash, id, Number(row['at']), String(row['kind']), String(row['body']));
        if (id !== last.id + 1 || hash !== row['hash']) return last.id + 1;
        last = { id, hash };
      }
    }
  }

  close(): void {
    this.#database.close();
  }

  #on(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const prepared = this.#database.prepare(sql);
    this.#statements.set(sql, prepared);
    return prepared;
  }
}

function hashOf(before: string, id: number, atMs: number, kind: string, body: string): string {
  return sha256([before, id, atMs, kind, body].join('\n'));
}

function issuedOf(row: unknown): IssuedRecord | undefined {
  return row === undefined ? undefined : (JSON.parse(String((row as Row)['body'])) as { issued: IssuedRecord }).issued;
}
