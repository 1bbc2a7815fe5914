// Spans of one trace → the document that `meshctl trace` prints: a tree, flattened in reading order, and the hops between services.
//
//   ingress SERVER ─► ingress CLIENT ─► web SERVER ─► web CLIENT ─► orders SERVER …
//                     └──────── one hop ─────────┘
//
// A hop joins the caller's attempts and the callee's span. Spans whose parent is not there are roots of their own, named in `missing`.
import type { Span } from './span.ts';

export interface Hop {
  readonly depth: number;
  readonly from: string;
  readonly to: string;
  /** Instance that served the request, or null when none answered. */
  readonly instance: string | null;
  /** SPIFFE id of the caller as the callee's proxy verified it. */
  readonly callerId: string | null;
  readonly verdict: 'allowed' | 'denied' | null;
  readonly rule: string | null;
  readonly rulePlace: string | null;
  readonly method: string | null;
  readonly path: string | null;
  /** Milliseconds since the start of the trace. */
  readonly startMs: number;
  readonly durationMs: number;
  readonly status: number | null;
  readonly refusal: string | null;
  readonly attempts: number;
}

export interface Trace {
  readonly traceId: string;
  readonly requestId: string;
  readonly startTime: string;
  readonly durationMs: number;
  /** False when a span names a parent that is not there. */
  readonly complete: boolean;
  readonly missing: readonly string[];
  readonly spans: readonly Span[];
  readonly hops: readonly Hop[];
}

export function assembleTrace(unordered: readonly Span[]): Trace {
  const spans = [...unordered].sort((a, b) => a.startMs - b.startMs || (a.kind === 'client' ? -1 : 1));
  const byId = new Map(spans.map((span) => [span.spanId, span]));
  const children = new Map<string, Span[]>();
  const roots: Span[] = [];
  const missing: string[] = [];
  for (const span of spans) {
    if (span.parentId !== undefined && byId.has(span.parentId)) {
      const list = children.get(span.parentId) ?? [];
      list.push(span);
      children.set(span.parentId, list);
      continue;
    }
    roots.push(span);
    // The parent of the first span is whoever called from outside: that one is not ours to have.
    if (span.parentId !== undefined && span !== spans[0]) missing.push(span.parentId);
  }
  const startMs = spans[0]?.startMs ?? 0;
  const hops: Hop[] = [];
  const seen = new Set<string>();
  const visit = (span: Span, depth: number): void => {
    if (seen.has(span.spanId)) return;
    seen.add(span.spanId);
    const below = children.get(span.spanId) ?? [];
    if (span.kind === 'server') {
      hops.push(toHop(undefined, span, depth, startMs));
      visitCalls(below, depth + 1);
      return;
    }
    visitCalls([span], depth);
  };
  // Attempts of one call share a parent, a callee and a path; the last one tells how it ended.
  const visitCalls = (spansBelow: readonly Span[], depth: number): void => {
    const servers = spansBelow.filter((span) => span.kind === 'server');
    const clients = spansBelow.filter((span) => span.kind === 'client' && !seen.has(span.spanId));
    for (const span of servers) visit(span, depth);
    for (const client of clients) {
      seen.add(client.spanId);
      if (isSuperseded(client, clients)) continue;
      const served = (children.get(client.spanId) ?? []).filter((span) => span.kind === 'server');
      const server = served.at(-1);
      hops.push(toHop(client, server, depth, startMs));
      for (const one of served) {
        seen.add(one.spanId);
        visitCalls(children.get(one.spanId) ?? [], depth + 1);
      }
    }
  };
  for (const root of roots) visit(root, 0);
  const end = spans.reduce((latest, span) => Math.max(latest, span.startMs + span.durationMs), startMs);
  return {
    traceId: spans[0]?.traceId ?? '',
    requestId: spans.find((span) => span.requestId !== '')?.requestId ?? '',
    startTime: new Date(startMs).toISOString(),
    durationMs: round(end - startMs),
    complete: missing.length === 0,
    missing: [...new Set(missing)],
    spans,
    hops,
  };
}

// Whether a later attempt of the same call followed: then that one is the hop.
function isSuperseded(client: Span, clients: readonly Span[]): boolean {
  return clients.some(
    (other) =>
      other.attempt === client.attempt + 1 &&
      other.peerService === client.peerService &&
      other.path === client.path &&
      other.startMs >= client.startMs,
  );
}

function toHop(client: Span | undefined, server: Span | undefined, depth: number, originMs: number): Hop {
  const shown = client ?? server;
  if (shown === undefined) throw new TypeError('a hop has at least one span');
  return {
    depth,
    from: client?.service ?? server?.peerService ?? 'outside',
    to: server?.service ?? client?.peerService ?? '',
    instance: server?.instance ?? null,
    callerId: server?.peerId ?? null,
    verdict: server?.verdict ?? null,
    rule: server?.rule ?? null,
    rulePlace: server?.rulePlace ?? null,
    method: shown.method ?? null,
    path: shown.path ?? null,
    startMs: round(shown.startMs - originMs),
    durationMs: round(shown.durationMs),
    status: shown.status ?? null,
    refusal: server?.refusal ?? client?.refusal ?? null,
    attempts: client?.attempt ?? 1,
  };
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}
