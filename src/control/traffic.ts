// Spans → requests that were seen, counted by what a policy looks at.
import { makeSpiffeId, printSpiffeId } from '../mesh/identity.ts';
import type { MeshSpec } from '../mesh/spec.ts';
import type { Observed } from '../policy/observed.ts';
import type { Span } from '../traces/span.ts';

export interface Traffic {
  readonly observed: readonly Observed[];
  /** Requests that a policy judged. */
  readonly requests: number;
  /** Requests that are in none of the groups, because there were too many different ones. */
  readonly overflow: number;
  readonly fromMs: number | null;
  readonly toMs: number | null;
  /** Share of requests whose traces are kept. */
  readonly ratio: number;
}

const MAX_GROUPS = 100_000;

type Counting = { -readonly [K in keyof Observed]: Observed[K] };

export async function observe(pages: AsyncIterable<readonly Span[]>, spec: MeshSpec): Promise<Traffic> {
  const groups = new Map<string, Counting>();
  let requests = 0;
  let overflow = 0;
  let fromMs: number | null = null;
  let toMs: number | null = null;
  for await (const spans of pages)
    for (const span of spans) {
      if (span.kind !== 'server' || span.verdict === undefined) continue;
      requests++;
      fromMs = Math.min(fromMs ?? span.startMs, span.startMs);
      toMs = Math.max(toMs ?? span.startMs, span.startMs);
      const one = toObserved(span, spec);
      const key = JSON.stringify([
        one.callerId,
        one.calleeId,
        one.port,
        one.protocol,
        one.method,
        one.path,
        one.verdict,
        one.audited,
        one.rule,
      ]);
      const known = groups.get(key);
      if (known === undefined) {
        if (groups.size < MAX_GROUPS) groups.set(key, one);
        else overflow++;
        continue;
      }
      known.count++;
      known.firstMs = Math.min(known.firstMs, span.startMs);
      if (span.startMs < known.lastMs) continue;
      known.lastMs = span.startMs;
      known.traceId = span.traceId;
      known.requestId = span.requestId;
    }
  const observed = [...groups.values()].sort((a, b) => b.count - a.count);
  return { observed, requests, overflow, fromMs, toMs, ratio: spec.tracing.ratio };
}

/** One judged request of the callee's side. */
export function toObserved(span: Span, { trustDomain, namespace }: MeshSpec): Counting {
  return {
    callerId: span.peerId ?? null,
    calleeId: printSpiffeId(makeSpiffeId(trustDomain, namespace, span.service)),
    port: span.port ?? null,
    protocol: span.protocol === 'tcp' ? 'tcp' : span.grpc ? 'grpc' : 'http',
    method: span.method ?? null,
    path: span.path ?? null,
    verdict: span.verdict ?? 'denied',
    audited: span.audited === true,
    rule: span.rule ?? null,
    count: 1,
    firstMs: span.startMs,
    lastMs: span.startMs,
    traceId: span.traceId,
    requestId: span.requestId,
  };
}
