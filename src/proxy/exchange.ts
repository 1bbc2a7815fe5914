// The story of one request, phase by phase: route, authorize, pick, open, relay both ways, record.
//
//   in    a request head from a downstream connection, then its body
//   out   the answer, and one record of what happened
//
// A request body waits until an upstream stream is open; after its first byte was sent the request is not tried again.
import { messageOf } from '../base/fault.ts';
import { printSpiffeId } from '../mesh/identity.ts';
import { REFUSAL_HEADER, type Refusal } from '../mesh/refusal.ts';
import type { Decision } from '../policy/evaluate.ts';
import { outcomeOf } from '../signals/metrics.ts';
import { makeSpanId, printTraceparent } from '../traces/context.ts';
import { nowMs } from './clock.ts';
import { askedUpgrade, type Fields, fieldOf, safeTrailers, setField, withoutHopByHop } from './codec/fields.ts';
import type { Framing } from './codec/h1/framing.ts';
import type { RequestHead, ResponseHead } from './codec/h1/head.ts';
import { RESPONSE_TIMEOUT_MS } from './codec/limits.ts';
import type { Origin } from './connection.ts';
import { authorize, type Permit, permitOutbound } from './permit.ts';
import { answerFor, type RefusalDetails } from './rescue.ts';
import { match, type Route } from './route/match.ts';
import type { Runtime } from './runtime.ts';
import type { Tables } from './tables.ts';
import { type Tracing, traceExchange } from './trace.ts';
import { type Destination, pick } from './upstream/pick.ts';
import type { UpgradedConnection, UpstreamEvents, UpstreamStream } from './upstream/stream.ts';

/** What an exchange asks of the connection that it came on. */
export interface Downstream {
  interim(head: ResponseHead): void;
  /** Answers 101 and joins the two connections; `onDone` is called once when both have ended. */
  upgrade(fields: Fields, upstream: UpgradedConnection, onDone: (sent: number, received: number, expired: boolean) => void): void;
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

export class Exchange {
  readonly #runtime: Runtime;
  readonly #origin: Origin;
  readonly #downstream: Downstream;
  readonly #head: RequestHead;
  readonly #framing: Framing;
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

  constructor(runtime: Runtime, origin: Origin, downstream: Downstream, head: RequestHead, framing: Framing) {
    this.#runtime = runtime;
    this.#origin = origin;
    this.#downstream = downstream;
    this.#head = head;
    this.#framing = framing;
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
    void this.#try(this.#permit, false);
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
    this.#bodyEnded = safeTrailers(trailers);
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
        ? ({ kind: 'app', port: port.number } as const)
        : ({ kind: 'service', upstream: route.upstream } as const);
    const { decision, permit } = authorize(
      tables,
      { caller: peer?.id, port, http: { method: this.#head.method, path: route.path } },
      target,
    );
    this.#decision = decision;
    if (permit === undefined)
      this.#runtime.log(
        `denied ${peer === undefined ? 'a caller without identity' : printSpiffeId(peer.id)} ${this.#head.method} ${route.path}: ${decision.rule}${decision.place === undefined ? '' : ` (${decision.place})`} request=${this.#tracing?.requestId}`,
      );
    return permit;
  }

  async #try(permit: Permit, fresh: boolean): Promise<void> {
    const destination = pick(permit, this.#runtime.pool.inFlight, this.#tried);
    if (destination === undefined)
      return this.#refuse({ refusal: 'no_endpoint', why: `no instance of \`${this.#route?.upstream?.service}\` is ready` });
    this.#attempts++;
    this.#tried.add(destination.key);
    const attempt: Attempt = { number: this.#attempts, spanId: makeSpanId(), startMs: nowMs(), destination };
    this.#attempt = attempt;
    const connection = await this.#runtime.pool
      .take(destination, fresh)
      .catch((error: unknown) => ({ refusal: 'upstream_refused' as const, why: messageOf(error) }));
    if ('refusal' in connection) {
      if (this.#finished) return;
      this.#fault(connection.refusal, connection.why, true);
      return;
    }
    const stream = connection.open(this.#head.method, this.#events());
    if (this.#finished) return stream.abort();
    this.#send(stream, attempt);
  }

  #send(stream: UpstreamStream, attempt: Attempt): void {
    const route = this.#route as Route;
    const upgrade = this.#framing.kind === 'none' ? askedUpgrade(this.#head.method, this.#head.minor, this.#head.fields) : undefined;
    stream.send(this.#head.method, route.path + route.query, this.#upstreamFields(attempt), this.#framing, upgrade);
    this.#stream = stream;
    const waiting = this.#waiting;
    this.#waiting = [];
    let room = true;
    for (const bytes of waiting) room = this.#forward(stream, bytes);
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

  #events(): UpstreamEvents {
    return {
      onInterim: (head) => this.#downstream.interim(head),
      onHead: (head, framing) => {
        clearTimeout(this.#timer);
        this.#status = head.status;
        this.#headSent = true;
        this.#downstream.head(head.status, head.reason, this.#answerFields(head), framing);
      },
      onUpgrade: (head, connection) => {
        clearTimeout(this.#timer);
        this.#status = head.status;
        this.#headSent = true;
        const fields = [...this.#answerFields(head), 'connection', 'Upgrade', 'upgrade', 'websocket'];
        this.#downstream.upgrade(fields, connection, (sent, received, expired) => {
          this.#requestBytes += sent;
          this.#responseBytes += received;
          if (expired) {
            this.#refusal = 'identity_expired';
            this.#runtime.recorder.identityExpired++;
          }
          this.#endAttempt(this.#refusal, this.#status);
          this.#finish();
        });
      },
      onData: (bytes) => {
        this.#responseBytes += bytes.length;
        if (!this.#downstream.data(bytes)) this.#stream?.pause();
      },
      onEnd: (trailers) => {
        this.#endAttempt(undefined, this.#status);
        this.#downstream.end(safeTrailers(trailers));
        this.#finish();
      },
      onFault: (refusal, why) => this.#fault(refusal, why, false),
      onDrain: () => this.#downstream.resumeBody(),
    };
  }

  // Tried again only when nothing can have been done twice: the connection never came about, or an idle one had been closed
  // by the other end before a request that may be repeated.
  #fault(refusal: Refusal, why: string, neverSent: boolean): void {
    if (this.#finished) return;
    clearTimeout(this.#timer);
    const reused = this.#stream?.reused === true;
    this.#stream = undefined;
    this.#endAttempt(refusal, undefined);
    const connectFailed = neverSent && (refusal === 'upstream_refused' || refusal === 'timeout' || refusal === 'identity_mismatch');
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
        void this.#try(this.#permit, staleConnection);
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
    let fields = withoutHopByHop(this.#head.fields);
    fields = setField(
      fields,
      'x-forwarded-client-cert',
      listener.kind === 'inbound' && peer !== undefined ? `URI=${printSpiffeId(peer.id)}` : undefined,
    );
    fields = setField(fields, 'x-request-id', tracing.requestId);
    const spanId = listener.kind === 'inbound' ? (tracing.serverSpanId ?? attempt.spanId) : attempt.spanId;
    fields = setField(
      fields,
      'traceparent',
      printTraceparent({ traceId: tracing.traceId, spanId, sampled: tracing.sampled, random: tracing.random }),
    );
    if (!tracing.continued) fields = setField(fields, 'tracestate', undefined);
    const authority = this.#route?.authority ?? '';
    const host = listener.kind === 'outbound' ? listener.service : authority;
    return ['host', host === '' ? this.#runtime.service : host, ...setField(fields, 'host', undefined)];
  }

  #answerFields(head: ResponseHead): Fields {
    const { kind } = this.#origin.listener;
    let fields = withoutHopByHop(head.fields);
    // Why the callee's proxy refused goes on to the caller; an application cannot say such a thing.
    const refusal = kind === 'inbound' ? undefined : fieldOf(head.fields, REFUSAL_HEADER);
    if (refusal !== undefined) fields = [...fields, REFUSAL_HEADER, refusal];
    return kind === 'ingress' ? setField(fields, 'x-request-id', this.#tracing?.requestId) : fields;
  }

  /** The CLIENT span of one attempt towards a service, and its count. */
  #endAttempt(refusal: Refusal | undefined, status: number | undefined): void {
    clearTimeout(this.#timer);
    const attempt = this.#attempt;
    this.#attempt = undefined;
    const tracing = this.#tracing;
    const upstream = this.#route?.upstream;
    if (attempt === undefined || tracing === undefined || upstream === undefined) return;
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
      peerId: peer === undefined ? undefined : printSpiffeId(peer.id),
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
