// The control plane's state and its one rule: whatever changes, a whole new snapshot is assembled, and each proxy is sent
// its slice only if that slice changed.
//
//   mesh file ┐
//   instances ├─► assemble ─► slice per proxy ─► sessions
//   policy    ┘
import { Fault } from '../base/fault.ts';
import { type Finding, reaches } from '../base/finding.ts';
import { contentVersion } from '../base/hash.ts';
import type { CompiledPolicy } from '../mesh/authorization.ts';
import { makeSpiffeId, printSpiffeId } from '../mesh/identity.ts';
import type { ForeignBundle, InstanceState, ResourceSample } from '../mesh/messages.ts';
import type { MeshSnapshot, ProxySnapshot } from '../mesh/snapshot.ts';
import { type MeshSpec, zoneOf } from '../mesh/spec.ts';
import { type Audit, audited, compilePolicy, emptyPolicy } from '../policy/compile.ts';
import type { PolicyText } from '../policy/document.ts';
import { lintPolicy } from '../policy/lint.ts';
import { assembleSnapshot } from './assemble.ts';
import type { ProxySession } from './feed.ts';
import { Loads } from './loads.ts';
import type { Office } from './office.ts';
import { sliceSnapshot } from './slice.ts';
import type { PolicyRevision, Store } from './store.ts';
import { Taps } from './taps.ts';

export interface MeshState {
  readonly spec: MeshSpec;
  readonly meshFile: string;
  readonly ingressUrl: string | undefined;
  readonly isolated?: boolean;
  readonly supervisorPid: number;
  readonly startedAtMs: number;
}

const SETTLE_LOOK_MS = 5;

type Linted = ReturnType<typeof lintPolicy>;

export class ControlPlane {
  readonly office: Office;
  readonly store: Store;
  readonly loads = new Loads();
  readonly taps = new Taps();
  readonly sessions = new Map<string, ProxySession>();
  readonly now: () => number;
  readonly startedAtMs: number;
  #mesh: MeshState | undefined;
  #instances: readonly InstanceState[] = [];
  #policy: CompiledPolicy | undefined;
  #snapshot: MeshSnapshot | undefined;
  /** Spans that proxies had no room for, since this control plane started. */
  samplesDropped = 0;

  constructor(office: Office, store: Store, now: () => number) {
    this.office = office;
    office.onChange = () => {
      this.publish();
      for (const session of this.sessions.values()) session.offerBundle();
    };
    this.store = store;
    this.now = now;
    this.startedAtMs = now();
  }

  /** Throws MESH_STARTING until the supervisor has told what the mesh is. */
  get mesh(): MeshState {
    if (this.#mesh === undefined)
      throw new Fault('MESH_STARTING', 'unavailable', 'the control plane has just started and does not know the mesh yet', {
        hint: 'try again in a second',
      });
    return this.#mesh;
  }

  get instances(): readonly InstanceState[] {
    return this.#instances;
  }

  /** Whom to trust for other trust domains. */
  get federation(): readonly ForeignBundle[] {
    return this.office.federation.map(({ trustDomain, roots }) => ({ trustDomain, roots }));
  }

  get policy(): CompiledPolicy {
    return this.#policy ?? emptyPolicy(this.mesh.spec.trustDomain);
  }

  setMesh(mesh: MeshState, policyFiles: readonly PolicyText[], resetPolicy: boolean): void {
    this.#mesh = mesh;
    this.#adoptPolicy(policyFiles, resetPolicy);
    this.publish();
  }

  setInstances(instances: readonly InstanceState[]): void {
    this.#instances = instances;
    this.publish();
  }

  addResources(samples: readonly ResourceSample[]): void {
    this.loads.addResources(samples, this.now());
  }

  /** Makes a revision of the files and enforces it. Findings that are errors refuse it; nothing changes then. */
  applyPolicy(
    files: readonly PolicyText[],
    user: string,
    message: string,
    audit: Audit,
  ): { revision: PolicyRevision; findings: Finding[]; changed: boolean } {
    const linted = lintPolicy(files, this.mesh.spec);
    const { findings } = linted;
    if (reaches(findings, 'error'))
      throw new Fault('POLICY_REFUSED', 'denied', 'the policy has errors and was not applied', { hint: 'run `meshctl policy lint` on it' });
    const newest = this.store.newestPolicy();
    const hash = hashOf(files);
    if (newest?.hash === hash && newest.audit === audit) return { revision: newest, findings, changed: false };
    const revision = this.#saveRevision(files, user, message, 'apply', audit, linted);
    return { revision, findings, changed: true };
  }

  /** What the proxy of an instance should have now. Undefined until the mesh is known. */
  sliceFor(service: string, instance: string): ProxySnapshot | undefined {
    return this.#snapshot === undefined ? undefined : sliceSnapshot(this.#snapshot, service, this.#zoneOf(service, instance));
  }

  #zoneOf(service: string, instance: string): string | undefined {
    const spec = this.#mesh?.spec.services[service];
    return spec === undefined ? undefined : zoneOf(spec, instance);
  }

  /** The SPIFFE id of a service of the mesh. */
  identityOf(service: string): string {
    const { spec } = this.mesh;
    return printSpiffeId(makeSpiffeId(spec.trustDomain, spec.namespace, service));
  }

  /** Resolves when every proxy has the newest snapshot and bundle; gives those that have not in time. */
  async whenSettled(limitMs: number): Promise<string[]> {
    const end = this.now() + limitMs;
    for (;;) {
      const behind = this.#instances.filter(({ instance, service, proxyPid }) => {
        const session = this.sessions.get(instance);
        // Whoever has no proxy has nothing to be told.
        if (session === undefined) return proxyPid !== undefined;
        const isKnown = session.haveVersion === this.sliceFor(service, instance)?.version;
        return !isKnown || session.trusts !== this.office.authority.state.sequence;
      });
      if (behind.length === 0 || this.now() >= end) return behind.map(({ instance }) => instance);
      await new Promise((done) => setTimeout(done, SETTLE_LOOK_MS));
    }
  }

  publish(): void {
    if (this.#mesh === undefined) return;
    const snapshot = assembleSnapshot(this.#mesh.spec, this.#instances, this.policy, this.office.revocations);
    if (snapshot.version === this.#snapshot?.version) return;
    this.#snapshot = snapshot;
    const slices = new Map<string, ProxySnapshot>();
    for (const session of this.sessions.values()) {
      const zone = this.#zoneOf(session.service, session.proxyId);
      const key = `${session.service} ${zone}`;
      const slice = slices.get(key) ?? sliceSnapshot(snapshot, session.service, zone);
      slices.set(key, slice);
      session.offer(slice);
    }
  }

  // `policy apply` beats the mesh file's policy until `up --reset-policy`; a changed file replaces only a policy that came from the file.
  #adoptPolicy(files: readonly PolicyText[], reset: boolean): void {
    const newest = this.store.newestPolicy();
    const keep = newest !== undefined && !reset && (newest.origin === 'apply' || files.length === 0 || newest.hash === hashOf(files));
    if (keep) this.#compile(newest);
    else if (files.length > 0) this.#saveRevision(files, 'meshctl up', 'from the mesh file', 'file');
    else this.#policy = undefined;
  }

  #saveRevision(
    files: readonly PolicyText[],
    user: string,
    message: string,
    origin: PolicyRevision['origin'],
    audit: Audit = 'none',
    linted?: Linted,
  ): PolicyRevision {
    const revision: PolicyRevision = {
      revision: (this.store.newestPolicy()?.revision ?? 0) + 1,
      hash: hashOf(files),
      appliedAtMs: this.now(),
      user,
      message,
      origin,
      audit,
      files,
    };
    this.store.savePolicy(revision);
    this.#compile(revision, linted);
    return revision;
  }

  // What cannot be compiled becomes a policy that refuses everything and says why.
  #compile(revision: PolicyRevision, linted: Linted = lintPolicy(revision.files, this.mesh.spec)): void {
    const { document, findings } = linted;
    this.#policy = audited(compilePolicy(document, findings, this.mesh.spec, revision.revision), revision.audit);
    this.publish();
  }
}

function hashOf(files: readonly PolicyText[]): string {
  return contentVersion(files.map((file) => file.text));
}
