// One instance: a service process behind a proxy process, kept running.
//
//   starting ─► ready ─► stopping ─► stopped
//      ▲          │
//      └─ crashed ◄┘   back-off between restarts; the proxy keeps its ports, so the application's addresses stay true
//
// The ingress is an instance without a service process.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, statSync } from 'node:fs';
import { createConnection, createServer, type Socket } from 'node:net';
import { resolve } from 'node:path';
import { Backoff } from '../../base/backoff.ts';
import { codeOf, Fault } from '../../base/fault.ts';
import { encodeFrame, FrameDecoder } from '../../base/frames.ts';
import { sha256 } from '../../base/hash.ts';
import { Pending } from '../../base/pending.ts';
import { INGRESS } from '../../mesh/identity.ts';
import type { InstanceState } from '../../mesh/messages.ts';
import type { MeshSpec, ServiceSpec } from '../../mesh/spec.ts';
import type { Bootstrap, ProxyReport } from '../../proxy/bootstrap.ts';
import { endProcess, OWNER, recordOf, signal } from '../node/proc.ts';
import { programArguments } from '../node/programs.ts';
import type { Isolation, Space } from './isolation.ts';
import { openLog } from './logs.ts';
import type { ChildRecord, StateDir } from './state-dir.ts';
import type { WorkloadInstance } from './workload-main.ts';

const READY_POLL_MS = 50;
/** A service that ran this long starts its back-off anew when it ends. */
const STABLE_MS = 10_000;
const GRACE_MS = 5000;
const PROXY_GRACE_MS = 7000;
/** Callers have this long to hear that the instance goes before it does. */
const ANNOUNCE_MS = 150;
const MAX_TOKENS_KEPT = 4;
const PROBE_LIMIT_MS = 2000;

export interface InstanceContext {
  readonly state: StateDir;
  readonly socketPath: string;
  /** Directory of the mesh file. */
  readonly home: string;
  readonly spec: () => MeshSpec;
  /** A network and users of its own for each instance; undefined without `--isolate`. */
  readonly isolation: Isolation | undefined;
  /** Something that callers or `status` must know has changed; resolves when control has it. */
  readonly onChange: () => Promise<void>;
  readonly onChildren: () => void;
  /** Where the Workload API of an instance is. */
  readonly workloadSocket: (instance: string) => string;
  readonly say: (line: string) => void;
}

export class Instance {
  readonly name: string;
  readonly service: ServiceSpec | undefined;
  readonly #context: InstanceContext;
  readonly #backoff = new Backoff(300, 30_000);
  readonly #proxyBackoff = new Backoff(100, 5000);
  #state: InstanceState['state'] = 'starting';
  #restarts = 0;
  #lastExit: string | undefined;
  #proxy: ChildProcess | undefined;
  #proxySocket: Socket | undefined;
  #child: ChildProcess | undefined;
  #childStartedAt = 0;
  #appPorts = new Map<string, number>();
  #tokens: string[] = [];
  #ports: Extract<ProxyReport, { kind: 'listening' }> | undefined;
  #proxyReady = false;
  /** The proxy could not have its old ports again: the next start takes any. */
  #forgetPorts = false;
  /** The addresses that the running service was started with. */
  #givenPorts = '';
  #stopping = false;
  #readyTimer: NodeJS.Timeout | undefined;
  #restartTimer: NodeJS.Timeout | undefined;
  #fault: Fault | undefined;
  readonly #fixedIngressPort: number | undefined;
  #space: Space | undefined;
  readonly #probes = new Pending<boolean>();

  /** Without a service this is the ingress, on `ingressPort` (0: any). */
  constructor(context: InstanceContext, service: ServiceSpec | undefined, index: number, ingressPort: number | undefined) {
    this.#context = context;
    this.service = service;
    this.name = `${service?.name ?? INGRESS}-${index}`;
    this.#fixedIngressPort = ingressPort;
  }

  get isReady(): boolean {
    return this.#state === 'ready';
  }

  /** Why the instance can never run as it is declared (a port in use); undefined otherwise. */
  get fault(): Fault | undefined {
    return this.#fault;
  }

  get ingressPort(): number | undefined {
    return this.#ports?.ingress;
  }

  get lastExit(): string | undefined {
    return this.#lastExit;
  }

  snapshot(): InstanceState {
    return {
      service: this.service?.name ?? INGRESS,
      instance: this.name,
      state: this.#state,
      restarts: this.#restarts,
      pid: this.#child?.pid,
      proxyPid: this.#proxy?.pid,
      lastExit: this.#lastExit,
      ...(this.#space === undefined ? {} : { host: this.#space.host }),
      inbound: this.#ports?.inbound ?? {},
      tokenHashes: this.#tokens.map(sha256),
    };
  }

  children(): ChildRecord[] {
    const records: ChildRecord[] = [];
    if (this.#child?.pid !== undefined) records.push({ ...recordOf(this.#child.pid), what: `service ${this.name}`, group: true });
    if (this.#proxy?.pid !== undefined) records.push({ ...recordOf(this.#proxy.pid), what: `proxy ${this.name}`, group: false });
    return records;
  }

  /** For the Workload API; undefined for a service that does not ask for it. */
  get workload(): WorkloadInstance | undefined {
    const { service } = this;
    if (service?.workloadApi !== true || this.#stopping) return undefined;
    const socketPath = this.#context.workloadSocket(this.name);
    return { instance: this.name, service: service.name, socketPath, group: this.#child?.pid, uid: this.#space?.user };
  }

  /** The process group of the service, for its CPU and memory. */
  get group(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts the proxy; the service follows once the proxy listens and `mayStart` resolves. */
  async start(mayStart: Promise<void>): Promise<void> {
    for (const port of this.service?.ports ?? []) this.#appPorts.set(port.name, port.port !== 0 ? port.port : await freePort());
    if (this.#stopping) return;
    if (this.service !== undefined) this.#space = this.#context.isolation?.space(this.service.ports.length);
    await this.#startProxy();
    await mayStart;
    if (!this.#stopping) this.#startService();
  }

  /** A fresh join token for the live proxy: it has outlived its certificate. */
  async giveToken(): Promise<void> {
    const token = this.#makeToken();
    await this.#context.onChange();
    this.#proxySocket?.write(encodeFrame({ kind: 'token', token }));
  }

  /** Callers hear of it, answers in flight finish, then the service ends, then the proxy. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#readyTimer);
    clearTimeout(this.#restartTimer);
    const wasReady = this.#state === 'ready';
    this.#state = 'stopping';
    await this.#context.onChange();
    if (wasReady && this.service !== undefined) await new Promise((done) => setTimeout(done, ANNOUNCE_MS));
    const proxy = this.#proxy?.pid === undefined ? undefined : recordOf(this.#proxy.pid);
    const child = this.#child?.pid === undefined ? undefined : recordOf(this.#child.pid);
    if (proxy !== undefined) await endProcess(proxy, false, PROXY_GRACE_MS);
    if (child !== undefined) await endProcess(child, true, GRACE_MS);
    // What the service started and left behind goes with its group.
    if (child !== undefined) signal(child.pid, 'SIGKILL', true);
    this.#space?.remove();
    this.#state = 'stopped';
    this.#context.onChildren();
  }

  #makeToken(): string {
    const token = randomBytes(32).toString('hex');
    this.#tokens = [...this.#tokens.slice(1 - MAX_TOKENS_KEPT), token];
    return token;
  }

  async #startProxy(): Promise<void> {
    if (this.#stopping) return;
    const token = this.#makeToken();
    // Control must know the token before the proxy shows it.
    await this.#context.onChange();
    if (this.#stopping) return;
    const { service } = this;
    const spec = this.#context.spec();
    const log = openLog(this.#context.state, `${this.name}.proxy`);
    const prefix = this.#space?.asProxy ?? this.#context.isolation?.asProxy ?? [];
    const [program = '', ...args] = [...prefix, process.execPath, ...programArguments('proxy')];
    const child = spawn(program, args, {
      stdio: ['ignore', log, log, 'pipe'],
      env: { PATH: process.env['PATH'], [OWNER]: this.#context.state.root },
      detached: true,
    });
    closeSync(log);
    this.#proxy = child;
    this.#proxyReady = false;
    const startedAt = Date.now();
    const socket = child.stdio[3] as Socket;
    this.#proxySocket = socket;
    const known = this.#forgetPorts ? undefined : this.#ports;
    this.#forgetPorts = false;
    const bootstrap: Bootstrap = {
      kind: 'bootstrap',
      proxyId: this.name,
      service: service?.name ?? INGRESS,
      instance: this.name,
      controlSocket: this.#context.socketPath,
      token,
      inbound: (service?.ports ?? []).map((port, i) => ({
        portName: port.name,
        protocol: port.protocol,
        port: this.#space?.inboundPort(i) ?? known?.inbound[port.name] ?? 0,
        ...(this.#space === undefined ? {} : { host: '0.0.0.0' }),
        appPort: this.#appPorts.get(port.name) ?? 0,
      })),
      outbound: (service?.calls ?? []).map((callee) => ({
        service: callee,
        protocol: spec.services[callee]?.ports[0]?.protocol ?? 'http',
        port: known?.outbound[callee] ?? 0,
      })),
      plain: [
        service === undefined
          ? { kind: 'ingress', port: known?.ingress ?? this.#fixedIngressPort ?? 0 }
          : { kind: 'forward', port: known?.forward ?? 0 },
        ...(this.#space === undefined ? [] : [{ kind: 'capture' as const, port: this.#space.capturePort }]),
      ],
    };
    socket.on('error', () => undefined);
    // On record before it begins: a proxy whose supervisor dies first ends by itself.
    this.#context.onChildren();
    socket.write(encodeFrame(bootstrap));
    const listening = new Promise<void>((done) => {
      const decoder = new FrameDecoder();
      socket.on('data', (bytes: Buffer) => {
        for (const message of decoder.push(bytes)) {
          const report = message as ProxyReport;
          if (report.kind === 'listening') this.#ports = report;
          if (report.kind === 'ready') this.#onProxyReady();
          if (report.kind === 'probed') this.#probes.settle(report.id, report.ok);
          if (report.kind === 'failed') this.#onProxyFailed(Fault.fromRecord(report.fault));
          done();
        }
      });
      child.once('exit', () => done());
    });
    child.once('error', (error) => this.#context.say(`${this.name}: the proxy cannot start: ${error.message}`));
    child.once('exit', (code, name) => {
      if (this.#proxy !== child) return;
      this.#proxy = undefined;
      this.#proxyReady = false;
      this.#context.onChildren();
      if (this.#stopping || this.#fault !== undefined) return;
      this.#context.say(`${this.name}: the proxy ended (${exitText(code, name)}) and is started again`);
      if (this.#state === 'ready') this.#state = 'starting';
      void this.#context.onChange();
      if (Date.now() - startedAt > STABLE_MS) this.#proxyBackoff.reset();
      setTimeout(() => void this.#startProxy(), this.#proxyBackoff.next());
    });
    await listening;
  }

  #onProxyReady(): void {
    this.#proxyReady = true;
    if (this.service === undefined) return this.#becomeReady();
    const pid = this.#child?.pid;
    if (pid === undefined) return;
    // Its old ports were taken by somebody else: the service has to learn the new ones.
    if (this.#givenPorts !== this.#portsOfService()) signal(pid, 'SIGTERM', true);
    else this.#watchReady();
  }

  #onProxyFailed(fault: Fault): void {
    // A port of the user's choice that is taken does not become free by trying; one of ours is chosen anew.
    if (this.#fixedIngressPort !== undefined && this.#fixedIngressPort !== 0) this.#fault = fault;
    else this.#forgetPorts = true;
    this.#lastExit = fault.message;
    this.#state = 'crashed';
    this.#context.say(`${this.name}: ${fault.message}`);
    void this.#context.onChange();
  }

  #startService(): void {
    const { service } = this;
    if (service === undefined || this.#stopping) return;
    const [command = '', ...rest] = service.command.map((word) =>
      word.replace(/\{port(?::([a-z0-9-]+))?\}/g, (_, name: string | undefined) => String(this.#appPort(name))),
    );
    const log = openLog(this.#context.state, this.name);
    const cwd = resolve(this.#context.home, service.cwd);
    this.#childStartedAt = Date.now();
    this.#givenPorts = this.#portsOfService();
    // Checked here because Node reports a missing directory as a missing command.
    const isDirectory = statSync(cwd, { throwIfNoEntry: false })?.isDirectory() === true;
    if (!isDirectory) {
      closeSync(log);
      this.#onServiceEnd(`cannot start: the directory ${cwd} does not exist`, false);
      return;
    }
    const [program = '', ...args] = [...(this.#space?.asService ?? []), command, ...rest];
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, ...service.env, ...this.#environment(service) },
      stdio: ['ignore', log, log],
      detached: true,
    });
    closeSync(log);
    this.#child = child;
    child.once('error', (error) => {
      if (this.#child !== child) return;
      this.#child = undefined;
      this.#onServiceEnd(
        codeOf(error) === 'ENOENT' ? `cannot start: no command \`${command}\`` : `cannot start \`${command}\`: ${error.message}`,
        false,
      );
    });
    child.once('exit', (code, name) => {
      if (this.#child !== child) return;
      this.#child = undefined;
      this.#onServiceEnd(exitText(code, name), code === 0);
    });
    this.#context.onChildren();
    if (this.#proxyReady) this.#watchReady();
  }

  #onServiceEnd(text: string, clean: boolean): void {
    clearTimeout(this.#readyTimer);
    this.#lastExit = text;
    this.#context.onChildren();
    if (this.#stopping) return;
    const moved = this.#givenPorts !== this.#portsOfService();
    const restart = moved || this.service?.restart === 'always' || (this.service?.restart === 'on-failure' && !clean);
    this.#state = restart ? 'crashed' : 'stopped';
    if (Date.now() - this.#childStartedAt > STABLE_MS) this.#backoff.reset();
    const waitMs = this.#backoff.next();
    this.#context.say(
      `${this.name}: ${text.startsWith('cannot') ? text : `the service ended (${text})`}${restart ? `; tried again in ${(waitMs / 1000).toFixed(1)}s` : ''}; \`meshctl logs ${this.service?.name}\` shows its output`,
    );
    void this.#context.onChange();
    if (!restart) return;
    this.#restartTimer = setTimeout(() => {
      this.#restarts++;
      this.#state = 'starting';
      void this.#context.onChange();
      void this.#renewPorts().then(() => this.#startService());
    }, waitMs);
  }

  // A free port that somebody else took meanwhile would keep the service from ever starting.
  async #renewPorts(): Promise<void> {
    for (const port of this.service?.ports ?? []) {
      const number = this.#appPorts.get(port.name) ?? 0;
      if (port.port !== 0 || this.#space !== undefined || (await isFree(number))) continue;
      this.#appPorts.set(port.name, await freePort());
      const proxy = this.#proxy?.pid;
      if (proxy !== undefined) signal(proxy, 'SIGTERM', false);
    }
  }

  #watchReady(): void {
    clearTimeout(this.#readyTimer);
    const { service } = this;
    if (service === undefined || this.#stopping) return;
    const startedAt = Date.now();
    let told = false;
    const child = this.#child;
    const look = async (): Promise<void> => {
      const answered = await Promise.all(
        service.ports.map((port, i) =>
          this.#answers(this.#appPort(port.name), port.protocol === 'http' && i === 0 ? service.ready.path : undefined),
        ),
      );
      if (this.#child !== child || this.#stopping || !this.#proxyReady) return;
      if (answered.every(Boolean)) return this.#becomeReady();
      if (!told && Date.now() - startedAt > service.ready.timeoutMs) {
        told = true;
        this.#lastExit = `not ready within ${service.ready.timeoutMs / 1000}s: nothing answers on port ${[...this.#appPorts.values()].join(', ')} ($PORT)`;
        this.#context.say(`${this.name}: ${this.#lastExit}`);
        void this.#context.onChange();
      }
      this.#readyTimer = setTimeout(() => void look(), told ? READY_POLL_MS * 10 : READY_POLL_MS);
    };
    void look();
  }

  // In a network of its own only the proxy can ask it.
  async #answers(port: number, path: string | undefined): Promise<boolean> {
    if (this.#space === undefined) return path === undefined ? accepts(port) : answersHttp(port, path);
    const question = (id: number): void => {
      this.#proxySocket?.write(encodeFrame({ kind: 'probe', id, port, ...(path === undefined ? {} : { path }) }));
    };
    return (await this.#probes.ask(PROBE_LIMIT_MS, question)) === true;
  }

  #becomeReady(): void {
    if (this.#state === 'ready' || this.#stopping) return;
    this.#state = 'ready';
    this.#lastExit = undefined;
    void this.#context.onChange();
  }

  #portsOfService(): string {
    return JSON.stringify([this.#ports?.outbound, this.#ports?.forward]);
  }

  #appPort(name: string | undefined): number {
    return (name === undefined ? [...this.#appPorts.values()][0] : this.#appPorts.get(name)) ?? 0;
  }

  #environment(service: ServiceSpec): Record<string, string> {
    const spec = this.#context.spec();
    const environment: Record<string, string> = {
      PORT: String(this.#appPort(undefined)),
      MESHCTL_SERVICE: service.name,
      MESHCTL_INSTANCE: this.name,
      [OWNER]: this.#context.state.root,
    };
    if (service.workloadApi) environment['SPIFFE_ENDPOINT_SOCKET'] = `unix://${this.#context.workloadSocket(this.name)}`;
    for (const [name, port] of this.#appPorts) environment[`PORT_${variable(name)}`] = String(port);
    for (const callee of service.calls) {
      const port = this.#ports?.outbound[callee];
      if (port === undefined) continue;
      const prefix = variable(callee);
      if (spec.services[callee]?.ports[0]?.protocol === 'tcp') {
        environment[`${prefix}_HOST`] = '127.0.0.1';
        environment[`${prefix}_PORT`] = String(port);
      } else environment[`${prefix}_URL`] = `http://127.0.0.1:${port}`;
    }
    if (this.#ports?.forward !== undefined) {
      const forward = `http://127.0.0.1:${this.#ports.forward}`;
      const direct = 'localhost,127.0.0.1,::1';
      Object.assign(environment, { HTTP_PROXY: forward, http_proxy: forward, NO_PROXY: direct, no_proxy: direct, NODE_USE_ENV_PROXY: '1' });
    }
    return environment;
  }
}

function variable(name: string): string {
  return name.toUpperCase().replaceAll('-', '_');
}

function exitText(code: number | null, name: NodeJS.Signals | null): string {
  return name === null ? `exit ${code}` : `signal ${name}`;
}

function freePort(): Promise<number> {
  return new Promise((done, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host: '127.0.0.1', port: 0 }, () => {
      const address = server.address();
      server.close(() => done(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(false));
    server.listen({ host: '127.0.0.1', port }, () => server.close(() => done(true)));
  });
}

function accepts(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = createConnection({ host: '127.0.0.1', port });
    socket.setTimeout(1000);
    const finish = (result: boolean): void => {
      socket.destroy();
      done(result);
    };
    socket.once('connect', () => finish(true));
    socket.once('error', () => finish(false));
    socket.once('timeout', () => finish(false));
  });
}

async function answersHttp(port: number, path: string): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(1000), redirect: 'manual' });
    await response.arrayBuffer();
    return response.status < 400;
  } catch {
    return false;
  }
}
