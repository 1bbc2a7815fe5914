// The process that serves the SPIFFE Workload API: one unix socket an instance, for the processes of that instance and nobody else.
//
//   argv   socket of the control plane
//   fd 3   frames from the supervisor: which instances there are, and the process group of each
//
// Keys are made here, one for each instance that asks, and are never those of its proxy. Who asks is known by what the kernel noted of the
// connection: its process belongs to the instance's process group, or descends from it, and has its user.
import { X509Certificate } from 'node:crypto';
import { chmodSync, chownSync, rmSync } from 'node:fs';
import { createServer, type Server as NetServer, Socket } from 'node:net';
import { type ConnectionInjector, Metadata, Server, ServerCredentials, type ServerWritableStream, status } from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';
import { Fault, messageOf } from '../../base/fault.ts';
import { FrameDecoder } from '../../base/frames.ts';
import { makeSigningRequest } from '../../certs/csr.ts';
import { keyPair } from '../../certs/key.ts';
import { parsePem } from '../../certs/pem.ts';
import { renewalDueAt } from '../../certs/renewal.ts';
import { peerCredentials } from '../node/peer-credentials.ts';
import { belongsTo } from '../node/proc.ts';
import { AdminClient } from './admin-client.ts';
import { WORKLOAD_API } from './workload-proto.ts';

const SUPERVISOR_FD = 3;
const TICK_MS = 1000;
/** A process may ask before the supervisor has said that it was started. */
const ATTEST_WAIT_MS = 500;
const ATTEST_LOOK_MS = 50;
const KEEPALIVE_MS = 20_000;

export interface WorkloadInstance {
  readonly instance: string;
  readonly service: string;
  readonly socketPath: string;
  /** Of the running service; undefined while there is none. */
  readonly group: number | undefined;
  /** The service's own user; undefined when it is this process's. */
  readonly uid: number | undefined;
}

interface Svid {
  readonly spiffeId: string;
  readonly serial: string;
  readonly chain: Buffer;
  /** PKCS#8, DER. */
  readonly key: Buffer;
  readonly notAfterMs: number;
  readonly renewAtMs: number;
  readonly generation: number;
}

interface Trust {
  readonly sequence: number;
  readonly generation: number;
  /** By trust domain as a SPIFFE id: concatenated DER. */
  readonly bundles: Readonly<Record<string, Buffer>>;
  readonly own: string;
}

type Stream = ServerWritableStream<unknown, unknown>;

class Endpoint {
  readonly #api: WorkloadApi;
  #known: WorkloadInstance;
  readonly #listener: NetServer;
  readonly #granted: Server;
  readonly #refused: Server;
  readonly #sockets = new Set<Socket>();
  readonly #svidStreams = new Set<Stream>();
  readonly #bundleStreams = new Set<Stream>();
  #svid: Svid | undefined;
  #asking: Promise<Svid> | undefined;

  constructor(api: WorkloadApi, known: WorkloadInstance) {
    this.#api = api;
    this.#known = known;
    const service = fromJSON(WORKLOAD_API as never, { defaults: true })['SpiffeWorkloadAPI'] as never;
    const checked = (call: Stream, serve: () => void): void => {
      // So that no request that an attacker makes some other program send by accident is one (SPIFFE Workload Endpoint section 5).
      if (call.metadata.get('workload.spiffe.io')[0] !== 'true')
        fail(call, status.INVALID_ARGUMENT, 'the metadata `workload.spiffe.io: true` is missing');
      else serve();
    };
    this.#granted = new Server({ 'grpc.keepalive_time_ms': KEEPALIVE_MS });
    this.#granted.addService(service, {
      FetchX509SVID: (call: Stream) => checked(call, () => void this.#serveSvids(call)),
      FetchX509Bundles: (call: Stream) => checked(call, () => void this.#serveBundles(call)),
    });
    this.#refused = new Server();
    const refuse = (call: Stream): void =>
      checked(call, () => fail(call, status.PERMISSION_DENIED, 'no identity is issued to this process'));
    this.#refused.addService(service, { FetchX509SVID: refuse, FetchX509Bundles: refuse });
    const credentials = ServerCredentials.createInsecure();
    const granted = this.#granted.createConnectionInjector(credentials);
    const refused = this.#refused.createConnectionInjector(credentials);
    this.#listener = createServer((socket) => void this.#accept(socket, granted, refused));
    rmSync(known.socketPath, { force: true });
    this.#listener.listen(known.socketPath, () => {
      if (known.uid !== undefined) chownSync(known.socketPath, known.uid, known.uid);
      chmodSync(known.socketPath, 0o600);
    });
  }

  get name(): string {
    return this.#known.instance;
  }

  get svid(): Svid | undefined {
    return this.#svid;
  }

  update(known: WorkloadInstance): void {
    // Another process is another workload: what was given to the one before ends with it.
    if (known.group !== this.#known.group) {
      this.#svid = undefined;
      for (const socket of this.#sockets) socket.destroy();
    }
    this.#known = known;
  }

  /** A new certificate when it is time, or when whom to trust has changed; whoever listens gets it. */
  async tend(trust: Trust, before: Trust | undefined, isRevoked: (serial: string) => boolean, nowMs: number): Promise<void> {
    if (this.#svidStreams.size === 0 && this.#bundleStreams.size === 0) return;
    const svid = this.#svid;
    const isDue = svid !== undefined && (nowMs >= svid.renewAtMs || svid.generation !== trust.generation || isRevoked(svid.serial));
    const hasMoved = trust.sequence !== before?.sequence;
    if (hasMoved) for (const call of this.#bundleStreams) call.write({ bundles: trust.bundles });
    if (!isDue && !hasMoved) return;
    try {
      if (isDue) this.#svid = await this.#ask();
      for (const call of this.#svidStreams) this.#send(call, trust);
    } catch (error) {
      const fault = Fault.from(error);
      log(`${this.name}: no new certificate: ${fault.message}`);
      // A workload that may have none any more is told so; one that cannot get another now keeps what it has.
      if (fault.code === 'CERT_BLOCKED') {
        this.#svid = undefined;
        for (const call of this.#svidStreams) fail(call, status.PERMISSION_DENIED, fault.message);
      }
    }
  }

  close(): void {
    this.#listener.close();
    for (const socket of this.#sockets) socket.destroy();
    this.#granted.forceShutdown();
    this.#refused.forceShutdown();
    rmSync(this.#known.socketPath, { force: true });
  }

  async #accept(socket: Socket, granted: ConnectionInjector, refused: ConnectionInjector): Promise<void> {
    socket.on('error', () => undefined);
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    const isOurs = await this.#attest(socket);
    if (socket.destroyed) return;
    (isOurs ? granted : refused).injectConnection(socket);
  }

  async #attest(socket: Socket): Promise<boolean> {
    const peer = peerCredentials(socket);
    if (peer === undefined) return false;
    const uid = this.#known.uid ?? process.getuid?.();
    if (peer.uid !== uid) return false;
    const end = Date.now() + ATTEST_WAIT_MS;
    for (;;) {
      const { group } = this.#known;
      if (group !== undefined && belongsTo(peer.pid, group)) return true;
      if (Date.now() >= end) break;
      await new Promise((done) => setTimeout(done, ATTEST_LOOK_MS));
    }
    log(`${this.name}: process ${peer.pid} asked and does not belong to it`);
    return false;
  }

  async #serveSvids(call: Stream): Promise<void> {
    try {
      const trust = await this.#api.trust();
      if (this.#svid === undefined || this.#svid.notAfterMs <= Date.now()) this.#svid = await this.#ask();
      this.#keep(this.#svidStreams, call);
      this.#send(call, trust);
    } catch (error) {
      const fault = Fault.from(error);
      fail(call, fault.kind === 'denied' ? status.PERMISSION_DENIED : status.UNAVAILABLE, fault.message);
    }
  }

  async #serveBundles(call: Stream): Promise<void> {
    try {
      const trust = await this.#api.trust();
      this.#keep(this.#bundleStreams, call);
      call.write({ bundles: trust.bundles });
    } catch (error) {
      fail(call, status.UNAVAILABLE, messageOf(error));
    }
  }

  #keep(streams: Set<Stream>, call: Stream): void {
    streams.add(call);
    call.once('cancelled', () => streams.delete(call));
    call.once('close', () => streams.delete(call));
    call.on('error', () => streams.delete(call));
  }

  #send(call: Stream, { bundles, own }: Trust): void {
    const svid = this.#svid;
    if (svid === undefined) return;
    const federated = Object.fromEntries(Object.entries(bundles).filter(([id]) => id !== own));
    call.write({
      svids: [{ spiffeId: svid.spiffeId, x509Svid: svid.chain, x509SvidKey: svid.key, bundle: bundles[own] ?? Buffer.alloc(0) }],
      federatedBundles: federated,
    });
  }

  /** Several that ask at once get one certificate. */
  #ask(): Promise<Svid> {
    this.#asking ??= this.#api.issue(this.#known, this.#svid?.serial).finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }
}

class WorkloadApi {
  readonly #controlSocket: string;
  readonly #endpoints = new Map<string, Endpoint>();
  #control: AdminClient | undefined;
  #trust: Trust | undefined;

  constructor(controlSocket: string) {
    this.#controlSocket = controlSocket;
    this.#tick();
  }

  use(instances: readonly WorkloadInstance[]): void {
    const wanted = new Map(instances.map((each) => [each.instance, each]));
    for (const [name, endpoint] of this.#endpoints)
      if (!wanted.has(name)) {
        endpoint.close();
        this.#endpoints.delete(name);
      }
    for (const [name, known] of wanted) {
      const endpoint = this.#endpoints.get(name);
      if (endpoint === undefined) this.#endpoints.set(name, new Endpoint(this, known));
      else endpoint.update(known);
    }
  }

  close(): void {
    for (const endpoint of this.#endpoints.values()) endpoint.close();
  }

  async trust(): Promise<Trust> {
    this.#trust ??= await this.#readTrust();
    return this.#trust;
  }

  async issue({ service, instance }: WorkloadInstance, replaces: string | undefined): Promise<Svid> {
    const { privateKey, publicKey } = keyPair();
    const control = await this.#connected();
    const { revoked } = await control.request('certs.pulse', { serials: replaces === undefined ? [] : [replaces] });
    const files = await control.request('certs.issue', {
      name: service,
      instance,
      request: makeSigningRequest(privateKey, publicKey).toString('base64'),
      ...(replaces === undefined || revoked.length > 0 ? {} : { replaces }),
    });
    const notAfterMs = Date.parse(files.notAfter);
    return {
      spiffeId: files.spiffeId ?? '',
      serial: files.serial,
      chain: Buffer.concat(parsePem(files.chain).map(({ der }) => der)),
      key: privateKey.export({ type: 'pkcs8', format: 'der' }),
      notAfterMs,
      renewAtMs: renewalDueAt(Date.parse(files.issuedAt), notAfterMs, Math.random()),
      generation: files.generation,
    };
  }

  // By the wall clock, once a second: a machine that slept is not late.
  #tick(): void {
    setTimeout(() => {
      this.#tend()
        .catch((error: unknown) => log(`the control plane is not asked: ${messageOf(error)}`))
        .finally(() => this.#tick());
    }, TICK_MS);
  }

  async #tend(): Promise<void> {
    if (this.#endpoints.size === 0) return;
    const serials = [...this.#endpoints.values()].flatMap(({ svid }) => svid?.serial ?? []);
    const pulse = await (await this.#connected()).request('certs.pulse', { serials });
    const before = this.#trust;
    const isSame = before?.sequence === pulse.sequence && before.generation === pulse.generation;
    const trust = isSame ? before : await this.#readTrust();
    this.#trust = trust;
    const revoked = new Set(pulse.revoked);
    await Promise.all(
      [...this.#endpoints.values()].map((endpoint) => endpoint.tend(trust, before, (serial) => revoked.has(serial), Date.now())),
    );
  }

  async #readTrust(): Promise<Trust> {
    const control = await this.#connected();
    const bundle = await control.request('certs.bundle', null);
    const { generation } = await control.request('certs.pulse', { serials: [] });
    const own = `spiffe://${bundle.trustDomain}`;
    const der = (pem: string): Buffer => Buffer.concat(parsePem(pem).map((block) => new X509Certificate(block.der).raw));
    const federated = bundle.federation.map(({ trustDomain, roots }) => [`spiffe://${trustDomain}`, der(roots.join('\n'))]);
    return { sequence: bundle.sequence, generation, own, bundles: { ...Object.fromEntries(federated), [own]: der(bundle.roots) } };
  }

  async #connected(): Promise<AdminClient> {
    if (this.#control !== undefined) return this.#control;
    const control = await AdminClient.open(this.#controlSocket, 'cli');
    control.onClose = () => {
      if (this.#control === control) this.#control = undefined;
    };
    this.#control = control;
    return control;
  }
}

function fail(call: Stream, code: number, details: string): void {
  call.emit('error', { code, details, metadata: new Metadata() });
}

function log(line: string): void {
  process.stdout.write(`${new Date().toISOString()} ${line}\n`);
}

const [controlSocket = ''] = process.argv.slice(2);
const api = new WorkloadApi(controlSocket);
const supervisor = new Socket({ fd: SUPERVISOR_FD });
const decoder = new FrameDecoder();
supervisor.on('data', (bytes: Buffer) => {
  for (const message of decoder.push(bytes)) api.use((message as { instances: WorkloadInstance[] }).instances);
});
supervisor.on('error', () => undefined);
// Without the supervisor nobody says whose process is whose: what is connected goes on, and the next `up` starts another.
process.on('SIGTERM', () => {
  api.close();
  process.exit(0);
});
process.on('SIGINT', () => undefined);
process.on('SIGHUP', () => undefined);
