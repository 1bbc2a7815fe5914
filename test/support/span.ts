// A span with every field set; a test changes what it is about.
import type { Span } from '../../src/traces/span.ts';

export function makeSpan(change: Partial<Span>): Span {
  return {
    traceId: 't',
    spanId: 's',
    parentId: undefined,
    requestId: 'r',
    kind: 'server',
    service: 'web',
    instance: 'web-0',
    peerService: undefined,
    peerId: undefined,
    protocol: 'http',
    method: 'GET',
    path: '/',
    status: 200,
    startMs: 1000,
    durationMs: 10,
    attempt: 1,
    refusal: undefined,
    verdict: 'allowed',
    rule: undefined,
    rulePlace: undefined,
    revision: 1,
    requestBytes: 0,
    responseBytes: 0,
    ...change,
  };
}
