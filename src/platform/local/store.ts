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
import type { WindowSeries } from '../../signals/golden.ts';
import { addBuckets } from '../../signals/histogram.ts';
import type { Span } from '../../traces/span.ts';

export const FLUSH_MS = 200;
const PRUNE_EVERY_MS = 10_000;
/** Newest spans kept, whatever their age: about 400 MiB. */
const MAX_SPANS = 500_000;
const SCHEMA_VERSION = 3;
/** Spans that are read at once before others get their turn. */
const PAGE = 2000;
/** Newest points kept, whatever their age: about 150 MiB. */
const MAX_POINTS = 500_000;
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
CREATE TABLE IF NOT EXISTS series (
  id INTEGER PRIMARY KEY, proxy TEXT NOT NULL, epoch TEXT NOT NULL, service TEXT NOT NULL, instance TEXT NOT NULL, direction TEXT NOT NULL,
  peer TEXT NOT NULL, protocol TEXT NOT NULL, outcome TEXT NOT NULL, last_at INTEGER NOT NULL, last_count INTEGER NOT NULL, last_sum REAL NOT NULL, last_buckets TEXT NOT NULL,
  UNIQUE (proxy, epoch, direction, peer, protocol, outcome)
) STRICT;
CREATE TABLE IF NOT EXISTS points (series INTEGER NOT NULL, at INTEGER NOT NULL, count INTEGER NOT NULL, sum REAL NOT NULL, buckets TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS points_at ON points (at);
`;

type Row = Record<string, string | number | null>;

interface Proxy {
  readonly id: string;
  readonly epoch: string;
  readonly service: string;
  readonly instance: string;
}

interface SeriesState {
  readonly id: number;
  readonly labels: Omit<WindowSeries, 'count' | 'buckets'> & { readonly direction: string };
  count: number;
  sum: number;
  buckets: readonly number[];
}

export class LocalStore implements Store {
  readonly #control: DatabaseSync;
  readonly #telemetry: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #series = new Map<string, SeriesState>();
  readonly #timers: NodeJS.Timeout[];
  readonly #retentionMs: () => number;
  #spans: Span[] = [];
  #samples: { proxy: Proxy; atMs: number; series: readonly SeriesSample[] }[] = [];
  droppedSpans = 0;

  /** Opens or makes both databases under `directory`. Throws STORE_NEWER for a schema of a later version. */
  constructor(directory: string, retentionMs: () => number) {
    this.#retentionMs = retentionMs;
    this.#control = open(join(directory, 'control.db'), CONTROL_SCHEMA, 'FULL');
    this.#telemetry = open(join(directory, 'telemetry.db'), TELEMETRY_SCHEMA, 'NORMAL');
    this.#loadSeries();
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

  addSamples(proxy: Proxy, atMs: number, series: readonly SeriesSample[]): void {
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
      for (const { proxy, atMs, series } of samples) for (const sample of series) this.#grow(proxy, atMs, sample);
      this.#telemetry.exec('COMMIT');
    } catch (error) {
      this.#telemetry.exec('ROLLBACK');
      // The counters are cumulative: what was rolled back comes again with the next sample, from the state that is stored.
      this.#loadSeries();
      this.droppedSpans += spans.length;
      process.stderr.write(`telemetry could not be written: ${String(error)}\n`);
    }
  }

  window(fromMs: number): WindowSeries[] {
    this.flush();
    const sums = new Map<number, { count: number; buckets: number[] }>();
    const rows = this.#on(this.#telemetry, 'SELECT series, count, buckets FROM points WHERE at > ?').all(Math.floor(fromMs)) as Row[];
    for (const row of rows) {
      const id = Number(row['series']);
      const sum = sums.get(id) ?? { count: 0, buckets: [] };
      sum.count += Number(row['count']);
      addBuckets(sum.buckets, JSON.parse(String(row['buckets'])) as number[]);
      sums.set(id, sum);
    }
    const result: WindowSeries[] = [];
    for (const state of this.#series.values()) {
      const sum = sums.get(state.id);
      if (sum !== undefined && state.labels.direction === 'inbound') result.push({ ...state.labels, ...sum });
    }
    return result;
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
    this.#on(this.#telemetry, 'DELETE FROM points WHERE rowid IN (SELECT rowid FROM points WHERE at < ? LIMIT 20000)').run(
      Math.floor(before),
    );
    this.#on(
      this.#telemetry,
      'DELETE FROM points WHERE rowid IN (SELECT rowid FROM points WHERE rowid <= (SELECT max(rowid) FROM points) - ? ORDER BY rowid LIMIT 20000)',
    ).run(MAX_POINTS);
    const stale = this.#on(this.#telemetry, 'SELECT id FROM series WHERE last_at < ?').all(Math.floor(before)) as Row[];
    for (const { id } of stale) {
      this.#on(this.#telemetry, 'DELETE FROM series WHERE id = ?').run(Number(id));
      for (const [key, state] of this.#series) if (state.id === id) this.#series.delete(key);
    }
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.flush();
    this.#telemetry.close();
    this.#control.close();
  }

  #loadSeries(): void {
    this.#series.clear();
    for (const row of this.#telemetry.prepare('SELECT * FROM series').all() as Row[])
      this.#series.set(keyOf(row['proxy'], row['epoch'], row['direction'], row['peer'], row['protocol'], row['outcome']), stateOf(row));
  }

  #grow(proxy: Proxy, atMs: number, sample: SeriesSample): void {
    const key = keyOf(proxy.id, proxy.epoch, sample.direction, sample.peer, sample.protocol, sample.outcome);
    const state = this.#series.get(key) ?? this.#makeSeries(key, proxy, atMs, sample);
    const count = sample.count - state.count;
    if (count <= 0) return;
    const buckets = sample.buckets.map((value, i) => value - (state.buckets[i] ?? 0));
    this.#on(this.#telemetry, 'INSERT INTO points (series, at, count, sum, buckets) VALUES (?, ?, ?, ?, ?)').run(
      state.id,
      Math.floor(atMs),
      count,
      sample.sumMs - state.sum,
      JSON.stringify(buckets),
    );
    this.#on(this.#telemetry, 'UPDATE series SET last_at = ?, last_count = ?, last_sum = ?, last_buckets = ? WHERE id = ?').run(
      Math.floor(atMs),
      sample.count,
      sample.sumMs,
      JSON.stringify(sample.buckets),
      state.id,
    );
    state.count = sample.count;
    state.sum = sample.sumMs;
    state.buckets = sample.buckets;
  }

  #makeSeries(key: string, proxy: Proxy, atMs: number, sample: SeriesSample): SeriesState {
    const made = this.#on(
      this.#telemetry,
      "INSERT INTO series (proxy, epoch, service, instance, direction, peer, protocol, outcome, last_at, last_count, last_sum, last_buckets) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, '[]')",
    ).run(
      proxy.id,
      proxy.epoch,
      proxy.service,
      proxy.instance,
      sample.direction,
      sample.peer,
      sample.protocol,
      sample.outcome,
      Math.floor(atMs),
    );
    const state: SeriesState = {
      id: Number(made.lastInsertRowid),
      labels: {
        service: proxy.service,
        instance: proxy.instance,
        direction: sample.direction,
        peer: sample.peer,
        protocol: sample.protocol,
        outcome: sample.outcome,
      },
      count: 0,
      sum: 0,
      buckets: [],
    };
    this.#series.set(key, state);
    return state;
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
  database.exec(`${schema} PRAGMA user_version = ${SCHEMA_VERSION};`);
  return database;
}

function isThere(database: DatabaseSync, table: string): boolean {
  return database.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?").get(table) !== undefined;
}

function keyOf(...parts: unknown[]): string {
  return parts.join('\u0000');
}

function stateOf(row: Row): SeriesState {
  return {
    id: Number(row['id']),
    labels: {
      service: String(row['service']),
      instance: String(row['instance']),
      direction: String(row['direction']),
      peer: String(row['peer']),
      protocol: row['protocol'] === 'tcp' ? 'tcp' : 'http',
      outcome: String(row['outcome']),
    },
    count: Number(row['last_count']),
    sum: Number(row['last_sum']),
    buckets: JSON.parse(String(row['last_buckets'])) as number[],
  };
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
