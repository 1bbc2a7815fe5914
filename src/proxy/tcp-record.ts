// What happened to one TCP connection: a count, and a span in a trace of its own (TCP carries no trace header).
import type { Enforced } from '../policy/evaluate.ts';
import { makeSpanId, makeTraceId } from '../traces/context.ts';
import { nowMs } from './clock.ts';
import type { Runtime } from './runtime.ts';

export interface TcpFacts {
  readonly kind: 'client' | 'server';
  readonly peerService: string | undefined;
  readonly peerId: string;
  readonly startMs: number;
  /** `tcp` for a connection that ended by itself, else why it did not. */
  readonly outcome: string;
  readonly decision?: Enforced | undefined;
  /** Of the callee, where its policy judged. */
  readonly port?: { readonly name: string; readonly number: number } | undefined;
  readonly requestBytes: number;
  readonly responseBytes: number;
}

export function recordTcp(runtime: Runtime, facts: TcpFacts): void {
  const durationMs = nowMs() - facts.startMs;
  runtime.recorder.count(
    facts.kind === 'server' ? 'inbound' : 'outbound',
    facts.peerService ?? '-',
    'tcp',
    facts.outcome,
    durationMs,
    facts.requestBytes,
    facts.responseBytes,
  );
  if (facts.kind === 'server' && runtime.tap.isOpen)
    runtime.tap.see(
      {
        atMs: facts.startMs + durationMs,
        service: runtime.service,
        instance: runtime.instance,
        from: facts.peerService ?? null,
        fromId: facts.peerId,
        protocol: 'tcp',
        method: null,
        path: null,
        status: null,
        refusal: facts.outcome === 'tcp' ? null : facts.outcome,
        verdict: facts.decision?.verdict ?? null,
        rule: facts.decision?.rule ?? null,
        rulePlace: facts.decision?.place ?? null,
        durationMs,
        requestBytes: facts.requestBytes,
        responseBytes: facts.responseBytes,
        requestId: null,
        traceId: null,
      },
      [],
    );
  runtime.recorder.span({
    traceId: makeTraceId(),
    spanId: makeSpanId(),
    parentId: undefined,
    requestId: '',
    kind: facts.kind,
    service: runtime.service,
    instance: runtime.instance,
    peerService: facts.peerService,
    peerId: facts.peerId,
    protocol: 'tcp',
    method: undefined,
    path: undefined,
    status: undefined,
    startMs: facts.startMs,
    durationMs,
    attempt: 1,
    refusal: facts.outcome === 'tcp' ? undefined : facts.outcome,
    verdict: facts.decision?.verdict,
    rule: facts.decision?.rule,
    rulePlace: facts.decision?.place,
    revision: facts.decision?.revision,
    ...(facts.port === undefined ? {} : { port: facts.port }),
    ...(facts.decision?.audited ? { audited: true as const } : {}),
    requestBytes: facts.requestBytes,
    responseBytes: facts.responseBytes,
  });
}
