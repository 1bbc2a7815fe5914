// The supervisor: owns control and all instances, keeps them running, tells control what there is, applies a changed mesh file.
// Traffic depends on neither: when control dies it is started again, when the supervisor dies everything else goes on.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, readFileSync, rmSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { Backoff } from '../../base/backoff.ts';
import { Fault, messageOf } from '../../base/fault.ts';
import { INGRESS } from '../../mesh/identity.ts';
import type { ResourceSample } from '../../mesh/messages.ts';
import type { MeshSpec, ServiceSpec } from '../../mesh/spec.ts';
import type { PolicyText } from '../../policy/document.ts';
import { endProcess, limitsOf, OWNER, recordOf, usageOfGroups } from '../node/proc.ts';
import { programArguments } from '../node/programs.ts';
import { AdminClient } from './admin-client.ts';
import { Instance, type InstanceContext } from './instance.ts';
import { Isolation } from './isolation.ts';
import { openLog, rotateLogs } from './logs.ts';
import {
  chooseSocketPath,
  endLeftovers,
  makeStateDir,
  register,
  type StateDir,
  takeLock,
  writeChildren,
  writeSupervisor,
} from './state-dir.ts';
import { WorkloadServer } from './workload-api.ts';

const RESOURCES_EVERY_MS = 1000;
const ROTATE_EVERY_MS = 5000;
const CONTROL_GRACE_MS = 3000;
const LEFTOVER_GRACE_MS = 3000;
/** How long an instance waits for what it calls before it starts all the same. */
const DEPENDENCY_WAIT_MS = 5000;

export interface SupervisorOptions {
  readonly state: StateDir;
  readonly meshFile: string;
  readonly spec: MeshSpec;
  readonly demo: boolean;
  readonly resetPolicy: boolean;
  readonly isolate?: boolean;
  readonly say: (line: string) => void;
}

/** The policy files of a mesh file, read; names are relative to its directory. Throws POLICY_FILE for one that cannot be read. */
export function readPolicyFiles(meshFile: string, spec: MeshSpec): PolicyText[] {
  return spec.policy.map((name) => {
    const path = resolve(dirname(meshFile), name);
    try {
      return { file: relative(dirname(meshFile), path), text: readFileSync(path, 'utf8') };
    } catch (cause) {
      throw new Fault('POLICY_FILE', 'usage', `the policy file ${path} cannot be read: ${messageOf(cause)}`, {
        cause,
        hint: `it is named under \`policy:\` in ${meshFile}`,
      });
    }
  });
}

export class Supervisor {
  readonly #options: SupervisorOptions;
  #spec: MeshSpec;
  /** As they were when the mesh file was taken: a file that changes or goes meanwhile changes nothing. */
  #policyFiles: readonly PolicyText[];
  #instances: Instance[] = [];
  readonly #socketPath: string;
  readonly #isolation: Isolation | undefined;
  readonly #unlock: () => void;
  readonly #unregister: () => void;
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #startedAtMs = Date.now();
  readonly #controlBackoff = new Backoff(100, 5000);
  #control: ChildProcess | undefined;
  #client: AdminClient | undefined;
  #stopping = false;
  #resetPolicy: boolean;
  #extras: ChildProcess[] = [];
  readonly #workload: WorkloadServer;
  #changed: () => void = () => undefined;

  private constructor(
    options: SupervisorOptions,
    policyFiles: readonly PolicyText[],
    unlock: () => void,
    isolation: Isolation | undefined,
  ) {
    this.#options = options;
    this.#spec = options.spec;
    this.#policyFiles = policyFiles;
    this.#unlock = unlock;
    this.#resetPolicy = options.resetPolicy;
    this.#isolation = isolation;
    this.#socketPath = isolation?.socketPath ?? chooseSocketPath(options.state);
    this.#workload = new WorkloadServer(options.state, this.#socketPath, isolation?.sharedDirectory, () => this.#recordChildren());
    this.#unregister = register(options.state, options.spec.name, options.demo);
  }

  /** Takes the state directory, ends what an earlier run left, and starts everything. Throws STATE_LOCKED, POLICY_FILE. */
  static async start(options: SupervisorOptions): Promise<Supervisor> {
    makeStateDir(options.state);
    const policyFiles = readPolicyFiles(options.meshFile, options.spec);
    const unlock = takeLock(options.state);
    await endLeftovers(options.state, LEFTOVER_GRACE_MS);
    if (options.isolate !== true) Isolation.forget(options.state);
    const isolation = options.isolate === true ? isolate(options.state, unlock) : undefined;
    const supervisor = new Supervisor(options, policyFiles, unlock, isolation);
    supervisor.#record();
    await supervisor.#startControl();
    await supervisor.#startInstances();
    supervisor.#timers.push(
      setInterval(() => supervisor.#sample(), RESOURCES_EVERY_MS),
      setInterval(() => rotateLogs(options.state), ROTATE_EVERY_MS),
    );
    return supervisor;
  }

  get ingressUrl(): string | undefined {
    const port = this.#instances.find((instance) => instance.service === undefined)?.ingressPort;
    return port === undefined ? undefined : `http://127.0.0.1:${port}`;
  }

  get socketPath(): string {
    return this.#socketPath;
  }

  /** Keeps a process of the demo (its load) among the children that are ended and recorded. */
  adopt(child: ChildProcess): void {
    this.#extras.push(child);
    child.once('exit', () => {
      this.#extras = this.#extras.filter((each) => each !== child);
      this.#recordChildren();
    });
    this.#recordChildren();
  }

  /** Resolves when every instance is ready and every proxy knows it. Throws what keeps one from ever being, or NOT_READY naming those that are not. */
  async whenReady(timeoutMs: number): Promise<void> {
    const end = Date.now() + timeoutMs;
    for (;;) {
      const fault = this.#instances.find((instance) => instance.fault !== undefined)?.fault;
      if (fault !== undefined) throw fault;
      const missing = this.#instances.filter((instance) => !instance.isReady);
      if (missing.length === 0) return this.#whenInSync(end);
      const left = end - Date.now();
      if (left <= 0 || this.#stopping) {
        const why = missing
          .map((instance) => `${instance.name}${instance.lastExit === undefined ? '' : ` (${instance.lastExit})`}`)
          .join(', ');
        throw new Fault('NOT_READY', 'unavailable', `not ready within ${timeoutMs / 1000}s: ${why}`, {
          hint: '`meshctl status` and `meshctl logs SERVICE` tell more',
        });
      }
      await new Promise<void>((done) => {
        const timer = setTimeout(done, left);
        this.#changed = () => {
          clearTimeout(timer);
          done();
        };
      });
    }
  }

  // An instance that is ready but not yet known to its callers would cost the first requests.
  async #whenInSync(endMs: number): Promise<void> {
    while (!this.#stopping && Date.now() < endMs) {
      const status = await this.#client?.request('proxy.status', null).catch(() => undefined);
      if (status?.proxies.every((proxy) => proxy.inSync)) return;
      await new Promise((done) => setTimeout(done, 10));
    }
  }

  /** Applies another version of the same mesh file; gives one line for each change. */
  async apply(spec: MeshSpec, resetPolicy: boolean): Promise<string[]> {
    if (spec.trustDomain !== this.#spec.trustDomain || spec.name !== this.#spec.name || spec.namespace !== this.#spec.namespace) {
      throw new Fault('MESH_IDENTITY', 'conflict', 'the name, the namespace and the trust domain of a running mesh cannot change', {
        hint: '`meshctl down` first',
      });
    }
    const policyFiles = readPolicyFiles(this.#options.meshFile, spec);
    const before = this.#spec;
    const changes: string[] = [];
    this.#resetPolicy = resetPolicy;
    this.#spec = spec;
    if (JSON.stringify(policyFiles) !== JSON.stringify(this.#policyFiles)) changes.push('policy files changed');
    this.#policyFiles = policyFiles;
    const gone: Instance[] = [];
    const fresh: Instance[] = [];
    for (const name of Object.keys(before.services)) {
      if (spec.services[name] !== undefined) continue;
      changes.push(`service/${name} removed`);
      gone.push(...this.#of(name));
    }
    for (const service of Object.values(spec.services)) {
      const old = before.services[service.name];
      const difference = old === undefined ? undefined : differenceOf(old, service, before, spec);
      if (old === undefined || difference !== undefined) {
        changes.push(old === undefined ? `service/${service.name} added` : `service/${service.name} restarted (${difference} changed)`);
        gone.push(...this.#of(service.name));
        fresh.push(...this.#make(service, 0, service.instances));
      } else if (old.instances !== service.instances) {
        changes.push(`service/${service.name} scaled from ${old.instances} to ${service.instances}`);
        gone.push(...this.#of(service.name).slice(service.instances));
        fresh.push(...this.#make(service, old.instances, service.instances));
      }
    }
    if (before.ingress?.port !== spec.ingress?.port) {
      changes.push('ingress restarted (port changed)');
      gone.push(...this.#of(INGRESS));
      if (spec.ingress !== undefined) fresh.push(this.#makeIngress(spec.ingress.port));
    }
    const settings = settingsChanges(before, spec);
    changes.push(...settings);
    await Promise.all(gone.map((instance) => instance.stop()));
    this.#instances = this.#instances.filter((instance) => !gone.includes(instance));
    this.#instances.push(...fresh);
    await this.#tellMesh();
    for (const instance of fresh) void this.#startInstance(instance);
    return changes;
  }

  /** Ends everything that it started, control last, and gives the state directory free. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    for (const timer of this.#timers) clearInterval(timer);
    this.#changed();
    await Promise.all(
      this.#extras.map((child) => (child.pid === undefined ? undefined : endProcess(recordOf(child.pid), false, CONTROL_GRACE_MS))),
    );
    await Promise.all(this.#of(INGRESS).map((instance) => instance.stop()));
    await Promise.all(this.#instances.filter((instance) => instance.service !== undefined).map((instance) => instance.stop()));
    await this.#workload.stop();
    this.#client?.close();
    if (this.#control?.pid !== undefined) await endProcess(recordOf(this.#control.pid), false, CONTROL_GRACE_MS);
    rmSync(this.#options.state.run, { recursive: true, force: true });
    rmSync(this.#socketPath, { force: true });
    if (dirname(this.#socketPath) !== this.#options.state.root) rmSync(dirname(this.#socketPath), { recursive: true, force: true });
    this.#isolation?.remove();
    this.#unregister();
    this.#unlock();
  }

  #of(service: string): Instance[] {
    return this.#instances.filter((instance) => (instance.service?.name ?? INGRESS) === service);
  }

  #context(): InstanceContext {
    return {
      state: this.#options.state,
      socketPath: this.#socketPath,
      home: dirname(this.#options.meshFile),
      spec: () => this.#spec,
      isolation: this.#isolation,
      onChange: () => this.#tellInstances(),
      onChildren: () => {
        this.#recordChildren();
        this.#tellWorkloads();
      },
      workloadSocket: (instance) => this.#workload.socketPath(instance),
      say: this.#options.say,
    };
  }

  #tellWorkloads(): void {
    if (!this.#stopping) this.#workload.use(this.#instances.flatMap((instance) => instance.workload ?? []));
  }

  #make(service: ServiceSpec, from: number, to: number): Instance[] {
    return Array.from({ length: Math.max(0, to - from) }, (_, i) => new Instance(this.#context(), service, from + i, undefined));
  }

  #makeIngress(port: number): Instance {
    return new Instance(this.#context(), undefined, 0, port);
  }

  async #startInstances(): Promise<void> {
    if (this.#spec.ingress !== undefined) this.#instances.push(this.#makeIngress(this.#spec.ingress.port));
    for (const service of Object.values(this.#spec.services)) this.#instances.push(...this.#make(service, 0, service.instances));
    await this.#tellMesh();
    for (const instance of this.#instances) void this.#startInstance(instance);
  }

  async #startInstance(instance: Instance): Promise<void> {
    try {
      await instance.start(this.#whenCalleesReady(instance));
    } catch (error) {
      this.#options.say(`${instance.name}: ${messageOf(error)}`);
    }
  }

  // In a circle of calls somebody has to begin: a service that calls back is not waited for.
  async #whenCalleesReady(instance: Instance): Promise<void> {
    const own = instance.service?.name ?? '';
    const callees = (instance.service?.calls ?? []).filter((callee) => !this.#reaches(callee, own, new Set()));
    const end = Date.now() + DEPENDENCY_WAIT_MS;
    while (!this.#stopping && Date.now() < end && !callees.every((callee) => this.#of(callee).some((each) => each.isReady)))
      await new Promise((done) => setTimeout(done, 20));
  }

  #reaches(from: string, to: string, seen: Set<string>): boolean {
    if (from === to) return true;
    if (seen.has(from)) return false;
    seen.add(from);
    return (this.#spec.services[from]?.calls ?? []).some((next) => this.#reaches(next, to, seen));
  }

  async #startControl(): Promise<void> {
    const log = openLog(this.#options.state, 'control');
    const child = spawn(
      process.execPath,
      [
        ...programArguments('control'),
        this.#options.state.root,
        this.#socketPath,
        this.#spec.trustDomain,
        ...(this.#isolation === undefined ? [] : [String(this.#isolation.socketGroup)]),
      ],
      { stdio: ['ignore', log, log], detached: true, env: { ...process.env, [OWNER]: this.#options.state.root } },
    );
    closeSync(log);
    this.#control = child;
    this.#recordChildren();
    const startedAt = Date.now();
    child.once('exit', (code, name) => {
      if (this.#stopping || this.#control !== child) return;
      this.#control = undefined;
      this.#options.say(`the control plane ended (${name ?? `exit ${code}`}) and is started again; traffic goes on`);
      if (Date.now() - startedAt > 10_000) this.#controlBackoff.reset();
      setTimeout(() => {
        this.#startControl().catch((error: unknown) => this.#options.say(`the control plane cannot start: ${messageOf(error)}`));
      }, this.#controlBackoff.next());
    });
    this.#client = await this.#connect(child);
    const client = this.#client;
    client.onRequest = (method, params) => this.#answer(method, params);
    client.onClose = () => {
      if (this.#client === client) this.#client = undefined;
    };
    if (this.#instances.length > 0) await this.#tellMesh();
  }

  async #connect(child: ChildProcess): Promise<AdminClient> {
    for (;;) {
      try {
        return await AdminClient.open(this.#socketPath, 'supervisor');
      } catch (error) {
        if (child.exitCode !== null || child.signalCode !== null) {
          const lines = readFileSync(`${this.#options.state.logs}/control.log`, 'utf8').trim().split('\n');
          const why = lines.findLast((line) => /Fault|Error/.test(line)) ?? lines.at(-1) ?? messageOf(error);
          throw new Fault('CONTROL_START', 'unavailable', `the control plane ended at its start: ${why.trim()}`, {
            cause: error,
            hint: `the whole of it is in ${this.#options.state.logs}/control.log`,
          });
        }
        await new Promise((done) => setTimeout(done, 20));
      }
    }
  }

  async #answer(method: string, params: unknown): Promise<unknown> {
    if (method === 'token') {
      const { instance } = params as { instance: string };
      await this.#instances.find((each) => each.name === instance)?.giveToken();
      return null;
    }
    if (method === 'apply') {
      const { spec, meshFile, resetPolicy } = params as { spec: MeshSpec; meshFile: string; resetPolicy: boolean };
      if (meshFile !== this.#options.meshFile) {
        throw new Fault(
          'STATE_LOCKED',
          'conflict',
          `this state directory belongs to the mesh of ${this.#options.meshFile} (pid ${process.pid})`,
          { hint: '`meshctl down` stops it, or choose another directory with --state' },
        );
      }
      return { changes: await this.apply(spec, resetPolicy), ingressUrl: this.ingressUrl, pid: process.pid };
    }
    throw new Fault('METHOD_UNKNOWN', 'usage', `the supervisor knows no method \`${method}\``);
  }

  async #tellMesh(): Promise<void> {
    this.#record();
    const { ingressUrl } = this;
    await this.#client?.request('mesh.set', {
      spec: this.#spec,
      meshFile: this.#options.meshFile,
      isolated: this.#isolation !== undefined,
      ...(ingressUrl === undefined ? {} : { ingressUrl }),
      supervisorPid: process.pid,
      startedAtMs: this.#startedAtMs,
      policyFiles: [...this.#policyFiles],
      resetPolicy: this.#resetPolicy,
      instances: this.#instances.map((instance) => instance.snapshot()),
    });
    this.#resetPolicy = false;
    this.#toldIngressUrl = ingressUrl;
  }

  #toldIngressUrl: string | undefined;

  async #tellInstances(): Promise<void> {
    this.#changed();
    try {
      if (this.ingressUrl !== this.#toldIngressUrl) await this.#tellMesh();
      else await this.#client?.request('instances.set', { instances: this.#instances.map((instance) => instance.snapshot()) });
    } catch (error) {
      // Control is on its way down or up: it gets the whole state when it is back.
      if (!(error instanceof Fault) || error.kind !== 'unavailable')
        this.#options.say(`control does not take the state of the mesh: ${messageOf(error)}`);
    }
  }

  #sample(): void {
    const groups = new Map<number, Instance>();
    for (const instance of this.#instances) if (instance.group !== undefined) groups.set(instance.group, instance);
    const usage = usageOfGroups(new Set(groups.keys()));
    if (usage === undefined) return;
    const samples: ResourceSample[] = [];
    for (const [group, instance] of groups) {
      const used = usage.get(group);
      if (used !== undefined)
        samples.push({ service: instance.service?.name ?? INGRESS, instance: instance.name, ...used, ...this.#limits(group) });
    }
    this.#client?.request('resources.add', { samples }).catch(() => undefined);
  }

  /** Of a process group, as they were when it was first looked at. */
  #limits(group: number): ReturnType<typeof limitsOf> {
    const limits = this.#limitsByGroup.get(group) ?? limitsOf(group);
    this.#limitsByGroup.set(group, limits);
    return limits;
  }

  readonly #limitsByGroup = new Map<number, ReturnType<typeof limitsOf>>();

  #record(): void {
    writeSupervisor(this.#options.state, {
      schemaVersion: 1,
      process: recordOf(process.pid),
      meshFile: this.#options.meshFile,
      meshName: this.#spec.name,
      socketPath: this.#socketPath,
      ingressUrl: this.ingressUrl,
      startedAtMs: this.#startedAtMs,
    });
  }

  #recordChildren(): void {
    if (this.#stopping) return;
    const control = this.#control?.pid === undefined ? [] : [{ ...recordOf(this.#control.pid), what: 'control', group: false }];
    const extras = this.#extras.flatMap((child) =>
      child.pid === undefined ? [] : [{ ...recordOf(child.pid), what: 'load', group: false }],
    );
    const workload = this.#workload.pid === undefined ? [] : [{ ...recordOf(this.#workload.pid), what: 'workload api', group: false }];
    writeChildren(this.#options.state, [...control, ...workload, ...extras, ...this.#instances.flatMap((instance) => instance.children())]);
  }
}

function isolate(state: StateDir, unlock: () => void): Isolation {
  try {
    return Isolation.create(state);
  } catch (error) {
    unlock();
    throw error;
  }
}

/** What makes a running service start anew, or undefined. */
function differenceOf(old: ServiceSpec, fresh: ServiceSpec, before: MeshSpec, after: MeshSpec): string | undefined {
  for (const key of ['command', 'cwd', 'env', 'ports', 'calls', 'ready', 'restart', 'workloadApi'] as const) {
    if (JSON.stringify(old[key]) !== JSON.stringify(fresh[key])) return key;
  }
  const protocols = (mesh: MeshSpec): string => fresh.calls.map((callee) => mesh.services[callee]?.ports[0]?.protocol).join();
  return protocols(before) === protocols(after) ? undefined : 'the protocol of a called service';
}

function settingsChanges(before: MeshSpec, after: MeshSpec): string[] {
  const changes: string[] = [];
  const differs = (a: unknown, b: unknown): boolean => JSON.stringify(a) !== JSON.stringify(b);
  if (differs(before.ingress?.routes, after.ingress?.routes)) changes.push('ingress routes changed');
  if (differs(before.tracing, after.tracing)) changes.push('tracing changed');
  if (before.retentionMs !== after.retentionMs) changes.push('telemetry retention changed');
  if (before.certificateTtlMs !== after.certificateTtlMs) changes.push('life of certificates changed (from the next renewal on)');
  for (const service of Object.values(after.services)) {
    const old = before.services[service.name];
    if (
      old !== undefined &&
      differs([old.traffic, old.trafficRoutes, old.encodedSlash], [service.traffic, service.trafficRoutes, service.encodedSlash])
    )
      changes.push(`service/${service.name} traffic changed`);
    if (old !== undefined && old.tier !== service.tier) changes.push(`service/${service.name} moved to tier ${service.tier ?? '(none)'}`);
  }
  return changes;
}
