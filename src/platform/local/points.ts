// What was counted, over time: a second for ten minutes, ten seconds for six hours, a minute for a week.
//
//   series     labels → number
//   proxies    what each proxy process had counted when it last said so: growth is the difference, so nothing is counted twice
//   points*    one row a proxy and interval, packed (signals/pack.ts); coarser tables are made from finer ones when an interval has ended
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { SeriesSample } from '../../mesh/messages.ts';
import type { SeriesLabels, WindowSeries } from '../../signals/golden.ts';
import { type Amount, emptyAmount, Packer, unpack } from '../../signals/pack.ts';

export const POINTS_SCHEMA = `
CREATE TABLE IF NOT EXISTS signal_series (
  id INTEGER PRIMARY KEY, service TEXT NOT NULL, instance TEXT NOT NULL, direction TEXT NOT NULL, peer TEXT NOT NULL, protocol TEXT NOT NULL,
  outcome TEXT NOT NULL, route TEXT NOT NULL, UNIQUE (instance, direction, peer, protocol, outcome, route, service)
) STRICT;
CREATE TABLE IF NOT EXISTS signal_proxies (id TEXT PRIMARY KEY, epoch TEXT NOT NULL, at INTEGER NOT NULL, state BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS points1 (at INTEGER NOT NULL, proxy TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS points10 (at INTEGER NOT NULL, proxy TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS points60 (at INTEGER NOT NULL, proxy TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS points1_at ON points1 (at);
CREATE INDEX IF NOT EXISTS points10_at ON points10 (at);
CREATE INDEX IF NOT EXISTS points60_at ON points60 (at);
CREATE TABLE IF NOT EXISTS signal_meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
`;

interface Resolution {
  readonly table: 'points1' | 'points10' | 'points60';
  readonly stepMs: number;
  readonly keptMs: number;
}

const RESOLUTIONS: readonly [Resolution, Resolution, Resolution] = [
  { table: 'points1', stepMs: 1000, keptMs: 10 * 60_000 },
  { table: 'points10', stepMs: 10_000, keptMs: 6 * 3_600_000 },
  { table: 'points60', stepMs: 60_000, keptMs: 7 * 24 * 3_600_000 },
];
/** Intervals that are put together before others get their turn. */
const ROLL_AT_ONCE = 60;
const PRUNE_AT_ONCE = 20_000;

export interface PointProxy {
  readonly id: string;
  readonly epoch: string;
  readonly service: string;
  readonly instance: string;
}

type Labels = SeriesLabels;
type Row = Record<string, string | number | null | Uint8Array>;

interface ProxyState {
  epoch: string;
  readonly totals: Map<number, Amount>;
}

export class Points {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #ids = new Map<string, number>();
  readonly #labels = new Map<number, Labels>();
  readonly #proxies = new Map<string, ProxyState>();
  readonly #packer = new Packer();

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.load();
  }

  /** What is stored is what is known: at the start, and after a transaction that was rolled back. */
  load(): void {
    this.#ids.clear();
    this.#labels.clear();
    this.#proxies.clear();
    for (const row of this.#on('SELECT * FROM signal_series').all() as Row[]) this.#know(Number(row['id']), labelsOf(row));
  }

  /** What a proxy has counted since its process began; within the caller's transaction. */
  add(proxy: PointProxy, atMs: number, series: readonly SeriesSample[]): void {
    const state = this.#stateOf(proxy);
    for (const sample of series) {
      const id = this.#idOf(proxy, sample);
      const before = state.totals.get(id) ?? emptyAmount();
      const count = sample.count - before.count;
      if (count <= 0) continue;
      const total: Amount = { ...sample, buckets: denseOf(sample.buckets) };
      state.totals.set(id, total);
      this.#packer.add(id, {
        count,
        sumMs: Math.max(0, total.sumMs - before.sumMs),
        maxMs: sample.maxMs,
        requestBytes: Math.max(0, total.requestBytes - before.requestBytes),
        responseBytes: Math.max(0, total.responseBytes - before.responseBytes),
        buckets: total.buckets.map((value, i) => value - (before.buckets[i] ?? 0)),
      });
    }
    if (this.#packer.isEmpty) return;
    this.#on('INSERT INTO points1 (at, proxy, body) VALUES (?, ?, ?)').run(Math.floor(atMs), proxy.id, this.#packer.take());
    for (const [id, total] of state.totals) this.#packer.add(id, total);
    this.#on(
      'INSERT INTO signal_proxies (id, epoch, at, state) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, at = excluded.at, state = excluded.state',
    ).run(proxy.id, proxy.epoch, Math.floor(atMs), this.#packer.take());
  }

  /** Growth of every series that is wanted after `fromMs`, up to and with `toMs`, by the finest table that still knows so far back. */
  window(fromMs: number, toMs: number, nowMs: number, wants?: (labels: SeriesLabels) => boolean): WindowSeries[] {
    const sums = new Map<number, Amount>();
    const amountOf = this.#sumOf(sums, wants);
    this.#read(fromMs, toMs, nowMs, (_at, body) => unpack(body, amountOf));
    return [...sums].flatMap(([id, amount]) => {
      const labels = this.#labels.get(id);
      return labels === undefined ? [] : [{ ...labels, ...amount }];
    });
  }

  /** The same cut into steps: what each grew by within `stepMs` from `fromMs` on. Steps without data are missing. */
  timeline(fromMs: number, toMs: number, stepMs: number, nowMs: number): Map<number, WindowSeries[]> {
    const steps = new Map<number, Map<number, Amount>>();
    this.#read(fromMs, toMs, nowMs, (at, body) => {
      const step = Math.floor((at - fromMs) / stepMs);
      const sums = steps.get(step) ?? new Map<number, Amount>();
      steps.set(step, sums);
      unpack(body, this.#sumOf(sums));
    });
    return new Map(
      [...steps].map(([step, sums]) => [
        step,
        [...sums].flatMap(([id, amount]) => {
          const labels = this.#labels.get(id);
          return labels === undefined ? [] : [{ ...labels, ...amount }];
        }),
      ]),
    );
  }

  /** What these proxies have counted since each of their processes began. */
  totals(proxies: readonly string[]): WindowSeries[] {
    return proxies.flatMap((id) => {
      const state = this.#proxies.get(id) ?? this.#restored(id);
      return [...(state?.totals ?? [])].flatMap(([series, amount]) => {
        const labels = this.#labels.get(series);
        return labels === undefined ? [] : [{ ...labels, ...amount }];
      });
    });
  }

  /** Makes the coarser tables of intervals that have ended, and deletes what is too old; a bounded piece of work. */
  tend(nowMs: number): void {
    const [fine, middle, coarse] = RESOLUTIONS;
    this.#database.exec('BEGIN');
    try {
      this.#roll(fine, middle, nowMs);
      this.#roll(middle, coarse, this.#rolledUntil(middle));
      for (const { table, keptMs } of RESOLUTIONS)
        this.#on(`DELETE FROM ${table} WHERE rowid IN (SELECT rowid FROM ${table} WHERE at < ? LIMIT ${PRUNE_AT_ONCE})`).run(
          Math.floor(nowMs - keptMs),
        );
      this.#on('DELETE FROM signal_proxies WHERE at < ?').run(Math.floor(nowMs - coarse.keptMs));
      this.#database.exec('COMMIT');
    } catch (error) {
      this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  /** Takes the oldest of the finest away: there is more than may be kept. */
  shrink(): void {
    for (const { table } of RESOLUTIONS) {
      const { changes } = this.#on(
        `DELETE FROM ${table} WHERE rowid IN (SELECT rowid FROM ${table} ORDER BY at LIMIT ${PRUNE_AT_ONCE})`,
      ).run();
      if (Number(changes) > 0) return;
    }
  }

  #read(fromMs: number, toMs: number, nowMs: number, onBody: (at: number, body: Uint8Array) => void): void {
    const use = (table: string, from: number, to: number): void => {
      for (const row of this.#on(`SELECT at, body FROM ${table} WHERE at > ? AND at <= ?`).iterate(Math.floor(from), Math.floor(to)))
        onBody(Number((row as Row)['at']), (row as Row)['body'] as Uint8Array);
    };
    const [fine, middle, coarse] = RESOLUTIONS;
    if (fromMs >= nowMs - fine.keptMs) return use('points1', fromMs, toMs);
    let from = fromMs;
    if (fromMs < nowMs - middle.keptMs) {
      const until = this.#rolledUntil(coarse);
      use('points60', from - 1, Math.min(toMs, until - 1));
      from = Math.max(from, until);
    }
    const until = Math.max(from, this.#rolledUntil(middle));
    use('points10', from - 1, Math.min(toMs, until - 1));
    use('points1', until - 1, toMs);
  }

  /** End of what a coarse table has; rows of it stand at the beginning of their interval. */
  #rolledUntil({ table }: Resolution): number {
    return Number((this.#on('SELECT value FROM signal_meta WHERE name = ?').get(table) as Row | undefined)?.['value'] ?? 0);
  }

  #roll(from: Resolution, to: Resolution, endMs: number): void {
    const first = this.#on(`SELECT min(at) AS at FROM ${from.table} WHERE at >= ?`).get(this.#rolledUntil(to)) as Row;
    if (first['at'] === null || first['at'] === undefined) return;
    let start = Math.floor(Number(first['at']) / to.stepMs) * to.stepMs;
    // A sample may be a moment late: an interval is closed a second after its end.
    for (let i = 0; i < ROLL_AT_ONCE && start + to.stepMs + 1000 <= endMs; i++, start += to.stepMs) {
      const byProxy = new Map<string, Map<number, Amount>>();
      for (const row of this.#on(`SELECT proxy, body FROM ${from.table} WHERE at >= ? AND at < ?`).iterate(start, start + to.stepMs)) {
        const { proxy, body } = row as Row;
        const sums = byProxy.get(String(proxy)) ?? new Map<number, Amount>();
        byProxy.set(String(proxy), sums);
        unpack(body as Uint8Array, this.#sumOf(sums));
      }
      for (const [proxy, sums] of byProxy) {
        for (const [id, amount] of sums) this.#packer.add(id, amount);
        this.#on(`INSERT INTO ${to.table} (at, proxy, body) VALUES (?, ?, ?)`).run(start, proxy, this.#packer.take());
      }
      this.#on('INSERT INTO signal_meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value').run(
        to.table,
        start + to.stepMs,
      );
    }
  }

  /** The sum of a series, made when it is asked for first; nothing for series that are not wanted. */
  #sumOf(sums: Map<number, Amount>, wants?: (labels: SeriesLabels) => boolean): (series: number) => Amount | undefined {
    return (series) => {
      const known = sums.get(series);
      if (known !== undefined) return known;
      const labels = this.#labels.get(series);
      if (wants !== undefined && (labels === undefined || !wants(labels))) return undefined;
      const made = emptyAmount();
      sums.set(series, made);
      return made;
    };
  }

  #stateOf({ id, epoch }: PointProxy): ProxyState {
    const state = this.#proxies.get(id) ?? this.#restored(id) ?? { epoch, totals: new Map<number, Amount>() };
    this.#proxies.set(id, state);
    if (state.epoch !== epoch) {
      // Another process: it counts from zero.
      state.epoch = epoch;
      state.totals.clear();
    }
    return state;
  }

  #restored(id: string): ProxyState | undefined {
    const row = this.#on('SELECT epoch, state FROM signal_proxies WHERE id = ?').get(id) as Row | undefined;
    if (row === undefined) return undefined;
    const totals = new Map<number, Amount>();
    unpack(row['state'] as Uint8Array, this.#sumOf(totals));
    return { epoch: String(row['epoch']), totals };
  }

  #idOf({ service, instance }: PointProxy, { direction, peer, protocol, outcome, route = '' }: SeriesSample): number {
    const key = keyOf(instance, direction, peer, protocol, outcome, route, service);
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    const { lastInsertRowid } = this.#on(
      'INSERT INTO signal_series (service, instance, direction, peer, protocol, outcome, route) VALUES (?, ?, ?, ?, ?, ?, ?)',
    ).run(service, instance, direction, peer, protocol, outcome, route);
    const id = Number(lastInsertRowid);
    this.#know(id, { service, instance, direction, peer, protocol, outcome, route });
    return id;
  }

  #know(id: number, labels: Labels): void {
    const { instance, direction, peer, protocol, outcome, route, service } = labels;
    this.#ids.set(keyOf(instance, direction, peer, protocol, outcome, route, service), id);
    this.#labels.set(id, labels);
  }

  #on(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const prepared = this.#database.prepare(sql);
    this.#statements.set(sql, prepared);
    return prepared;
  }
}

function keyOf(...parts: string[]): string {
  return parts.join('\u0000');
}

function labelsOf(row: Row): Labels {
  return {
    service: String(row['service']),
    instance: String(row['instance']),
    direction: row['direction'] === 'outbound' ? 'outbound' : 'inbound',
    peer: String(row['peer']),
    protocol: row['protocol'] === 'tcp' ? 'tcp' : 'http',
    outcome: String(row['outcome']),
    route: String(row['route']),
  };
}

/** Pairs of index and count as they come over the feed → counts by index. */
function denseOf(pairs: readonly number[]): number[] {
  const buckets: number[] = [];
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    const index = pairs[i] ?? 0;
    if (index >= 0 && index < 256) buckets[index] = pairs[i + 1] ?? 0;
  }
  return Array.from(buckets, (count) => count ?? 0);
}
