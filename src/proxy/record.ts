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
  readonly route: string;
  count: number;
  sumMs: number;
  maxMs: number;
  requestBytes: number;
  responseBytes: number;
  readonly buckets: number[];
  /** It grew since it was last taken. */
  isFresh: boolean;
}

export class Recorder {
  readonly #series = new Map<string, Series>();
  #lastInbound: Series | undefined;
  #lastOutbound: Series | undefined;
  #lastRoute: Series | undefined;
  #spans: Span[] = [];
  #droppedSpans = 0;
  /** Requests and TCP connections from callers that are in progress. */
  inFlight = 0;
  openConnections = 0;
  /** Connections that were cut because a certificate on them had expired. */
  identityExpired = 0;

  count(
    direction: 'inbound' | 'outbound',
    peer: string,
    protocol: 'http' | 'tcp',
    outcome: string,
    durationMs: number,
    requestBytes = 0,
    responseBytes = 0,
  ): void {
    grow(this.#seriesFor(direction, peer, protocol, outcome), durationMs, requestBytes, responseBytes);
  }

  /** The same request once more, by its route. */
  countRoute(route: string, outcome: string, durationMs: number, requestBytes: number, responseBytes: number): void {
    const last = this.#lastRoute;
    const series =
      last !== undefined && last.route === route && last.outcome === outcome
        ? last
        : this.#findSeries('inbound', '-', 'http', outcome, route);
    this.#lastRoute = series;
    grow(series, durationMs, requestBytes, responseBytes);
  }

  span(span: Span): void {
    if (this.#spans.length >= MAX_BUFFERED_SPANS) this.#droppedSpans++;
    else this.#spans.push(span);
  }

  /** The counters that grew since they were last taken; all of them for whoever may have missed some. */
  series(isWhole: boolean): SeriesSample[] {
    const samples: SeriesSample[] = [];
    for (const one of this.#series.values()) {
      if (!one.isFresh && !isWhole) continue;
      const { direction, peer, protocol, outcome, route, count, sumMs, maxMs, requestBytes, responseBytes } = one;
      const buckets: number[] = [];
      one.buckets.forEach((value, i) => {
        if (value > 0) buckets.push(i, value);
      });
      samples.push({
        direction,
        peer,
        protocol,
        outcome,
        ...(route === '' ? {} : { route }),
        count,
        sumMs: Math.round(sumMs * 1000) / 1000,
        maxMs: Math.round(maxMs * 1000) / 1000,
        requestBytes,
        responseBytes,
        buckets,
      });
      one.isFresh = false;
      one.maxMs = 0;
    }
    return samples;
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

  #findSeries(direction: 'inbound' | 'outbound', peer: string, protocol: 'http' | 'tcp', outcome: string, route = ''): Series {
    const key = `${direction} ${peer} ${protocol} ${outcome} ${route}`;
    const known = this.#series.get(key);
    if (known !== undefined) return known;
    if (this.#series.size >= MAX_SERIES && peer !== OTHER && route !== OTHER)
      return route === ''
        ? this.#findSeries(direction, OTHER, protocol, outcome)
        : this.#findSeries(direction, peer, protocol, outcome, OTHER);
    const made: Series = {
      direction,
      peer,
      protocol,
      outcome,
      route,
      count: 0,
      sumMs: 0,
      maxMs: 0,
      requestBytes: 0,
      responseBytes: 0,
      buckets: new Array<number>(BUCKET_COUNT).fill(0),
      isFresh: false,
    };
    this.#series.set(key, made);
    return made;
  }
}

/** The row of whatever there was no room for. */
const OTHER = '__other__';

function grow(series: Series, durationMs: number, requestBytes: number, responseBytes: number): void {
  const bucket = bucketOf(durationMs);
  series.isFresh = true;
  series.count++;
  series.sumMs += durationMs;
  if (durationMs > series.maxMs) series.maxMs = durationMs;
  series.requestBytes += requestBytes;
  series.responseBytes += responseBytes;
  series.buckets[bucket] = (series.buckets[bucket] ?? 0) + 1;
}
