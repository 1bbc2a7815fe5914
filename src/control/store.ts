// Port Store: what the control plane keeps. Implemented by platform/local/store.ts on SQLite.
import type { SeriesSample } from '../mesh/messages.ts';
import type { Audit } from '../policy/compile.ts';
import type { SeriesLabels, WindowSeries } from '../signals/golden.ts';
import type { Span } from '../traces/span.ts';

export interface PolicyRevision {
  readonly revision: number;
  readonly hash: string;
  readonly appliedAtMs: number;
  readonly user: string;
  readonly message: string;
  /** `file`: from the mesh file's `policy:`; `apply`: by `meshctl policy apply`. */
  readonly origin: 'file' | 'apply';
  readonly audit: Audit;
  readonly files: readonly { readonly file: string; readonly text: string }[];
}

export interface TraceMatch {
  readonly traceId: string;
  readonly requestId: string;
}

export interface RecentQuery {
  readonly denied: boolean;
  readonly limit: number;
}

export interface Store {
  /** True once for each token hash. */
  useToken(hash: string): boolean;
  savePolicy(revision: PolicyRevision): void;
  newestPolicy(): PolicyRevision | undefined;
  policies(): PolicyRevision[];
  /** Both take effect at the next flush, at the latest after FLUSH_MS. */
  addSpans(spans: readonly Span[]): void;
  addSamples(proxy: { id: string; epoch: string; service: string; instance: string }, atMs: number, series: readonly SeriesSample[]): void;
  /** Growth of every series that is wanted (default: all) after `fromMs`, until `toMs` or now. */
  window(fromMs: number, toMs?: number, wants?: (labels: SeriesLabels) => boolean): WindowSeries[];
  /** What these proxies have counted since each of their processes began. */
  totals(proxies: readonly string[]): WindowSeries[];
  /** The same in steps of `stepMs`, by number from `fromMs` on; steps without data are missing. */
  timeline(fromMs: number, toMs: number, stepMs: number): Map<number, WindowSeries[]>;
  /** Whole ids or prefixes of trace ids and request ids. At most `limit`. */
  findTraces(id: string, limit: number): TraceMatch[];
  /** Newest first. */
  recentTraces(query: RecentQuery): TraceMatch[];
  spansOf(traceId: string): Span[];
  /** Spans that began since then, oldest first, a page at a time: between two pages others get their turn. */
  pagesSince(fromMs: number): AsyncIterable<readonly Span[]>;
  /** Spans that the store had no room for, or could not write, since it was opened. */
  readonly droppedSpans: number;
  close(): void;
}
