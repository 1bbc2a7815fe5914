// The proxy's one connection to the control plane: configuration and certificates down, counters and spans up.
//
//   hello(token) ─► csr ─► svid ─► snapshot …          first contact
//   hello(svid)  ─► challenge ─► proof ─► snapshot …   after an outage: nothing is lost but what was in flight
//
// Traffic never depends on it: what was received stays in force, and everything upwards is bounded.

import { createConnection, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { Backoff } from '../../base/backoff.ts';
import { Fault, messageOf } from '../../base/fault.ts';
import { encodeFrame, FrameDecoder } from '../../base/frames.ts';
import { type FromProxy, type Gauges, PROTOCOL, type ProxyAnswer, type ProxyCommand, type ToProxy } from '../../mesh/messages.ts';
import type { Runtime } from '../runtime.ts';
import { buildTables } from '../tables.ts';

export interface FeedOptions {
  readonly controlSocket: string;
  readonly proxyId: string;
  readonly token: string;
  /** Both a certificate and a snapshot are there for the first time. */
  readonly onReady: () => void;
  readonly onTables: () => void;
  /** Does what the control plane wants; renewals are the feed's own. */
  readonly onCommand: (command: CutOrTry) => Promise<ProxyAnswer>;
  readonly staleConnections: () => number;
}

export type CutOrTry = Extract<ProxyCommand, { readonly kind: 'cut' | 'try' | 'peers' }>;

const METRICS_EVERY_MS = 1000;
const SPANS_EVERY_MS = 200;
/** A pause between two renewals, so that a short life or a fault never becomes a storm. */
const MIN_RENEWAL_GAP_MS = 1000;
/** Before a certificate that was withheld is asked for again. */
const WITHHELD_MS = 30_000;
/** While more than this waits in the socket, the control plane is not keeping up: spans stay in their bounded buffer. */
const MAX_UNSENT_BYTES = 4 * 1024 * 1024;
const SPANS_PER_MESSAGE = 500;

export class Feed {
  readonly #runtime: Runtime;
  readonly #options: FeedOptions;
  readonly #epoch = `${process.pid}-${Date.now().toString(36)}`;
  readonly #backoff = new Backoff(50, 1000);
  readonly #timers: NodeJS.Timeout[] = [];
  #token: string | undefined;
  #socket: Socket | undefined;
  #accepted = false;
  #stopped = false;
  #ready = false;
  /** What was sent before may have been lost: the next message holds every counter. */
  #isWhole = true;
  #lastRequestMs = 0;
  #notBeforeMs = 0;
  /** `renew` commands that the next certificate answers. */
  #renewals: number[] = [];
  #renewal: NodeJS.Timeout | undefined;
  #loop = performance.eventLoopUtilization();

  constructor(runtime: Runtime, options: FeedOptions) {
    this.#runtime = runtime;
    this.#options = options;
    this.#token = options.token;
  }

  start(): void {
    this.#connect();
    this.#timers.push(
      setInterval(() => this.#sendMetrics(), METRICS_EVERY_MS),
      setInterval(() => this.#sendSpans(), SPANS_EVERY_MS),
    );
  }

  /** Sends what is left and closes. */
  stop(): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#renewal);
    const socket = this.#socket;
    if (socket === undefined || !this.#accepted) {
      socket?.destroy();
      return Promise.resolve();
    }
    this.#sendMetrics();
    this.#sendSpans();
    return new Promise((resolve) => {
      socket.end(() => resolve());
      socket.once('close', () => resolve());
      setTimeout(resolve, 500).unref();
    });
  }

  /** A fresh join token from the supervisor: joins again with it. */
  rejoin(token: string): void {
    this.#token = token;
    this.#socket?.destroy();
    if (this.#socket === undefined) this.#connect();
  }

  #connect(): void {
    if (this.#stopped) return;
    const socket = createConnection(this.#options.controlSocket);
    const decoder = new FrameDecoder();
    this.#socket = socket;
    this.#accepted = false;
    socket.once('connect', () => this.#hello());
    socket.on('data', (bytes: Buffer) => {
      try {
        for (const message of decoder.push(bytes)) this.#receive(message as ToProxy);
      } catch (error) {
        this.#runtime.log(`the control plane sent something unusable: ${messageOf(error)}`);
        socket.destroy();
      }
    });
    socket.on('error', () => undefined);
    socket.once('close', () => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      this.#accepted = false;
      setTimeout(() => {
        if (this.#socket === undefined) this.#connect();
      }, this.#backoff.next());
    });
  }

  #hello(): void {
    const { tables, credentials } = this.#runtime;
    const current = credentials.current;
    const known = current !== undefined && current.notAfterMs > Date.now() && this.#token === undefined;
    this.#send({
      kind: 'hello',
      protocol: PROTOCOL,
      proxyId: this.#options.proxyId,
      epoch: this.#epoch,
      ...(tables === undefined ? {} : { haveVersion: tables.version }),
      ...(this.#token !== undefined ? { token: this.#token } : known ? { svid: current.chain } : {}),
    });
    if (this.#token !== undefined) this.#requestCertificate();
  }

  #receive(message: ToProxy): void {
    const { credentials } = this.#runtime;
    switch (message.kind) {
      case 'challenge': {
        const signature = credentials.proveOver(message.nonce);
        if (signature !== undefined) this.#send({ kind: 'proof', signature });
        return;
      }
      case 'refused':
        this.#runtime.log(`the control plane refused this proxy: ${message.fault.message}`);
        this.#socket?.destroy();
        return;
      case 'bundle':
        credentials.trust(message.roots, message.federation);
        this.#send({ kind: 'trusts', sequence: message.sequence });
        return;
      case 'withheld':
        this.#notBeforeMs = Date.now() + WITHHELD_MS;
        this.#runtime.log(`the control plane gives this proxy no certificate: ${message.fault.message}`);
        return;
      case 'svid':
        if (!credentials.accept(message.chain)) {
          this.#runtime.log('the control plane sent a certificate for another key; it is not taken');
          return;
        }
        this.#token = undefined;
        this.#answerRenewals();
        this.#scheduleRenewal();
        this.#becomeReady();
        return;
      case 'command':
        this.#obey(message.id, message.command);
        return;
      case 'snapshot':
        if (!this.#accepted) this.#isWhole = true;
        this.#accepted = true;
        this.#backoff.reset();
        this.#apply(message);
        return;
    }
  }

  #obey(id: number, command: ProxyCommand): void {
    switch (command.kind) {
      case 'renew':
        this.#renewals.push(id);
        this.#requestCertificate();
        return;
      case 'tap':
        this.#runtime.tap.open(command.tap, command.filter, command.perSecond, command.forMs);
        return;
      case 'untap':
        this.#runtime.tap.close(command.tap);
        return;
      case 'cut':
      case 'try':
      case 'peers':
        this.#options.onCommand(command).then(
          (answer) => this.#send({ kind: 'result', id, answer }),
          (error: unknown) => this.#runtime.log(`\`${command.kind}\` failed: ${messageOf(error)}`),
        );
        return;
      default:
        // A kind of a later version is nothing that this proxy can do.
        return;
    }
  }

  #answerRenewals(): void {
    const { current } = this.#runtime.credentials;
    for (const id of this.#renewals) this.#send({ kind: 'result', id, answer: current === undefined ? {} : { serial: current.serial } });
    this.#renewals = [];
  }

  #apply({ snapshot }: Extract<ToProxy, { kind: 'snapshot' }>): void {
    try {
      // Built whole before the reference is swapped; on a fault the last good one stays.
      this.#runtime.tables = buildTables(snapshot);
    } catch (error) {
      const fault = Fault.from(error);
      this.#send({ kind: 'nack', version: snapshot.version, fault: fault.toRecord() });
      this.#runtime.log(`snapshot ${snapshot.version} is not taken: ${fault.message}`);
      return;
    }
    this.#send({ kind: 'ack', version: snapshot.version });
    this.#options.onTables();
    this.#scheduleRenewal();
    this.#becomeReady();
  }

  #becomeReady(): void {
    if (this.#ready || this.#runtime.tables === undefined || this.#runtime.credentials.current === undefined) return;
    this.#ready = true;
    this.#options.onReady();
  }

  #scheduleRenewal(): void {
    clearTimeout(this.#renewal);
    const current = this.#runtime.credentials.current;
    if (current === undefined || this.#stopped) return;
    // Looked at again at least every 10 s by the wall clock: a suspended machine does not sleep through it.
    const wait = Math.min(10_000, Math.max(MIN_RENEWAL_GAP_MS / 4, current.renewAtMs - Date.now()));
    this.#renewal = setTimeout(() => {
      const now = Date.now();
      if (now >= current.renewAtMs && now >= this.#notBeforeMs && now - this.#lastRequestMs >= MIN_RENEWAL_GAP_MS && this.#accepted)
        this.#requestCertificate();
      this.#scheduleRenewal();
    }, wait);
  }

  #requestCertificate(): void {
    this.#lastRequestMs = Date.now();
    this.#send({ kind: 'csr', request: this.#runtime.credentials.request().toString('base64') });
  }

  #sendMetrics(): void {
    if (!this.#accepted || this.#isClogged()) return;
    const { recorder } = this.#runtime;
    const loop = performance.eventLoopUtilization(this.#loop);
    this.#loop = performance.eventLoopUtilization();
    this.#send({
      kind: 'metrics',
      at: Date.now(),
      series: recorder.series(this.#isWhole),
      gauges: {
        inFlight: recorder.inFlight,
        openConnections: recorder.openConnections,
        eventLoopUtilization: Math.round(loop.utilization * 1000) / 1000,
        identityExpired: recorder.identityExpired,
        staleConnections: this.#options.staleConnections(),
        ...saturationOf(this.#runtime),
      },
    });
    this.#isWhole = false;
    const dropped = recorder.takeDropped();
    if (dropped > 0) this.#send({ kind: 'dropped', what: 'spans', count: dropped });
  }

  #sendSpans(): void {
    if (!this.#accepted || this.#isClogged()) return;
    if (this.#runtime.tap.isOpen) for (const taken of this.#runtime.tap.take()) this.#send({ kind: 'tap', ...taken });
    const spans = this.#runtime.recorder.takeSpans();
    for (let i = 0; i < spans.length; i += SPANS_PER_MESSAGE) this.#send({ kind: 'spans', spans: spans.slice(i, i + SPANS_PER_MESSAGE) });
  }

  #isClogged(): boolean {
    return (this.#socket?.writableLength ?? 0) > MAX_UNSENT_BYTES;
  }

  #send(message: FromProxy): void {
    this.#socket?.write(encodeFrame(message));
  }
}

/** How full what this proxy holds is: what its application waits for, and the process itself. */
function saturationOf({ clusters }: Runtime): Pick<Gauges, 'queued' | 'queueLimit' | 'circuit' | 'cpuMs' | 'memoryBytes'> {
  let [queued, queueLimit, circuit] = [0, 0, 0];
  for (const { upstream, pending, requests, connections } of clusters.all()) {
    const limits = upstream?.traffic.circuit;
    if (limits === undefined) continue;
    queued += pending;
    queueLimit += limits.maxPending;
    circuit = Math.max(circuit, requests / limits.maxRequests, connections / limits.maxConnections);
  }
  const { user, system } = process.cpuUsage();
  return {
    queued,
    queueLimit,
    circuit: Math.round(circuit * 1000) / 1000,
    cpuMs: Math.round((user + system) / 1000),
    memoryBytes: process.memoryUsage.rss(),
  };
}
