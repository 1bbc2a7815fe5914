// A mesh for tests: a real control plane process, real proxies (in this process, on real sockets), and whatever application the test brings.
// The test plays the supervisor, so it decides where instances are and can put something in between.
import { type ChildProcess, spawn } from 'node:child_process';
import { createPrivateKey, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sha256 } from '../../src/base/hash.ts';
import type { InstanceState } from '../../src/mesh/messages.ts';
import { type MeshSpec, parseMeshFile } from '../../src/mesh/spec.ts';
import { AdminClient } from '../../src/platform/local/admin-client.ts';
import { AuthorityFiles } from '../../src/platform/local/authority-files.ts';
import { makeStateDir, type StateDir, stateDirAt } from '../../src/platform/local/state-dir.ts';
import { programArguments } from '../../src/platform/node/programs.ts';
import type { Bootstrap, ProxyReport } from '../../src/proxy/bootstrap.ts';
import { type RunningProxy, startProxy } from '../../src/proxy/start.ts';
import { type TestAuthority, testAuthorityOf } from './ca.ts';

export interface TestProxy {
  readonly name: string;
  readonly running: RunningProxy;
  readonly ports: Extract<ProxyReport, { kind: 'listening' }>;
  readonly log: string[];
}

interface Member {
  state: InstanceState;
}

export class TestMesh implements AsyncDisposable {
  readonly state: StateDir;
  readonly spec: MeshSpec;
  readonly socketPath: string;
  #control: ChildProcess | undefined;
  client!: AdminClient;
  readonly #members = new Map<string, Member>();
  readonly #proxies: TestProxy[] = [];
  readonly #policy: string;
  readonly #startedAtMs = Date.now();

  private constructor(meshText: string, policy: string) {
    const { spec, findings } = parseMeshFile(
      'mesh.yaml',
      `apiVersion: meshctl.dev/v1\nkind: Mesh\nname: test\ntrustDomain: test.mesh\n${meshText}`,
    );
    if (spec === undefined) throw new Error(JSON.stringify(findings));
    this.spec = spec;
    this.#policy = policy;
    this.state = stateDirAt(mkdtempSync(join(tmpdir(), 'mctl-')));
    this.socketPath = join(this.state.root, 'ctl.sock');
    makeStateDir(this.state);
  }

  /** `services` in the short form of the mesh file; `policy` without its two first lines. */
  static async start(meshText: string, policy: string): Promise<TestMesh> {
    const mesh = new TestMesh(meshText, `apiVersion: meshctl.dev/v1\nkind: Policy\n${policy}`);
    await mesh.startControl();
    return mesh;
  }

  async startControl(): Promise<void> {
    const child = spawn(process.execPath, [...programArguments('control'), this.state.root, this.socketPath, this.spec.trustDomain], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    this.#control = child;
    for (;;) {
      try {
        this.client = await AdminClient.open(this.socketPath, 'supervisor');
        break;
      } catch (error) {
        if (child.exitCode !== null) throw error;
        await new Promise((done) => setTimeout(done, 10));
      }
    }
    this.client.onRequest = (method, params) => this.#answer(method, params as { instance: string });
    await this.client.request('mesh.set', {
      spec: this.spec,
      meshFile: 'mesh.yaml',
      supervisorPid: process.pid,
      startedAtMs: this.#startedAtMs,
      policyFiles: [{ file: 'policy.yaml', text: this.#policy }],
      resetPolicy: false,
      instances: this.#instances(),
    });
  }

  async killControl(): Promise<void> {
    const child = this.#control;
    if (child === undefined) return;
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  }

  /** A proxy of the service with a certificate and a snapshot. `appPort` is where its application listens. */
  async addProxy(service: string, options: { appPort?: number; ingress?: boolean; index?: number } = {}): Promise<TestProxy> {
    const name = `${service}-${options.index ?? 0}`;
    const token = randomBytes(16).toString('hex');
    this.#members.set(name, {
      state: {
        service,
        instance: name,
        state: 'starting',
        restarts: 0,
        pid: undefined,
        proxyPid: process.pid,
        lastExit: undefined,
        inbound: {},
        tokenHashes: [sha256(token)],
      },
    });
    await this.#tell();
    const spec = this.spec.services[service];
    const bootstrap: Bootstrap = {
      kind: 'bootstrap',
      proxyId: name,
      service,
      instance: name,
      controlSocket: this.socketPath,
      token,
      inbound: options.ingress
        ? []
        : (spec?.ports ?? []).map((port) => ({ portName: port.name, protocol: port.protocol, port: 0, appPort: options.appPort ?? 1 })),
      outbound: (spec?.calls ?? []).map((callee) => ({
        service: callee,
        protocol: this.spec.services[callee]?.ports[0]?.protocol ?? 'http',
        port: 0,
      })),
      plain: [{ kind: options.ingress ? 'ingress' : 'forward', port: 0 }],
    };
    const log: string[] = [];
    let ports: Extract<ProxyReport, { kind: 'listening' }> | undefined;
    let ready: () => void = () => undefined;
    const isReady = new Promise<void>((done) => {
      ready = done;
    });
    const running = await startProxy(
      bootstrap,
      (report) => {
        if (report.kind === 'listening') ports = report;
        if (report.kind === 'ready') ready();
      },
      (line) => log.push(line),
    );
    if (ports === undefined) throw new Error('the proxy did not report its ports');
    const proxy: TestProxy = { name, running, ports, log };
    this.#proxies.push(proxy);
    await isReady;
    await this.place(name, ports.inbound);
    return proxy;
  }

  /** Announces an instance as ready at these inbound ports (its own, or something in between), and waits until every proxy knows. */
  async place(name: string, inbound: Record<string, number>): Promise<void> {
    const member = this.#members.get(name);
    if (member === undefined) throw new Error(`no instance ${name}`);
    member.state = { ...member.state, state: 'ready', inbound };
    await this.#tell();
    await this.settled();
  }

  async remove(name: string): Promise<void> {
    this.#members.delete(name);
    await this.#tell();
  }

  /** Resolves when every proxy has the newest snapshot. */
  async settled(): Promise<void> {
    for (;;) {
      const { proxies } = await this.client.request('proxy.status', null);
      if (proxies.every((proxy) => proxy.inSync)) return;
      await new Promise((done) => setTimeout(done, 5));
    }
  }

  async applyPolicy(policy: string): Promise<void> {
    await this.client.request('policy.apply', {
      files: [{ file: 'policy.yaml', text: `apiVersion: meshctl.dev/v1\nkind: Policy\n${policy}` }],
      user: 'test',
      message: '',
    });
    await this.settled();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#proxies.map((proxy) => proxy.running.stop()));
    this.client.close();
    await this.killControl();
    rmSync(this.state.root, { recursive: true, force: true });
  }

  // What the supervisor does for a live proxy that has outlived its certificate.
  async #answer(method: string, { instance }: { instance: string }): Promise<unknown> {
    const member = this.#members.get(instance);
    const proxy = this.#proxies.find((each) => each.name === instance);
    if (method !== 'token' || member === undefined || proxy === undefined) return null;
    const token = randomBytes(16).toString('hex');
    member.state = { ...member.state, tokenHashes: [sha256(token)] };
    await this.#tell();
    proxy.running.rejoin(token);
    return null;
  }

  #instances(): InstanceState[] {
    return [...this.#members.values()].map((member) => member.state);
  }

  async #tell(): Promise<void> {
    await this.client.request('instances.set', { instances: this.#instances() });
  }
}

/** The mesh's own authority, to make certificates that its proxies never asked for. */
export function authorityOf(mesh: TestMesh): TestAuthority {
  const files = new AuthorityFiles(mesh.state.ca);
  const state = files.load();
  const keys = new Map(
    state.certificates.flatMap(({ name }) => {
      const pem = files.readKey(name);
      return pem === undefined ? [] : [[name, createPrivateKey(pem)] as const];
    }),
  );
  return testAuthorityOf({ state, keys });
}

export interface App extends AsyncDisposable {
  readonly port: number;
  /** Requests that arrived, in order. */
  readonly seen: { readonly method: string; readonly url: string; readonly headers: IncomingMessage['headers'] }[];
}

/** A real HTTP application on a free port. Requests are recorded before `handle` sees them. */
export async function startApp(
  handle: (request: IncomingMessage, response: ServerResponse) => void = (_request, response) => void response.end('ok'),
): Promise<App> {
  const seen: App['seen'] = [];
  const server = createHttpServer((request, response) => {
    seen.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers });
    handle(request, response);
  });
  const port = await listen(server);
  return {
    port,
    seen,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

export function listen(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** One HTTP/1.1 request on a connection of its own unless an agent is given. */
export function call(
  port: number,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string; agent?: import('node:http').Agent } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { host: '127.0.0.1', port, path, method: options.method ?? 'GET', headers: options.headers ?? {}, agent: options.agent ?? false },
      (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts).toString() }),
        );
        response.on('error', reject);
      },
    );
    request.on('error', reject);
    request.end(options.body);
  });
}

export interface Relay extends AsyncDisposable {
  readonly port: number;
  readonly toServer: Buffer[];
  readonly toClient: Buffer[];
  /** Connections that came so far. */
  connections(): number;
}

/** Passes bytes to `target` and keeps a copy of each direction. */
export async function startRelay(target: number): Promise<Relay> {
  const { connect } = await import('node:net');
  const toServer: Buffer[] = [];
  const toClient: Buffer[] = [];
  const sockets = new Set<Socket>();
  let count = 0;
  const server = createServer({ allowHalfOpen: true }, (client) => {
    count++;
    const upstream = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
    }
    client.on('error', () => upstream.resetAndDestroy());
    upstream.on('error', () => client.resetAndDestroy());
    client.on('data', (bytes: Buffer) => toServer.push(bytes));
    upstream.on('data', (bytes: Buffer) => toClient.push(bytes));
    client.pipe(upstream);
    upstream.pipe(client);
  });
  const port = await listen(server);
  return {
    port,
    toServer,
    toClient,
    connections: () => count,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}
