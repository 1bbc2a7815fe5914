// What the supervisor and the command line may ask of the control plane: one method each, JSON in and out.
import { Fault } from '../base/fault.ts';
import type { Finding } from '../base/finding.ts';
import { lifeLeftPercent } from '../certs/renewal.ts';
import type { InstanceState, ProxyCommand, ResourceSample } from '../mesh/messages.ts';
import type { ProxySnapshot } from '../mesh/snapshot.ts';
import type { MeshSpec } from '../mesh/spec.ts';
import type { TapEvent, TapFilter } from '../mesh/tap.ts';
import type { Audit } from '../policy/compile.ts';
import type { PolicyText } from '../policy/document.ts';
import { lintPolicy } from '../policy/lint.ts';
import type { Exposition } from '../signals/exposition.ts';
import type { Stat, StatKind } from '../signals/golden.ts';
import { assembleTrace, type Trace } from '../traces/assemble.ts';
import { CERTS_HANDLERS, type CertsMethod, type CertsMethods, runCertsMethod } from './certs.ts';
import type { ControlPlane } from './plane.ts';
import { type Edges, edgesOf, exposeAll, type StatQuery, statOf, type TimelineStep, timelineOf } from './signals.ts';
import type { PolicyRevision, TraceMatch } from './store.ts';
import { observe, type Traffic } from './traffic.ts';

/** Every method with the type of its parameters and of its answer. */
export interface AdminMethods extends CertsMethods {
  'mesh.set': {
    params: {
      spec: MeshSpec;
      meshFile: string;
      ingressUrl?: string;
      isolated?: boolean;
      supervisorPid: number;
      startedAtMs: number;
      policyFiles: PolicyText[];
      resetPolicy: boolean;
      instances: InstanceState[];
    };
    result: null;
  };
  'mesh.spec': { params: null; result: { spec: MeshSpec } };
  'instances.set': { params: { instances: InstanceState[] }; result: null };
  'resources.add': { params: { samples: ResourceSample[] }; result: null };
  status: { params: null; result: StatusReport };
  stat: { params: StatQuery; result: Stat };
  edges: { params: StatQuery; result: Edges };
  timeline: {
    params: { fromMs: number; toMs: number; stepMs: number; by?: StatKind; service?: string };
    result: { steps: TimelineStep[] };
  };
  'tap.open': { params: { filter: TapFilter; perSecond: number }; result: { id: number } };
  'tap.read': { params: { id: number }; result: { events: TapEvent[]; dropped: number; proxies: number } };
  'tap.close': { params: { id: number }; result: null };
  metrics: { params: Exposition; result: { text: string } };
  'trace.get': { params: { id: string }; result: { trace: Trace } | { candidates: TraceMatch[] } };
  'trace.recent': { params: { denied: boolean; limit: number }; result: TraceMatch[] };
  'policy.lint': { params: { files: PolicyText[] }; result: { findings: Finding[] } };
  'policy.apply': {
    params: { files: PolicyText[]; user: string; message: string; audit?: Audit };
    result: { revision: number; changed: boolean; findings: Finding[] };
  };
  'policy.show': { params: { revision?: number }; result: PolicyRevision };
  'policy.history': { params: null; result: Omit<PolicyRevision, 'files'>[] };
  'policy.traffic': { params: { sinceMs: number }; result: Traffic };
  'proxy.status': { params: null; result: { proxies: ProxyItem[] } };
  'proxy.config': { params: { instance: string }; result: ProxySnapshot };
  'proxy.cut': { params: Omit<ProxyCommand, 'kind'>; result: { proxies: { instance: string; ended: number | null }[] } };
}

export interface StatusReport {
  readonly name: string;
  readonly trustDomain: string;
  readonly meshFile: string;
  readonly ingressUrl: string | null;
  /** Every instance has a network and users of its own. */
  readonly isolated: boolean;
  readonly supervisorPid: number;
  readonly startTime: string;
  readonly policyRevision: number;
  readonly policyUnreadable: string | null;
  /** What the policy only reports: `default` what no rule allows, `all` floors and `deny` too. */
  readonly policyAudit: Audit;
  readonly instances: readonly {
    readonly service: string;
    readonly instance: string;
    readonly state: string;
    readonly restarts: number;
    readonly pid: number | null;
    readonly proxyPid: number | null;
    readonly lastExit: string | null;
    readonly proxyConnected: boolean;
    readonly certificateLifeLeftPercent: number | null;
  }[];
}

export interface ProxyItem {
  readonly instance: string;
  readonly connected: boolean;
  readonly wantVersion: string | null;
  readonly haveVersion: string | null;
  readonly inSync: boolean;
  readonly policyRevision: number;
  readonly nack: string | null;
}

export type AdminMethod = keyof AdminMethods;
type Handlers = {
  [M in Exclude<AdminMethod, CertsMethod>]: (
    plane: ControlPlane,
    params: AdminMethods[M]['params'],
  ) => AdminMethods[M]['result'] | Promise<AdminMethods[M]['result']>;
};

const MAX_CANDIDATES = 10;

const HANDLERS: Handlers = {
  'mesh.set': (plane, { policyFiles, resetPolicy, instances, ingressUrl, ...mesh }) => {
    plane.setInstances(instances);
    plane.setMesh({ ...mesh, ingressUrl }, policyFiles, resetPolicy);
    return null;
  },
  'mesh.spec': (plane) => ({ spec: plane.mesh.spec }),
  'instances.set': (plane, { instances }) => {
    plane.setInstances(instances);
    return null;
  },
  'resources.add': (plane, { samples }) => {
    plane.addResources(samples);
    return null;
  },
  status: (plane) => {
    const { mesh, policy } = plane;
    return {
      name: mesh.spec.name,
      trustDomain: mesh.spec.trustDomain,
      meshFile: mesh.meshFile,
      ingressUrl: mesh.ingressUrl ?? null,
      isolated: mesh.isolated === true,
      supervisorPid: mesh.supervisorPid,
      startTime: new Date(mesh.startedAtMs).toISOString(),
      policyRevision: policy.revision,
      policyUnreadable: policy.unreadable ?? null,
      policyAudit: plane.store.newestPolicy()?.audit ?? 'none',
      instances: plane.instances.map((instance) => {
        const issued = plane.office.record.newestIssued(instance.instance);
        return {
          service: instance.service,
          instance: instance.instance,
          state: instance.state,
          restarts: instance.restarts,
          pid: instance.pid ?? null,
          proxyPid: instance.proxyPid ?? null,
          lastExit: instance.lastExit ?? null,
          proxyConnected: plane.sessions.has(instance.instance),
          certificateLifeLeftPercent: issued === undefined ? null : lifeLeftPercent(issued.issuedAtMs, issued.notAfterMs, plane.now()),
        };
      }),
    };
  },
  stat: (plane, query) => statOf(plane, query),
  edges: (plane, query) => edgesOf(plane, query),
  timeline: (plane, query) => ({ steps: timelineOf(plane, query) }),
  'tap.open': (plane, { filter, perSecond }) => {
    // A service that is not there is a slip of the pen, and an empty screen would not say so.
    if (filter.service !== undefined) statOf(plane, { windowMs: 1000, service: filter.service });
    return { id: plane.taps.open(plane, filter, perSecond) };
  },
  'tap.read': (plane, { id }) => plane.taps.read(plane, id),
  'tap.close': (plane, { id }) => {
    plane.taps.close(plane, id);
    return null;
  },
  metrics: (plane, options) => ({ text: exposeAll(plane, options) }),
  'trace.get': (plane, { id }) => {
    const matches = plane.store.findTraces(id, MAX_CANDIDATES);
    if (matches.length > 1) return { candidates: matches };
    const match = matches[0];
    if (match === undefined) {
      const { ratio } = plane.mesh.spec.tracing;
      const unsampled = ratio < 1 ? ` (only ${ratio * 100} % of traces are kept: \`tracing.ratio\`)` : '';
      throw new Fault('TRACE_UNKNOWN', 'not-found', `no trace or request has the id \`${id}\`${unsampled}`, {
        hint: 'take the x-request-id of an answer from the ingress; traces are kept as long as `telemetry.retention` says',
      });
    }
    return { trace: assembleTrace(plane.store.spansOf(match.traceId)) };
  },
  'trace.recent': (plane, query) => plane.store.recentTraces(query),
  'policy.lint': (plane, { files }) => ({ findings: lintPolicy(files, plane.mesh.spec).findings }),
  'policy.apply': (plane, { files, user, message, audit }) => {
    const { revision, findings, changed } = plane.applyPolicy(files, user, message, audit ?? 'none');
    return { revision: revision.revision, changed, findings };
  },
  'policy.show': (plane, { revision }) => {
    const found = revision === undefined ? plane.store.newestPolicy() : plane.store.policies().find((each) => each.revision === revision);
    if (found === undefined) {
      throw new Fault(
        'POLICY_NONE',
        'not-found',
        revision === undefined ? 'the mesh has no policy: every request is denied' : `there is no policy revision ${revision}`,
        { hint: revision === undefined ? '`meshctl policy apply FILE` gives it one' : 'list them with `meshctl policy history`' },
      );
    }
    return found;
  },
  'policy.history': (plane) => plane.store.policies().map(({ files: _files, ...rest }) => rest),
  'policy.traffic': (plane, { sinceMs }) => observe(plane.store.pagesSince(sinceMs), plane.mesh.spec),
  'proxy.status': (plane) => ({
    proxies: plane.instances.map(({ instance, service }) => {
      const session = plane.sessions.get(instance);
      const want = plane.sliceFor(service, instance)?.version ?? null;
      const have = session?.haveVersion ?? null;
      return {
        instance,
        connected: session !== undefined,
        wantVersion: want,
        haveVersion: have,
        inSync: want !== null && have === want,
        policyRevision: plane.policy.revision,
        nack: session?.nack?.message ?? null,
      };
    }),
  }),
  'proxy.config': (plane, { instance }) => {
    const found = plane.instances.find((each) => each.instance === instance || each.service === instance);
    const slice = found === undefined ? undefined : plane.sliceFor(found.service, found.instance);
    if (slice === undefined)
      throw new Fault('SERVICE_UNKNOWN', 'not-found', `the mesh has no service or instance \`${instance}\``, {
        hint: `its instances are ${plane.instances.map((each) => each.instance).join(', ')}`,
      });
    return slice;
  },
  'proxy.cut': async (plane, meant) => ({
    proxies: await Promise.all(
      [...plane.sessions.values()].map(async (session) => ({
        instance: session.proxyId,
        ended: (await session.command({ kind: 'cut', ...meant }))?.ended ?? null,
      })),
    ),
  }),
};

/** Runs a method. Throws METHOD_UNKNOWN, or what the method throws. */
export function runMethod(plane: ControlPlane, method: string, params: unknown): unknown {
  if (Object.hasOwn(CERTS_HANDLERS, method))
    return runCertsMethod({ office: plane.office, mesh: plane }, method as CertsMethod, params as never);
  if (!Object.hasOwn(HANDLERS, method))
    throw new Fault('METHOD_UNKNOWN', 'usage', `the control plane knows no method \`${method}\``, {
      hint: 'client and control plane may be of different versions',
    });
  return (HANDLERS[method as keyof Handlers] as (plane: ControlPlane, params: unknown) => unknown)(plane, params);
}
