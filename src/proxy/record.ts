// What happened, counted and kept until the control plane takes it: counters and histograms per series, spans in a bounded buffer.
// Counters are cumulative since the process began, so a lost message costs nothing.
import type { SeriesSample } from '../mesh/messages.ts';
import { BUCKET_COUNT, bucketOf } from '../signals/metrics.ts';
import type { Span } from '../traces/span.ts';
import { MAX_BUFFERED_SPANS, MAX_SERIES } from './codec/limits.ts';

interface Series {
  readonly direction: 'inbound' | 'outbound';
  readonly peer: string;
  readonly protocol: 'http' | 'tcp';
  readonly outcome: string;
  count: number;
  sumMs: number;
  readonly buckets: number[];
}

export class Recorder {
  readonly #series = new Map<string, Series>();
  #lastInbound: Series | undefined;
  #lastOutbound: Series | undefined;
  #spans: Span[] = [];
  #droppedSpans = 0;
  /** Requests and TCP connections from callers that are in progress. */
  inFlight = 0;
  openConnections = 0;
  /** Connections that were cut because a certificate on them had expired. */
  identityExpired = 0;

  count(direction: 'inbound' | 'outbound', peer: string, protocol: 'http' | 'tcp', outcome: string, durationMs: number): void {
    const series = this.#seriesFor(direction, peer, protocol, outcome);
    const bucket = bucketOf(durationMs);
    series.count++;
    series.sumMs += durationMs;
    series.buckets[bucket] = (series.buckets[bucket] ?? 0) + 1;
  }

  span(span: Span): void {
    if (this.#spans.length >= MAX_BUFFERED_SPANS) this.#droppedSpans++;
    else this.#spans.push(span);
  }

  /** A whole copy of the counters. */
  series(): SeriesSample[] {
    return [...this.#series.values()].map((one) => ({ ...one, buckets: [...one.buckets] }));
  }

  takeSpans(): Span[] {
    const taken = this.#spans;
    this.#spans = [];
    return taken;
  }

  takeDropped(): number {
    const dropped = this.#droppedSpans;
    this.#droppedSpans = 0;
    return dropped;
  }

  #seriesFor(direction: 'inbound' | 'outbound', peer: string, protocol: 'http' | 'tcp', outcome: string): Series {
    // Most often it is the one of the request before.
    const last = direction === 'inbound' ? this.#lastInbound : this.#lastOutbound;
    if (last !== undefined && last.peer === peer && last.outcome === outcome && last.protocol === protocol) return last;
    const series = this.#findSeries(direction, peer, protocol, outcome);
    if (direction === 'inbound') this.#lastInbound = series;
    else this.#lastOutbound = series;
    return series;
  }

  #findSeries(direction: 'inbound' | 'outbound', peer: string, protocol: 'http' | 'tcp', outcome: string): Series {
    const key = `${direction} ${peer} ${protocol} ${outcome}`;
    const known = this.#series.get(key);
    if (known !== undefined) return known;
    if (this.#series.size >= MAX_SERIES && peer !== '__other__') return this.#findSeries(direction, '__other__', protocol, outcome);
    const made: Series = { direction, peer, protocol, outcome, count: 0, sumMs: 0, buckets: new Array<number>(BUCKET_COUNT).fill(0) };
    this.#series.set(key, made);
    return made;
  }
}
