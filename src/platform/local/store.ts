// Store on SQLite (`node:sqlite`) in the state directory.
//
//   control.db     tokens used, policy revisions: each write is durable before it is answered
//   telemetry.db   spans and counters: written in batches, at most FLUSH_MS behind; a crash loses that much and no more
//
// Series are cumulative per proxy epoch; what is stored per second is their growth, so a restart of control double-counts nothing.
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { Fault } from '../../base/fault.ts';
import type { PolicyRevision, RecentQuery, Store, TraceMatch } from '../../control/store.ts';
import type { SeriesSample } from '../../mesh/messages.ts';
import type { SeriesLabels, WindowSeries } from '../../signals/golden.ts';
import type { Span } from '../../traces/span.ts';
import { POINTS_SCHEMA, type PointProxy, Points } from './points.ts';

export const FLUSH_MS = 200;
const PRUNE_EVERY_MS = 10_000;
/** Newest spans kept, whatever their age: about 400 MiB. */
const MAX_SPANS = 500_000;
const SCHEMA_VERSION = 4;
/** Spans that are read at once before others get their turn. */
const PAGE = 2000;
/** Over this the oldest counters go, finest first. */
const MAX_TELEMETRY_BYTES = 1024 * 1024 * 1024;
/** What waits for the next flush; beyond it the oldest is dropped, so that a slow disk does not fill the memory. */
const MAX_WAITING_SPANS = 100_000;

const CONTROL_SCHEMA = `
CREATE TABLE IF NOT EXISTS used_tokens (hash TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS policies (
  revision INTEGER PRIMARY KEY, hash TEXT NOT NULL, applied_at INTEGER NOT NULL, user TEXT NOT NULL, message TEXT NOT NULL, origin TEXT NOT NULL, files TEXT NOT NULL, audit TEXT NOT NULL DEFAULT 'none'
) STRICT;
`;

const TELEMETRY_SCHEMA = `
CREATE TABLE IF NOT EXISTS spans (
  id INTEGER PRIMARY KEY, trace_id TEXT NOT NULL, request_id TEXT NOT NULL, start_ms REAL NOT NULL, denied INTEGER NOT NULL, root INTEGER NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS spans_trace ON spans (trace_id);
CREATE INDEX IF NOT EXISTS spans_request ON spans (request_id) WHERE request_id <> '';
CREATE INDEX IF NOT EXISTS spans_denied ON spans (id) WHERE denied = 1;
${POINTS_SCHEMA}`;

type Row = Record<string, string | number | null>;

export class LocalStore implements Store {
  readonly #control: DatabaseSync;
  readonly #telemetry: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #points: Points;
  readonly #timers: NodeJS.Timeout[];
  readonly #retentionMs: () => number;
  #spans: Span[] = [];
  #samples: { proxy: PointProxy; atMs: number; series: readonly SeriesSample[] }[] = [];
  droppedSpans = 0;

  /** Opens or makes both databases under `directory`. Throws STORE_NEWER for a schema of a later version. */
  constructor(directory: string, retentionMs: () => number) {
    this.#retentionMs = retentionMs;
    this.#control = open(join(directory, 'control.db'), CONTROL_SCHEMA, 'FULL');
    this.#telemetry = open(join(directory, 'telemetry.db'), TELEMETRY_SCHEMA, 'NORMAL');
    this.#points = new Points(this.#telemetry);
    this.#timers = [setInterval(() => this.flush(), FLUSH_MS), setInterval(() => this.prune(Date.now()), PRUNE_EVERY_MS)];
  }

  useToken(hash: string): boolean {
    return this.#on(this.#control, 'INSERT OR IGNORE INTO used_tokens (hash) VALUES (?)').run(hash).changes === 1;
  }

  savePolicy(revision: PolicyRevision): void {
    this.#on(
      this.#control,
      'INSERT INTO policies (revision, hash, applied_at, user, message, origin, files, audit) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    ).run(
      revision.revision,
      revision.hash,
      revision.appliedAtMs,
      revision.user,
      revision.message,
      revision.origin,
      JSON.stringify(revision.files),
      revision.audit,
    );
  }

  newestPolicy(): PolicyRevision | undefined {
    const row = this.#on(this.#control, 'SELECT * FROM policies ORDER BY revision DESC LIMIT 1').get() as Row | undefined;
    return row === undefined ? undefined : policyOf(row);
  }

  policies(): PolicyRevision[] {
    return (this.#on(this.#control, 'SELECT * FROM policies ORDER BY revision').all() as Row[]).map(policyOf);
  }

  addSpans(spans: readonly Span[]): void {
    this.#spans.push(...spans);
    const over = this.#spans.length - MAX_WAITING_SPANS;
    if (over > 0) {
      this.#spans.splice(0, over);
      this.droppedSpans += over;
    }
  }

  addSamples(proxy: PointProxy, atMs: number, series: readonly SeriesSample[]): void {
    this.#samples.push({ proxy, atMs, series });
  }

  /** Writes what waits, in one transaction. */
  flush(): void {
    if (this.#spans.length === 0 && this.#samples.length === 0) return;
    const spans = this.#spans;
    const samples = this.#samples;
    this.#spans = [];
    this.#samples = [];
    this.#telemetry.exec('BEGIN');
    try {
      const insert = this.#on(
        this.#telemetry,
        'INSERT INTO spans (trace_id, request_id, start_ms, denied, root, body) VALUES (?, ?, ?, ?, ?, ?)',
      );
      for (const span of spans)
        insert.run(
          span.traceId,
          span.requestId,
          span.startMs,
          span.verdict === 'denied' ? 1 : 0,
          span.kind === 'server' && span.peerId === undefined ? 1 : 0,
          JSON.stringify(span),
        );
      for (const { proxy, atMs, series } of samples) this.#points.add(proxy, atMs, series);
      this.#telemetry.exec('COMMIT');
    } catch (error) {
      this.#telemetry.exec('ROLLBACK');
      // The counters are cumulative: what was rolled back comes again with the next sample, from the state that is stored.
      this.#points.load();
      this.droppedSpans += spans.length;
      process.stderr.write(`telemetry could not be written: ${String(error)}\n`);
    }
  }

  window(fromMs: number, toMs = Date.now(), wants?: (labels: SeriesLabels) => boolean): WindowSeries[] {
    this.flush();
    return this.#points.window(fromMs, toMs, Date.now(), wants);
  }

  totals(proxies: readonly string[]): WindowSeries[] {
    this.flush();
    return this.#points.totals(proxies);
  }

  timeline(fromMs: number, toMs: number, stepMs: number): Map<number, WindowSeries[]> {
    this.flush();
    return this.#points.timeline(fromMs, toMs, stepMs, Date.now());
  }

  findTraces(id: string, limit: number): TraceMatch[] {
    this.flush();
    const end = `${id.slice(0, -1)}${String.fromCharCode(id.charCodeAt(id.length - 1) + 1)}`;
    const rows = this.#on(
      this.#telemetry,
      `SELECT DISTINCT trace_id, request_id FROM spans WHERE trace_id >= ? AND trace_id < ? UNION SELECT DISTINCT trace_id, request_id FROM spans WHERE request_id <> '' AND request_id >= ? AND request_id < ? LIMIT ?`,
    ).all(id, end, id, end, limit * 4) as Row[];
    return distinct(rows).slice(0, limit);
  }

  recentTraces({ denied, limit }: RecentQuery): TraceMatch[] {
    this.flush();
    const where = denied ? "denied = 1 AND request_id <> ''" : 'root = 1';
    return distinct(
      this.#on(this.#telemetry, `SELECT trace_id, request_id FROM spans WHERE ${where} ORDER BY id DESC LIMIT ?`).all(limit) as Row[],
    );
  }

  spansOf(traceId: string): Span[] {
    this.flush();
    return (this.#on(this.#telemetry, 'SELECT body FROM spans WHERE trace_id = ? LIMIT 10000').all(traceId) as Row[]).map(
      (row) => JSON.parse(String(row['body'])) as Span,
    );
  }

  async *pagesSince(fromMs: number): AsyncIterable<readonly Span[]> {
    this.flush();
    const page = this.#on(this.#telemetry, 'SELECT id, body FROM spans WHERE id > ? AND start_ms >= ? ORDER BY id LIMIT ?');
    for (let last = 0; ; ) {
      const rows = page.all(last, fromMs, PAGE) as Row[];
      if (rows.length === 0) return;
      last = Number(rows.at(-1)?.['id']);
      yield rows.map((row) => JSON.parse(String(row['body'])) as Span);
      await new Promise((done) => setImmediate(done));
    }
  }

  /** Deletes what is older than the retention, and the oldest over the caps; a bounded piece at a time. */
  prune(nowMs: number): void {
    const before = nowMs - this.#retentionMs();
    this.#on(this.#telemetry, 'DELETE FROM spans WHERE id IN (SELECT id FROM spans WHERE start_ms < ? ORDER BY id LIMIT 20000)').run(
      before,
    );
    this.#on(
      this.#telemetry,
      'DELETE FROM spans WHERE id IN (SELECT id FROM spans WHERE id <= (SELECT max(id) FROM spans) - ? ORDER BY id LIMIT 20000)',
    ).run(MAX_SPANS);
    this.#points.tend(nowMs);
    const of = (name: string): number => Number(Object.values(this.#on(this.#telemetry, `PRAGMA ${name}`).get() as Row)[0]);
    if ((of('page_count') - of('freelist_count')) * of('page_size') > MAX_TELEMETRY_BYTES) this.#points.shrink();
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.flush();
    this.#telemetry.close();
    this.#control.close();
  }

  #on(database: DatabaseSync, sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const prepared = database.prepare(sql);
    this.#statements.set(sql, prepared);
    return prepared;
  }
}

function open(path: string, schema: string, synchronous: 'FULL' | 'NORMAL'): DatabaseSync {
  let database: DatabaseSync;
  try {
    database = new DatabaseSync(path);
    database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${synchronous}; PRAGMA busy_timeout = 2000;`);
  } catch (cause) {
    throw new Fault('STORE_UNREADABLE', 'config', `\`${path}\` cannot be opened as a database`, {
      cause,
      hint: 'move it away: a new one is made at the next start',
    });
  }
  chmodSync(path, 0o600);
  const version = Number((database.prepare('PRAGMA user_version').get() as Row)['user_version']);
  if (version > SCHEMA_VERSION) {
    database.close();
    throw new Fault(
      'STORE_NEWER',
      'config',
      `\`${path}\` was written by a later version (schema ${version}, this one knows ${SCHEMA_VERSION})`,
      { hint: 'use the newer meshctl, or another state directory' },
    );
  }
  // Version 1 knew no audit.
  if (version === 1 && isThere(database, 'policies')) database.exec("ALTER TABLE policies ADD COLUMN audit TEXT NOT NULL DEFAULT 'none'");
  // Until version 2 the record of certificates stood here; the authority has taken it over (office.ts).
  if (version > 0 && version < 3) database.exec('DROP TABLE IF EXISTS issued');
  // Until version 3 counters were a row a series and second, for a day; what they said of the past is let go.
  if (version > 0 && version < 4) database.exec('DROP TABLE IF EXISTS points; DROP TABLE IF EXISTS series');
  database.exec(`${schema} PRAGMA user_version = ${SCHEMA_VERSION};`);
  return database;
}

function isThere(database: DatabaseSync, table: string): boolean {
  return database.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?").get(table) !== undefined;
}

function policyOf(row: Row): PolicyRevision {
  return {
    revision: Number(row['revision']),
    hash: String(row['hash']),
    appliedAtMs: Number(row['applied_at']),
    user: String(row['user']),
    message: String(row['message']),
    origin: row['origin'] === 'apply' ? 'apply' : 'file',
    files: JSON.parse(String(row['files'])) as PolicyRevision['files'],
    audit: row['audit'] === 'default' || row['audit'] === 'all' ? row['audit'] : 'none',
  };
}

function distinct(rows: readonly Row[]): TraceMatch[] {
  const found = new Map<string, TraceMatch>();
  for (const row of rows) {
    const traceId = String(row['trace_id']);
    if (!found.has(traceId)) found.set(traceId, { traceId, requestId: String(row['request_id']) });
  }
  return [...found.values()];
}
