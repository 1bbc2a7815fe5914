// The story of one request, phase by phase: route, authorize, pick, open, relay both ways, record.
//
//   in    a request head from a downstream connection, then its body
//   out   the answer, and one record of what happened
//
// A request body waits until an upstream stream is open. As long as no head of an answer has gone to the caller, a request that may be
// repeated is tried again elsewhere: within its time, its budget, and while its body was kept.
import { messageOf } from '../base/fault.ts';
import { isRefusal, REFUSAL_HEADER, type Refusal } from '../mesh/refusal.ts';
import type { Upstream } from '../mesh/snapshot.ts';
import { DEFAULT_TRAFFIC, type Traffic } from '../mesh/traffic.ts';
import type { Enforced } from '../policy/evaluate.ts';
import { outcomeOf } from '../signals/metrics.ts';
import { makeSpanId, printTraceparent } from '../traces/context.ts';
import { nowMs } from './clock.ts';
import { answeredFields, type Fields, fieldOf, fieldsOf, forwardedFields, safeTrailers } from './codec/fields.ts';
import type { Framing } from './codec/h1/framing.ts';
import type { RequestHead, ResponseHead } from './codec/h1/head.ts';
import type { Origin } from './connection.ts';
import { readDeadline, writeDeadline } from './deadline.ts';
import type { Deadline } from './deadlines.ts';
import type { Channel } from './net/channel.ts';
import { type AttemptFacts, authorize, type Permit, permitOutbound } from './permit.ts';
import { answerFor, httpStatusOf, isGrpc, type RefusalDetails } from './rescue.ts';
import { match, type Route } from './route/match.ts';
import { chooseFault, chooseSplit, trafficFor } from './route/traffic.ts';
import type { Runtime } from './runtime.ts';
import type { Tables } from './tables.ts';
import { makeRequestId, type Tracing, traceExchange } from './trace.ts';
import { appDestination, type Cluster, type Destination, type EndpointState } from './upstream/cluster.ts';
import { sendCopy } from './upstream/mirror.ts';
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

// RFC 9110 section 9.2.2.
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);
/** A longer request body is not kept, so it is not sent twice (Linkerd's bound). */
const MAX_REPLAY_BYTES = 64 * 1024;
/** What the callee's proxy says of a request that no application has seen. */
const UNSEEN = new Set<string>(['no_endpoint', 'overloaded', 'draining', 'circuit_open', 'upstream_refused']);
/** Idle connections that may turn out to be gone before a request gives up. */
const MAX_STALE = 3;
const GATEWAY_ERROR = new Set([502, 503, 504]);

interface Attempt {
  readonly number: number;
  readonly spanId: string;
  readonly startMs: number;
  readonly destination: Destination;
  /** Undefined towards the own application. */
  readonly endpoint: EndpointState | undefined;
  /** When its connection was there: what came before is not the endpoint's doing. */
  openedMs: number;
}

/** Most requests have no body that waits or is kept: a list is made when one does. Never written to. */
const NOTHING: Buffer[] = [];

function append(list: Buffer[], bytes: Buffer): Buffer[] {
  if (list === NOTHING) return [bytes];
  list.push(bytes);
  return list;
}

export class Exchange implements UpstreamEvents, Deadline {
  readonly #runtime: Runtime;
  readonly #origin: Origin;
  readonly #downstream: Downstream;
  readonly #head: RequestHead;
  readonly #framing: Framing;
  readonly #upgrade: string | undefined;
  readonly #isGrpc: boolean;
  readonly #startMs = nowMs();
  readonly #tables: Tables | undefined;
  #tracing: Tracing | undefined;
  #route: Route | undefined;
  #traffic: Traffic = DEFAULT_TRAFFIC;
  #cluster: Cluster | undefined;
  #decision: Enforced | undefined;
  #permit: Permit | undefined;
  #attempt: Attempt | undefined;
  #attempts = 0;
  #tried: Set<string> | undefined;
  #stream: UpstreamStream | undefined;
  /** Epoch milliseconds by which the caller wants its answer; Infinity when it did not say. */
  #deadlineMs = Number.POSITIVE_INFINITY;
  #requestDueMs = Number.POSITIVE_INFINITY;
  #tryDueMs = Number.POSITIVE_INFINITY;
  /** When a byte of a body last came. */
  #movedMs = this.#startMs;
  dueAtMs = Number.POSITIVE_INFINITY;
  place = -1;
  #pause: NodeJS.Timeout | undefined;
  /** The service that gets a copy when the request is whole. */
  #mirrored: Upstream | undefined;
  /** Body that waits for a stream. */
  #waiting: Buffer[] = NOTHING;
  /** Body that was sent, for another try; undefined when there is too much of it. */
  #replay: Buffer[] | undefined = NOTHING;
  #replayBytes = 0;
  #bodyEnded: Fields | undefined;
  #headSent = false;
  #finished = false;
  #status: number | undefined;
  #grpcStatus: string | undefined;
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
    this.#isGrpc = head.method === 'POST' && isGrpc(fieldOf(head.fields, 'content-type'));
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
    const { listener } = this.#origin;
    const { memory } = this.#runtime;
    this.#tracing = traceExchange(listener, tables, memory, this.#head.fields);
    // A request of the own application has no more time than the one that it is made for.
    const remembered = this.#isServed ? Number.POSITIVE_INFINITY : memory.deadlineOf(this.#tracing.requestId);
    this.#deadlineMs = Math.min(remembered, readDeadline(listener, this.#head.fields, this.#isGrpc, this.#startMs));
    // Only who calls other services asks for it.
    if (listener.kind === 'inbound' && tables.upstreams.size > 0) memory.remember(this.#tracing.requestId, this.#tracing, this.#deadlineMs);
    const route = match(listener, tables, this.#head.method, this.#head.target, this.#head.minor, this.#head.fields);
    if ('refusal' in route) return this.#refuse(route);
    this.#route = route;
    const { peer } = this.#origin;
    if (peer !== undefined && this.#runtime.revoked.has(peer))
      return this.#refuse({ refusal: 'revoked', why: `${peer.serial} was revoked` });
    this.#permit = this.#authorize(tables, route);
    if (this.#permit === undefined) return this.#refuse({ refusal: 'denied', why: '' });
    if (this.#deadlineMs <= this.#startMs) return this.#refuse({ refusal: 'deadline', why: 'the time that the caller gave was over' });
    if (this.#permit.target.kind === 'app') this.#enterApp(tables, route);
    else this.#enterService(tables, route, this.#permit.target.upstream);
  }

  onBody(bytes: Buffer): void {
    this.#requestBytes += bytes.length;
    if (this.#finished) return;
    this.#movedMs = nowMs();
    if (this.#stream === undefined) {
      this.#waiting = append(this.#waiting, bytes);
      this.#downstream.pauseBody();
    } else this.#forward(this.#stream, bytes);
  }

  onBodyEnd(trailers: Fields): void {
    if (this.#bodyEnded !== undefined) return;
    this.#bodyEnded = trailers.length === 0 ? trailers : safeTrailers(trailers);
    if (this.#stream !== undefined && !this.#finished) this.#endRequest(this.#stream, this.#bodyEnded);
    if (this.#mirrored !== undefined) this.#sendMirror(this.#mirrored);
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

  onDue(): void {
    if (this.#finished) return;
    const now = nowMs();
    if (now < Math.min(this.#tryDueMs, this.#requestDueMs, this.#finalMs)) {
      if (now < this.#idleDueMs) this.#schedule();
      else this.#stall();
      return;
    }
    const whole = now >= this.#requestDueMs || now >= this.#deadlineMs;
    const refusal = now >= this.#deadlineMs ? 'deadline' : 'timeout';
    this.#stream?.abort();
    this.#fault(refusal, `no answer within ${Math.round(now - this.#startMs)} ms`, false, !whole);
  }

  /** A call of gRPC has its deadline to the last byte, any other request to the head of its answer. */
  get #finalMs(): number {
    return this.#headSent && !this.#isGrpc ? Number.POSITIVE_INFINITY : this.#deadlineMs;
  }

  get #idleDueMs(): number {
    const { idleMs } = this.#traffic.timeouts;
    return idleMs > 0 ? this.#movedMs + idleMs : Number.POSITIVE_INFINITY;
  }

  // A caller that stopped sending or reading, or a service that stopped answering.
  #stall(): void {
    const why = `nothing has moved for ${this.#traffic.timeouts.idleMs} ms`;
    this.#stream?.abort();
    if (this.#headSent || this.#bodyEnded !== undefined) return this.#fault('timeout', why, false, false);
    this.#endAttempt(undefined, undefined);
    this.#refuse({ refusal: 'bad_request', why, status: 408 });
  }

  #authorize(tables: Tables, route: Route): Permit | undefined {
    const { listener, peer } = this.#origin;
    if (listener.kind !== 'inbound' && listener.kind !== 'ingress')
      return route.upstream === undefined ? undefined : permitOutbound(route.upstream);
    const target =
      listener.kind === 'inbound'
        ? ({ kind: 'app', host: listener.appHost, port: listener.appPort, protocol: listener.protocol } as const)
        : route.upstream !== undefined && ({ kind: 'service', upstream: route.upstream } as const);
    if (target === false) return undefined;
    const { decision, permit } = authorize(tables, this.#facts(route), target);
    this.#decision = decision;
    if (permit === undefined)
      this.#runtime.log(
        `denied ${peer === undefined ? 'a caller without identity' : peer.printed} ${this.#head.method} ${route.path}: ${decision.rule}${decision.place === undefined ? '' : ` (${decision.place})`} request=${this.#tracing?.requestId}`,
      );
    return permit;
  }

  /** Towards the own application: what the service takes is counted here. */
  #enterApp(tables: Tables, route: Route): void {
    const own = tables.own;
    if (own !== undefined) {
      this.#traffic = trafficFor(own, this.#head.method, route.path);
      const { rateLimit } = this.#traffic;
      if (rateLimit !== undefined && !this.#runtime.limits.take(rateLimit, this.#startMs))
        return this.#refuse({ refusal: 'rate_limited', why: 'more requests than this service takes' });
    }
    this.#try(false);
  }

  #enterService(tables: Tables, route: Route, named: Upstream): void {
    this.#traffic = trafficFor(named, this.#head.method, route.path);
    const upstream = chooseSplit(tables, named, this.#traffic);
    if (upstream !== named) {
      this.#route = { ...route, upstream };
      this.#permit = permitOutbound(upstream);
    }
    const cluster = this.#runtime.clusters.of(upstream, tables.zone);
    const { circuit, mirror, faults } = this.#traffic;
    if (cluster.requests >= circuit.maxRequests)
      return this.#refuse({ refusal: 'circuit_open', why: `${circuit.maxRequests} requests to \`${upstream.service}\` are under way` });
    cluster.requests++;
    cluster.budget.request(this.#startMs);
    this.#cluster = cluster;
    if (mirror !== undefined && Math.random() * 100 < mirror.percent) this.#mirrored = tables.upstreams.get(mirror.service);
    const fault = faults.length === 0 ? undefined : chooseFault(faults, this.#runtime.service);
    if (fault === undefined) return this.#try(false);
    this.#downstream.pauseBody();
    this.#pause = setTimeout(() => {
      if (fault.abort !== undefined)
        this.#refuse({ refusal: 'fault_injected', why: 'the mesh file asks for this fault', status: fault.abort });
      else this.#try(false);
    }, fault.delayMs);
  }

  #try(fresh: boolean): void {
    const permit = this.#permit as Permit;
    const { pool } = this.#runtime;
    const now = nowMs();
    const endpoint = this.#cluster?.pick(permit, this.#traffic, this.#tried, now);
    const destination = endpoint ?? appDestination(permit, this.#head.major);
    if (destination === undefined)
      return this.#refuse({ refusal: 'no_endpoint', why: `no instance of \`${this.#route?.upstream?.service}\` is ready` });
    this.#attempts++;
    const attempt: Attempt = { number: this.#attempts, spanId: makeSpanId(), startMs: now, destination, endpoint, openedMs: now };
    this.#attempt = attempt;
    if (endpoint !== undefined) endpoint.inFlight++;
    const ready = fresh ? undefined : pool.ready(destination);
    if (ready !== undefined) return this.#open(ready, attempt);
    const cluster = this.#cluster;
    if (cluster !== undefined) {
      if (cluster.pending >= this.#traffic.circuit.maxPending)
        return this.#fault('circuit_open', `${cluster.pending} requests wait for a connection`, false, false);
      cluster.pending++;
    }
    const settled = (): boolean => {
      if (cluster !== undefined) cluster.pending--;
      return this.#attempt === attempt;
    };
    pool.connect(destination, this.#head.major).then(
      (connection) => {
        const wanted = settled();
        if ('refusal' in connection) {
          if (wanted) this.#fault(connection.refusal, connection.why, true, true);
        } else if (wanted) {
          attempt.openedMs = nowMs();
          this.#open(connection, attempt);
        } else connection.giveBack();
      },
      (error: unknown) => {
        if (settled()) this.#fault('upstream_refused', messageOf(error), true, true);
      },
    );
  }

  #open(connection: UpstreamConnection, attempt: Attempt): void {
    const route = this.#route as Route;
    const head = this.#head;
    const framing = this.#framing;
    const stream = connection.open(
      { head, target: route.path + route.query, fields: this.#upstreamFields(attempt), framing, upgrade: this.#upgrade },
      this,
    );
    // The connection was gone, and the fault has been dealt with.
    if (this.#finished || this.#attempt !== attempt) return stream.abort();
    this.#stream = stream;
    let room = true;
    if (this.#waiting.length > 0) {
      const waiting = this.#waiting;
      this.#waiting = NOTHING;
      for (const bytes of waiting) room = this.#forward(stream, bytes);
    }
    if (this.#bodyEnded !== undefined) this.#endRequest(stream, this.#bodyEnded);
    else {
      this.#movedMs = nowMs();
      this.#arm(Number.POSITIVE_INFINITY);
      if (room) this.#downstream.resumeBody();
    }
  }

  // The time for an answer runs from the end of the request: an upload may take as long as it takes.
  #endRequest(stream: UpstreamStream, trailers: Fields): void {
    stream.end(trailers);
    if (this.#headSent || this.#finished) return;
    const now = nowMs();
    const { requestMs, perTryMs } = this.#traffic.timeouts;
    if (this.#requestDueMs === Number.POSITIVE_INFINITY && requestMs > 0) this.#requestDueMs = now + requestMs;
    // A try is the caller's: the callee's proxy has one request and its whole time.
    this.#arm(perTryMs > 0 && this.#cluster !== undefined ? now + perTryMs : Number.POSITIVE_INFINITY);
  }

  #arm(tryDueMs: number): void {
    this.#tryDueMs = tryDueMs;
    this.#schedule();
  }

  #schedule(): void {
    this.dueAtMs = Math.min(this.#tryDueMs, this.#requestDueMs, this.#finalMs, this.#idleDueMs);
    if (this.dueAtMs !== Number.POSITIVE_INFINITY) this.#runtime.deadlines.add(this);
  }

  #forward(stream: UpstreamStream, bytes: Buffer): boolean {
    if (this.#replay !== undefined) {
      this.#replayBytes += bytes.length;
      this.#replay = this.#replayBytes <= MAX_REPLAY_BYTES ? append(this.#replay, bytes) : undefined;
    }
    const room = stream.write(bytes);
    if (!room) this.#downstream.pauseBody();
    return room;
  }

  onInterim(head: ResponseHead): void {
    if (!this.#finished) this.#downstream.interim({ ...head, fields: this.#answerFields(head) });
  }

  onHead(head: ResponseHead, framing: Framing): void {
    if (this.#finished) return;
    if (GATEWAY_ERROR.has(head.status) && this.#cluster !== undefined) {
      const refusal = fieldOf(head.fields, REFUSAL_HEADER);
      const unseen = refusal !== undefined && UNSEEN.has(refusal);
      if ((refusal === undefined || refusal === 'upstream_reset' || unseen) && this.#mayRetry(unseen)) {
        this.#stream?.abort();
        this.#avoid();
        this.#endAttempt(refusal !== undefined && isRefusal(refusal) ? refusal : undefined, head.status);
        return this.#again(true);
      }
    }
    if (this.#isGrpc) this.#grpcStatus = fieldOf(head.fields, 'grpc-status');
    this.#status = head.status;
    this.#headSent = true;
    this.#replay = undefined;
    this.#requestDueMs = Number.POSITIVE_INFINITY;
    this.#movedMs = nowMs();
    this.#arm(Number.POSITIVE_INFINITY);
    this.#downstream.head(head.status, head.reason, this.#answerFields(head), framing);
  }

  onUpgrade(head: ResponseHead, upstream: Channel): void {
    if (this.#finished) return upstream.reset('canceled');
    this.#runtime.deadlines.remove(this);
    this.#status = head.status;
    this.#headSent = true;
    const { listener, peer } = this.#origin;
    const caller = this.#downstream.upgrade(this.#answerFields(head));
    const entry = listener.kind === 'inbound' ? { peer, judge: () => this.#judgeAgain() } : undefined;
    this.#runtime.joins.join(entry, caller, upstream, ({ aToB, bToA, cut }) => {
      this.#requestBytes += aToB;
      this.#responseBytes += bToA;
      this.#refusal = cut;
      if (cut === 'identity_expired') this.#runtime.recorder.identityExpired++;
      this.#endAttempt(cut, this.#status);
      this.#finish();
    });
  }

  /** Whether the policy in force now still allows what was allowed when it began. */
  #judgeAgain(): boolean {
    const tables = this.#runtime.tables;
    if (tables === undefined || this.#route === undefined || this.#permit === undefined) return true;
    return authorize(tables, this.#facts(this.#route), this.#permit.target).permit !== undefined;
  }

  /** What the policy is asked about this request. */
  #facts(route: Route): AttemptFacts {
    const { method, fields } = this.#head;
    const http = { method, path: route.path, grpc: this.#isGrpc, header: (name: string) => fieldsOf(fields, name) };
    return { caller: this.#origin.peer?.id, port: this.#port, http, atMs: nowMs() };
  }

  get #port(): { readonly name: string; readonly number: number } {
    const { listener } = this.#origin;
    if (listener.kind === 'inbound') return { name: listener.portName, number: listener.appPort };
    return { name: 'http', number: listener.kind === 'ingress' ? listener.port : 0 };
  }

  onData(bytes: Buffer): void {
    if (this.#finished) return;
    this.#responseBytes += bytes.length;
    this.#movedMs = nowMs();
    if (!this.#downstream.data(bytes)) this.#stream?.pause();
  }

  onEnd(trailers: Fields): void {
    if (this.#finished) return;
    if (this.#isGrpc) this.#grpcStatus ??= fieldOf(trailers, 'grpc-status');
    this.#endAttempt(undefined, this.#status);
    this.#downstream.end(trailers.length === 0 ? trailers : safeTrailers(trailers));
    this.#finish();
  }

  onFault(refusal: Refusal, why: string, unseen: boolean): void {
    this.#fault(refusal, why, unseen, true);
  }

  onDrain(): void {
    if (!this.#finished) this.#downstream.resumeBody();
  }

  // Tried again only when nothing can have been done twice: no application saw it, or it is a request that may be repeated.
  #fault(refusal: Refusal, why: string, unseen: boolean, more: boolean): void {
    if (this.#finished) return;
    const destination = this.#attempt?.destination;
    const stale = this.#stream?.reused === true && refusal === 'upstream_reset';
    this.#stream = undefined;
    if (this.#headSent) {
      this.#refusal = refusal;
      this.#endAttempt(refusal, this.#status);
      this.#downstream.abort();
      this.#finish();
      return;
    }
    this.#endAttempt(refusal, undefined);
    // An idle connection was closed under our feet: that says nothing about the other end, and costs no retry.
    if (stale && more && IDEMPOTENT.has(this.#head.method) && this.#attempts <= MAX_STALE && this.#rewind()) return this.#try(true);
    if (this.#cluster !== undefined && destination !== undefined && more && refusal !== 'upstream_invalid') {
      const tried = this.#avoid(destination);
      if (this.#mayRetry(unseen)) return this.#again(!unseen || !this.#cluster.hasUntried(tried));
    }
    this.#refuse({ refusal, why });
  }

  /** The next try goes elsewhere, if there is an elsewhere. */
  #avoid(destination = this.#attempt?.destination): ReadonlySet<string> {
    this.#tried ??= new Set();
    if (destination !== undefined) this.#tried.add(destination.key);
    return this.#tried;
  }

  #mayRetry(unseen: boolean): boolean {
    const { retries } = this.#traffic;
    return (
      (unseen || IDEMPOTENT.has(this.#head.method)) &&
      this.#attempts <= retries.attempts &&
      this.#replay !== undefined &&
      this.#upgrade === undefined &&
      this.#cluster?.budget.retry(retries, nowMs()) === true
    );
  }

  /** One more try, after a while unless another endpoint is to be had at once. */
  #again(wait: boolean): void {
    this.#stream = undefined;
    this.#runtime.deadlines.remove(this);
    if (!this.#rewind()) return this.#refuse({ refusal: 'upstream_reset', why: 'the request cannot be sent twice' });
    if (!wait) return this.#try(false);
    const { backoffMs, maxBackoffMs } = this.#traffic.retries;
    const limit = Math.min(maxBackoffMs, backoffMs * 2 ** (this.#attempts - 1));
    this.#pause = setTimeout(() => {
      if (nowMs() < Math.min(this.#requestDueMs, this.#deadlineMs)) this.#try(false);
      else this.#refuse({ refusal: 'timeout', why: 'no time is left for another try' });
    }, Math.random() * limit);
  }

  /** What was sent waits to be sent again. False when too much was. */
  #rewind(): boolean {
    if (this.#replay === undefined) return false;
    this.#waiting = [...this.#replay, ...this.#waiting];
    this.#replay = NOTHING;
    this.#replayBytes = 0;
    return true;
  }

  #sendMirror(upstream: Upstream): void {
    this.#mirrored = undefined;
    const body = this.#replay === undefined ? undefined : [...this.#replay, ...this.#waiting];
    if (body === undefined) return;
    const route = this.#route as Route;
    const fields = forwardedFields(this.#head.fields, upstream.service, false);
    fields.push('x-request-id', makeRequestId(), 'x-mirrored-from', this.#tracing?.requestId ?? '');
    sendCopy(
      this.#runtime,
      upstream,
      { head: this.#head, target: route.path + route.query, fields, framing: this.#framing, upgrade: undefined },
      body,
    );
  }

  #refuse(details: RefusalDetails): void {
    if (this.#finished) return;
    const answer = answerFor(details, this.#tracing?.requestId, this.#isGrpc);
    this.#refusal = details.refusal;
    this.#status = answer.status;
    this.#responseBytes = answer.body.length;
    this.#downstream.head(
      answer.status,
      '',
      answer.fields,
      answer.body.length === 0 ? { kind: 'none' } : { kind: 'length', length: answer.body.length },
    );
    if (this.#head.method !== 'HEAD' && answer.body.length > 0) this.#downstream.data(answer.body);
    this.#downstream.end([]);
    this.#finish();
  }

  #upstreamFields(attempt: Attempt): Fields {
    const tracing = this.#tracing as Tracing;
    const { listener, peer } = this.#origin;
    const inbound = listener.kind === 'inbound';
    const renamed = listener.kind === 'outbound' && listener.keepHost === undefined;
    const authority = renamed ? listener.service : (this.#route?.authority ?? '');
    const fields = forwardedFields(this.#head.fields, authority === '' ? this.#runtime.service : authority, tracing.continued);
    if (inbound && peer !== undefined) fields.push('x-forwarded-client-cert', `URI=${peer.printed}`);
    fields.push('x-request-id', tracing.requestId);
    const spanId = inbound ? (tracing.serverSpanId ?? attempt.spanId) : attempt.spanId;
    fields.push('traceparent', printTraceparent({ traceId: tracing.traceId, spanId, sampled: tracing.sampled, random: tracing.random }));
    if (this.#deadlineMs !== Number.POSITIVE_INFINITY) writeDeadline(fields, this.#deadlineMs - nowMs(), this.#isGrpc, !inbound);
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
    const attempt = this.#attempt;
    this.#attempt = undefined;
    if (attempt === undefined) return;
    const now = nowMs();
    const { endpoint } = attempt;
    if (endpoint !== undefined) {
      endpoint.inFlight--;
      const failed = status === undefined ? refusal !== undefined : status >= 500;
      this.#cluster?.settle(endpoint, status === undefined && refusal === undefined ? undefined : !failed, now - attempt.openedMs, now);
    }
    const tracing = this.#tracing;
    const upstream = this.#route?.upstream;
    if (tracing === undefined || upstream === undefined) return;
    const durationMs = now - attempt.startMs;
    this.#runtime.recorder.count(
      'outbound',
      upstream.service,
      'http',
      status === undefined && refusal === undefined ? 'canceled' : this.#outcome(status, refusal),
      durationMs,
      this.#requestBytes,
      this.#responseBytes,
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
    this.#runtime.deadlines.remove(this);
    clearTimeout(this.#pause);
    if (this.#cluster !== undefined) this.#cluster.requests--;
    this.#waiting = NOTHING;
    this.#replay = undefined;
    this.#downstream.resumeBody();
    if (this.#isServed) this.#recordServed();
    // A request of the own application that never reached an attempt still shows in its proxy's metrics.
    else if (this.#attempts === 0)
      this.#runtime.recorder.count(
        'outbound',
        this.#route?.upstream?.service ?? '-',
        'http',
        this.#outcome(this.#status, this.#refusal),
        nowMs() - this.#startMs,
      );
  }

  /** In gRPC the status is in `grpc-status`: which of them is whose fault is as in Linkerd. */
  #outcome(status: number | undefined, refusal: Refusal | undefined): string {
    return outcomeOf(this.#grpcStatus === undefined ? (status ?? 0) : httpStatusOf(this.#grpcStatus), refusal);
  }

  #recordServed(): void {
    const { recorder } = this.#runtime;
    recorder.inFlight--;
    const { peer } = this.#origin;
    const durationMs = nowMs() - this.#startMs;
    const outcome = this.#status === undefined ? 'canceled' : this.#outcome(this.#status, this.#refusal);
    recorder.count('inbound', peer?.id.service ?? '-', 'http', outcome, durationMs, this.#requestBytes, this.#responseBytes);
    const path = this.#route?.path;
    if (path !== undefined)
      recorder.countRoute(this.#runtime.routes.of(this.#head.method, path), outcome, durationMs, this.#requestBytes, this.#responseBytes);
    const tracing = this.#tracing;
    if (this.#runtime.tap.isOpen) this.#showTap(durationMs);
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
      ...(this.#decision === undefined ? {} : { port: this.#port }),
      ...(this.#decision?.audited ? { audited: true as const } : {}),
      ...(this.#isGrpc ? { grpc: true as const } : {}),
    });
  }

  #showTap(durationMs: number): void {
    const { peer } = this.#origin;
    this.#runtime.tap.see(
      {
        atMs: this.#startMs + durationMs,
        service: this.#runtime.service,
        instance: this.#runtime.instance,
        from: peer?.id.service ?? null,
        fromId: peer?.printed ?? null,
        protocol: 'http',
        method: this.#head.method,
        path: this.#route?.path ?? null,
        status: this.#status ?? null,
        refusal: this.#refusal ?? null,
        verdict: this.#decision?.verdict ?? null,
        rule: this.#decision?.rule ?? null,
        rulePlace: this.#decision?.place ?? null,
        durationMs,
        requestBytes: this.#requestBytes,
        responseBytes: this.#responseBytes,
        requestId: this.#tracing?.requestId ?? null,
        traceId: this.#tracing?.traceId ?? null,
      },
      this.#head.fields,
    );
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
