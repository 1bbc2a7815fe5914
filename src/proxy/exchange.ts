// The story of one request, phase by phase: route, authorize, pick, open, relay both ways, record.
//
//   in    a request head from a downstream connection, then its body
//   out   the answer, and one record of what happened
//
// A request body waits until an upstream stream is open; after its first byte was sent the request is not tried again.
import { messageOf } from '../base/fault.ts';
import { REFUSAL_HEADER, type Refusal } from '../mesh/refusal.ts';
import type { Decision } from '../policy/evaluate.ts';
import { outcomeOf } from '../signals/metrics.ts';
import { makeSpanId, printTraceparent } from '../traces/context.ts';
import { nowMs } from './clock.ts';
import { answeredFields, type Fields, fieldOf, forwardedFields, safeTrailers } from './codec/fields.ts';
import type { Framing } from './codec/h1/framing.ts';
import type { RequestHead, ResponseHead } from './codec/h1/head.ts';
import { RESPONSE_TIMEOUT_MS } from './codec/limits.ts';
import type { Origin } from './connection.ts';
import type { Channel } from './net/channel.ts';
import { join } from './net/join.ts';
import { authorize, type Permit, permitOutbound } from './permit.ts';
import { answerFor, type RefusalDetails } from './rescue.ts';
import { match, type Route } from './route/match.ts';
import type { Runtime } from './runtime.ts';
import type { Tables } from './tables.ts';
import { type Tracing, traceExchange } from './trace.ts';
import { type Destination, pick } from './upstream/pick.ts';
import type { UpstreamConnection, UpstreamEvents, UpstreamStream } from './upstream/stream.ts';

/** What an exchange asks of the connection that it came on. */
export interface Downstream {
  interim(head: ResponseHead): void;
  /** Answers 101; from here on the connection is the returned channel. */
  upgrade(fields: Fields): Channel;
  head(status: number, reason: string, fields: Fields, framing: Framing): void;
  /** False: wait for Exchange.onDownstreamDrain(). */
  data(bytes: Buffer): boolean;
  end(trailers: Fields): void;
  /** The answer broke off: the connection is closed without a proper end. */
  abort(): void;
  pauseBody(): void;
  resumeBody(): void;
}

const MAX_ATTEMPTS = 3;
// RFC 9110 section 9.2.2.
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

interface Attempt {
  readonly number: number;
  readonly spanId: string;
  readonly startMs: number;
  readonly destination: Destination;
}

export class Exchange implements UpstreamEvents {
  readonly #runtime: Runtime;
  readonly #origin: Origin;
  readonly #downstream: Downstream;
  readonly #head: RequestHead;
  readonly #framing: Framing;
  readonly #upgrade: string | undefined;
  readonly #startMs = nowMs();
  readonly #tables: Tables | undefined;
  #tracing: Tracing | undefined;
  #route: Route | undefined;
  #decision: Decision | undefined;
  #permit: Permit | undefined;
  #attempt: Attempt | undefined;
  #attempts = 0;
  readonly #tried = new Set<string>();
  #stream: UpstreamStream | undefined;
  #timer: NodeJS.Timeout | undefined;
  #waiting: Buffer[] = [];
  #bodyEnded: Fields | undefined;
  #bodySent = false;
  #headSent = false;
  #finished = false;
  #status: number | undefined;
  #refusal: Refusal | undefined;
  #requestBytes = 0;
  #responseBytes = 0;

  constructor(runtime: Runtime, origin: Origin, downstream: Downstream, head: RequestHead, framing: Framing, upgrade: string | undefined) {
    this.#runtime = runtime;
    this.#origin = origin;
    this.#downstream = downstream;
    this.#head = head;
    this.#framing = framing;
    this.#upgrade = upgrade;
    // Taken once: the exchange keeps them to its end.
    this.#tables = runtime.tables;
    if (this.#isServed) runtime.recorder.inFlight++;
  }

  /** Requests that callers sent here, as against those that the own application sends out. */
  get #isServed(): boolean {
    return this.#origin.listener.kind === 'inbound' || this.#origin.listener.kind === 'ingress';
  }

  run(): void {
    const tables = this.#tables;
    if (tables === undefined) return this.#refuse({ refusal: 'no_route', why: 'this proxy has no configuration yet', status: 503 });
    this.#tracing = traceExchange(this.#origin.listener, tables, this.#runtime.memory, this.#head.fields);
    const route = match(this.#origin.listener, tables, this.#head.method, this.#head.target, this.#head.minor, this.#head.fields);
    if ('refusal' in route) return this.#refuse(route);
    this.#route = route;
    this.#permit = this.#authorize(tables, route);
    if (this.#permit === undefined) return this.#refuse({ refusal: 'denied', why: '' });
    this.#try(this.#permit, false);
  }

  onBody(bytes: Buffer): void {
    this.#requestBytes += bytes.length;
    if (this.#finished) return;
    if (this.#stream === undefined) {
      this.#waiting.push(bytes);
      this.#downstream.pauseBody();
    } else this.#forward(this.#stream, bytes);
  }

  onBodyEnd(trailers: Fields): void {
    this.#bodyEnded = trailers.length === 0 ? trailers : safeTrailers(trailers);
    if (this.#stream !== undefined && !this.#finished) this.#endRequest(this.#stream, this.#bodyEnded);
  }

  onDownstreamDrain(): void {
    this.#stream?.resume();
  }

  /** The caller went away, or sent something that is no HTTP. */
  onDownstreamGone(): void {
    if (this.#finished) return;
    this.#stream?.abort();
    this.#endAttempt(undefined, this.#status);
    this.#finish();
  }

  #authorize(tables: Tables, route: Route): Permit | undefined {
    const { listener, peer } = this.#origin;
    if (listener.kind !== 'inbound' && listener.kind !== 'ingress')
      return route.upstream === undefined ? undefined : permitOutbound(route.upstream);
    const port =
      listener.kind === 'inbound' ? { name: listener.portName, number: listener.appPort } : { name: 'http', number: listener.port };
    const target =
      route.upstream === undefined
        ? ({ kind: 'app', host: listener.kind === 'inbound' ? listener.appHost : '127.0.0.1', port: port.number } as const)
        : ({ kind: 'service', upstream: route.upstream } as const);
    const { decision, permit } = authorize(
      tables,
      { caller: peer?.id, port, http: { method: this.#head.method, path: route.path } },
      target,
    );
    this.#decision = decision;
    if (permit === undefined)
      this.#runtime.log(
        `denied ${peer === undefined ? 'a caller without identity' : peer.printed} ${this.#head.method} ${route.path}: ${decision.rule}${decision.place === undefined ? '' : ` (${decision.place})`} request=${this.#tracing?.requestId}`,
      );
    return permit;
  }

  #try(permit: Permit, fresh: boolean): void {
    const { pool } = this.#runtime;
    const destination = pick(permit, pool.inFlight, this.#tried);
    if (destination === undefined)
      return this.#refuse({ refusal: 'no_endpoint', why: `no instance of \`${this.#route?.upstream?.service}\` is ready` });
    this.#attempts++;
    this.#tried.add(destination.key);
    const attempt: Attempt = { number: this.#attempts, spanId: makeSpanId(), startMs: nowMs(), destination };
    this.#attempt = attempt;
    pool.enter(destination.key);
    const ready = fresh ? undefined : pool.ready(destination);
    if (ready !== undefined) return this.#open(ready, attempt);
    pool.connect(destination).then(
      (connection) => {
        if ('refusal' in connection) {
          if (this.#attempt === attempt) this.#fault(connection.refusal, connection.why, true);
        } else if (this.#attempt === attempt) this.#open(connection, attempt);
        else connection.giveBack();
      },
      (error: unknown) => {
        if (this.#attempt === attempt) this.#fault('upstream_refused', messageOf(error), true);
      },
    );
  }

  #open(connection: UpstreamConnection, attempt: Attempt): void {
    const route = this.#route as Route;
    const head = this.#head;
    const framing = this.#framing;
    const stream = connection.open(
      {
        head,
        target: route.path + route.query,
        fields: this.#upstreamFields(attempt),
        framing,
        upgrade: framing.kind === 'none' ? this.#upgrade : undefined,
      },
      this,
    );
    if (this.#finished) return stream.abort();
    this.#stream = stream;
    let room = true;
    if (this.#waiting.length > 0) {
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const bytes of waiting) room = this.#forward(stream, bytes);
    }
    if (this.#bodyEnded !== undefined) this.#endRequest(stream, this.#bodyEnded);
    else if (room) this.#downstream.resumeBody();
  }

  // The time for an answer runs from the end of the request: an upload may take as long as it takes.
  #endRequest(stream: UpstreamStream, trailers: Fields): void {
    stream.end(trailers);
    if (this.#headSent || this.#finished) return;
    this.#timer = setTimeout(() => {
      this.#stream?.abort();
      this.#fault('timeout', `no answer within ${RESPONSE_TIMEOUT_MS} ms`, false);
    }, RESPONSE_TIMEOUT_MS);
  }

  #forward(stream: UpstreamStream, bytes: Buffer): boolean {
    this.#bodySent = true;
    const room = stream.write(bytes);
    if (!room) this.#downstream.pauseBody();
    return room;
  }

  onInterim(head: ResponseHead): void {
    if (!this.#finished) this.#downstream.interim({ ...head, fields: this.#answerFields(head) });
  }

  onHead(head: ResponseHead, framing: Framing): void {
    if (this.#finished) return;
    clearTimeout(this.#timer);
    this.#status = head.status;
    this.#headSent = true;
    this.#downstream.head(head.status, head.reason, this.#answerFields(head), framing);
  }

  onUpgrade(head: ResponseHead, upstream: Channel): void {
    if (this.#finished) return upstream.reset('canceled');
    clearTimeout(this.#timer);
    this.#status = head.status;
    this.#headSent = true;
    const caller = this.#downstream.upgrade(this.#answerFields(head));
    join(caller, upstream, ({ aToB, bToA, cut }) => {
      this.#requestBytes += aToB;
      this.#responseBytes += bToA;
      this.#refusal = cut;
      if (cut === 'identity_expired') this.#runtime.recorder.identityExpired++;
      this.#endAttempt(cut, this.#status);
      this.#finish();
    });
  }

  onData(bytes: Buffer): void {
    if (this.#finished) return;
    this.#responseBytes += bytes.length;
    if (!this.#downstream.data(bytes)) this.#stream?.pause();
  }

  onEnd(trailers: Fields): void {
    if (this.#finished) return;
    this.#endAttempt(undefined, this.#status);
    this.#downstream.end(trailers.length === 0 ? trailers : safeTrailers(trailers));
    this.#finish();
  }

  onFault(refusal: Refusal, why: string, unseen: boolean): void {
    this.#fault(refusal, why, unseen);
  }

  onDrain(): void {
    if (!this.#finished) this.#downstream.resumeBody();
  }

  // Tried again only when nothing can have been done twice: the connection never came about, or an idle one had been closed
  // by the other end before a request that may be repeated.
  #fault(refusal: Refusal, why: string, neverSent: boolean): void {
    if (this.#finished) return;
    clearTimeout(this.#timer);
    const reused = this.#stream?.reused === true;
    this.#stream = undefined;
    this.#endAttempt(refusal, undefined);
    const connectFailed = neverSent;
    const staleConnection = reused && refusal === 'upstream_reset' && IDEMPOTENT.has(this.#head.method);
    if (
      !this.#headSent &&
      !this.#bodySent &&
      this.#attempts < MAX_ATTEMPTS &&
      (connectFailed || staleConnection) &&
      this.#permit !== undefined
    ) {
      if (staleConnection) this.#tried.clear();
      if (staleConnection || this.#hasUntried(this.#permit)) {
        this.#try(this.#permit, staleConnection);
        return;
      }
    }
    if (this.#headSent) {
      this.#refusal = refusal;
      this.#downstream.abort();
      this.#finish();
      return;
    }
    this.#refuse({ refusal, why });
  }

  #hasUntried(permit: Permit): boolean {
    return (
      permit.target.kind === 'service' && permit.target.upstream.endpoints.some(({ host, port }) => !this.#tried.has(`${host}:${port}`))
    );
  }

  #refuse(details: RefusalDetails): void {
    if (this.#finished) return;
    const answer = answerFor(details, this.#tracing?.requestId);
    this.#refusal = details.refusal;
    this.#status = answer.status;
    this.#responseBytes = answer.body.length;
    this.#downstream.head(answer.status, '', answer.fields, { kind: 'length', length: answer.body.length });
    if (this.#head.method !== 'HEAD') this.#downstream.data(answer.body);
    this.#downstream.end([]);
    this.#finish();
  }

  #upstreamFields(attempt: Attempt): Fields {
    const tracing = this.#tracing as Tracing;
    const { listener, peer } = this.#origin;
    const inbound = listener.kind === 'inbound';
    const authority = listener.kind === 'outbound' ? listener.service : (this.#route?.authority ?? '');
    const fields = forwardedFields(this.#head.fields, authority === '' ? this.#runtime.service : authority, tracing.continued);
    if (inbound && peer !== undefined) fields.push('x-forwarded-client-cert', `URI=${peer.printed}`);
    fields.push('x-request-id', tracing.requestId);
    const spanId = inbound ? (tracing.serverSpanId ?? attempt.spanId) : attempt.spanId;
    fields.push('traceparent', printTraceparent({ traceId: tracing.traceId, spanId, sampled: tracing.sampled, random: tracing.random }));
    return fields;
  }

  #answerFields(head: ResponseHead): Fields {
    const { kind } = this.#origin.listener;
    const fields = answeredFields(head.fields, kind === 'ingress');
    // Why the callee's proxy refused goes on to the caller; an application cannot say such a thing.
    const refusal = kind === 'inbound' ? undefined : fieldOf(head.fields, REFUSAL_HEADER);
    if (refusal !== undefined) fields.push(REFUSAL_HEADER, refusal);
    if (kind === 'ingress' && this.#tracing !== undefined) fields.push('x-request-id', this.#tracing.requestId);
    return fields;
  }

  /** The CLIENT span of one attempt towards a service, and its count. */
  #endAttempt(refusal: Refusal | undefined, status: number | undefined): void {
    clearTimeout(this.#timer);
    const attempt = this.#attempt;
    this.#attempt = undefined;
    if (attempt === undefined) return;
    this.#runtime.pool.leave(attempt.destination.key);
    const tracing = this.#tracing;
    const upstream = this.#route?.upstream;
    if (tracing === undefined || upstream === undefined) return;
    const durationMs = nowMs() - attempt.startMs;
    this.#runtime.recorder.count(
      'outbound',
      upstream.service,
      'http',
      status === undefined && refusal === undefined ? 'canceled' : outcomeOf(status ?? 0, refusal),
      durationMs,
    );
    if (!tracing.sampled && refusal === undefined) return;
    this.#runtime.recorder.span({
      ...this.#spanBasics(tracing),
      spanId: attempt.spanId,
      parentId: tracing.serverSpanId ?? tracing.parentId,
      kind: 'client',
      peerService: upstream.service,
      peerId: upstream.spiffeId,
      status,
      startMs: attempt.startMs,
      durationMs,
      attempt: attempt.number,
      refusal,
      verdict: undefined,
      rule: undefined,
      rulePlace: undefined,
      revision: undefined,
    });
  }

  #finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    clearTimeout(this.#timer);
    this.#waiting = [];
    this.#downstream.resumeBody();
    if (this.#isServed) this.#recordServed();
    // A request of the own application that never reached an attempt still shows in its proxy's metrics.
    else if (this.#attempts === 0)
      this.#runtime.recorder.count(
        'outbound',
        this.#route?.upstream?.service ?? '-',
        'http',
        outcomeOf(this.#status ?? 0, this.#refusal),
        nowMs() - this.#startMs,
      );
  }

  #recordServed(): void {
    const { recorder } = this.#runtime;
    recorder.inFlight--;
    const { peer } = this.#origin;
    const durationMs = nowMs() - this.#startMs;
    const outcome = this.#status === undefined ? 'canceled' : outcomeOf(this.#status, this.#refusal);
    recorder.count('inbound', peer?.id.service ?? '-', 'http', outcome, durationMs);
    const tracing = this.#tracing;
    if (tracing === undefined || tracing.serverSpanId === undefined || (!tracing.sampled && this.#refusal === undefined)) return;
    recorder.span({
      ...this.#spanBasics(tracing),
      spanId: tracing.serverSpanId,
      parentId: tracing.parentId,
      kind: 'server',
      peerService: peer?.id.service,
      peerId: peer?.printed,
      status: this.#status,
      startMs: this.#startMs,
      durationMs,
      attempt: 1,
      refusal: this.#refusal,
      verdict: this.#decision?.verdict,
      rule: this.#decision?.rule,
      rulePlace: this.#decision?.place,
      revision: this.#decision?.revision,
    });
  }

  #spanBasics(tracing: Tracing) {
    return {
      traceId: tracing.traceId,
      requestId: tracing.requestId,
      service: this.#runtime.service,
      instance: this.#runtime.instance,
      protocol: 'http' as const,
      method: this.#head.method,
      path: this.#route?.path,
      requestBytes: this.#requestBytes,
      responseBytes: this.#responseBytes,
    };
  }
}
