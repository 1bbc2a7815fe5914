// What is asked about golden signals: rows over a window, edges with the certificates on them, steps over time, totals for an export.
import { Fault } from '../base/fault.ts';
import { INGRESS, makeSpiffeId, parseSpiffeId, printSpiffeId } from '../mesh/identity.ts';
import type { PeerLink } from '../mesh/messages.ts';
import { rulesFor } from '../policy/evaluate.ts';
import { type ExportInput, type Exposition, expose } from '../signals/exposition.ts';
import { goldenRows, isCounted, type KnownService, type Stat, type StatKind, type StatRow } from '../signals/golden.ts';
import type { ControlPlane } from './plane.ts';

export interface StatQuery {
  readonly windowMs: number;
  /** End of the window, epoch milliseconds (default: now). */
  readonly toMs?: number;
  readonly by?: StatKind;
  readonly view?: 'inbound' | 'outbound';
  readonly service?: string;
  /** The other end of edges. */
  readonly peer?: string;
}

export interface EdgeRow extends StatRow {
  readonly peer: string;
  /** What both ends proved; null where nothing was proved: from outside, through the ingress. */
  readonly callerId: string | null;
  readonly calleeId: string;
  /** Empty while no connection is open. */
  readonly links: readonly Omit<PeerLink, 'direction' | 'identity'>[];
  /** Generation of the certificates in use; null while none is. */
  readonly callerGenerations: readonly number[];
  readonly calleeGenerations: readonly number[];
  /** Rules that can let the caller in. */
  readonly rules: readonly string[];
}

export interface Edges extends Omit<Stat, 'rows'> {
  readonly rows: readonly EdgeRow[];
}

export interface TimelineStep {
  readonly from: string;
  /** Null: nobody said anything in this step, which is a gap and no zero. */
  readonly rows: readonly StatRow[] | null;
}

/** Shorter windows say what is now: they begin no earlier than the mesh. */
const NOW_MS = 60_000;
const MAX_STEPS = 2000;

export function statOf(plane: ControlPlane, { windowMs, toMs, by = 'service', view = 'inbound', service, peer }: StatQuery): Stat {
  const to = toMs ?? plane.now();
  const from =
    windowMs <= NOW_MS && toMs === undefined ? Math.max(to - windowMs, Math.min(to - 1000, plane.mesh.startedAtMs)) : to - windowMs;
  const seconds = (to - from) / 1000;
  const wanted = servicesOf(plane, service);
  // Saturation is of now: a window that ended says nothing of it.
  const loads = toMs === undefined ? plane.loads.of(plane.instances, to) : [];
  const names = new Set(wanted.map(({ name }) => name));
  const series = plane.store.window(from, to, (labels) => names.has(labels.service) && isCounted(labels, by, view));
  const rows = goldenRows(wanted, series, loads, seconds, by, view);
  return {
    by,
    view,
    window: { from: new Date(from).toISOString(), to: new Date(to).toISOString(), seconds },
    completeness: {
      proxiesAnswered: plane.loads.answered(plane.instances, to),
      proxiesTotal: plane.instances.length,
      samplesDropped: plane.samplesDropped + plane.store.droppedSpans,
    },
    rows: peer === undefined ? rows : rows.filter((row) => row.peer === peer),
  };
}

/** Throws SERVICE_UNKNOWN. */
function servicesOf(plane: ControlPlane, service: string | undefined): KnownService[] {
  const { spec } = plane.mesh;
  const known: KnownService[] = [
    ...(spec.ingress === undefined ? [] : [{ name: INGRESS, protocol: 'http' as const }]),
    ...Object.values(spec.services).map((each) => ({
      name: each.name,
      protocol: each.ports[0]?.protocol === 'tcp' ? ('tcp' as const) : ('http' as const),
    })),
  ];
  const wanted = service === undefined ? known : known.filter((each) => each.name === service);
  if (wanted.length > 0) return wanted;
  throw new Fault('SERVICE_UNKNOWN', 'not-found', `the mesh has no service \`${service}\``, {
    hint: `its services are ${known.map((each) => each.name).join(', ')}`,
  });
}

/** Who really talks to whom, by the callee's view, with what both ends proved on the connections that are open. */
export async function edgesOf(plane: ControlPlane, query: StatQuery): Promise<Edges> {
  const stat = statOf(plane, { ...query, by: 'edge' });
  const links = await linksOf(plane);
  const generation = (serial: string): number[] => {
    const issued = plane.office.record.issued(serial);
    return issued === undefined ? [] : [issued.generation];
  };
  return {
    ...stat,
    rows: stat.rows.map((row) => {
      const peer = row.peer ?? '-';
      const calleeId = plane.identityOf(row.service);
      const own = links.filter(
        ({ service, link }) => service === row.service && link.direction === 'inbound' && nameOf(link.identity) === peer,
      );
      const callerId = own[0]?.link.identity ?? idOf(plane, peer);
      return {
        ...row,
        peer,
        callerId,
        calleeId,
        links: own.map(({ link: { direction: _direction, identity: _identity, ...rest } }) => rest),
        callerGenerations: distinct(own.flatMap(({ link }) => generation(link.serial))),
        calleeGenerations: distinct(own.flatMap(({ link }) => generation(link.ownSerial))),
        rules: rulesFor(plane.policy, callerId === null ? undefined : parseSpiffeId(callerId), parseSpiffeId(calleeId)),
      };
    }),
  };
}

function distinct(values: readonly number[]): number[] {
  return [...new Set(values)].sort((a, b) => a - b);
}

/** A service of the mesh by its name; nobody for what came from outside. */
function idOf(plane: ControlPlane, peer: string): string | null {
  const { spec } = plane.mesh;
  const isKnown = peer === INGRESS || spec.services[peer] !== undefined;
  return isKnown ? printSpiffeId(makeSpiffeId(spec.trustDomain, spec.namespace, peer)) : null;
}

function nameOf(identity: string): string {
  return parseSpiffeId(identity)?.service ?? '-';
}

async function linksOf(plane: ControlPlane): Promise<{ service: string; link: PeerLink }[]> {
  const answers = await Promise.all(
    [...plane.sessions.values()].map(async (session) => {
      const answer = await session.command({ kind: 'peers' });
      return (answer?.peers ?? []).map((link) => ({ service: session.service, link }));
    }),
  );
  return answers.flat();
}

/** Rows for each step of a time; a step in which no proxy said anything is a gap. */
export function timelineOf(
  plane: ControlPlane,
  query: { fromMs: number; toMs: number; stepMs: number; by?: StatKind; service?: string },
): TimelineStep[] {
  const { fromMs, toMs, stepMs, by = 'service', service } = query;
  const steps = Math.ceil((toMs - fromMs) / stepMs);
  if (!(steps >= 1 && steps <= MAX_STEPS))
    throw new Fault('USAGE', 'usage', `${steps} steps are asked for, and 1 to ${MAX_STEPS} are given`);
  const wanted = servicesOf(plane, service);
  const timeline = plane.store.timeline(fromMs, toMs, stepMs);
  return Array.from({ length: steps }, (_, i) => {
    const series = timeline.get(i);
    return {
      from: new Date(fromMs + i * stepMs).toISOString(),
      rows: series === undefined ? null : goldenRows(wanted, series, [], stepMs / 1000, by),
    };
  });
}

/** Everything that was counted and is held now, for a scraper. */
export function exposeAll(plane: ControlPlane, options: Exposition): string {
  const { spec } = plane.mesh;
  const now = plane.now();
  const input: ExportInput = {
    mesh: spec.name,
    namespace: spec.namespace,
    series: plane.store.totals(plane.instances.map(({ instance }) => instance)),
    loads: plane.loads.of(plane.instances, now),
    certificates: plane.instances.flatMap(({ instance, service }) => {
      const issued = plane.office.record.newestIssued(instance);
      return issued === undefined
        ? []
        : [{ service, instance, issuedAtMs: issued.issuedAtMs, notAfterMs: issued.notAfterMs, generation: issued.generation }];
    }),
    authority: plane.office.authority.state.certificates.map(({ name }) => ({
      name,
      notAfterMs: plane.office.authority.details(name)?.notAfterMs ?? 0,
    })),
    proxies: plane.instances.map(({ instance, service }) => ({
      service,
      instance,
      isConnected: plane.sessions.has(instance),
      isInSync: plane.sessions.get(instance)?.haveVersion === plane.sliceFor(service, instance)?.version,
    })),
    policyRevision: plane.policy.revision,
    droppedSpans: plane.samplesDropped + plane.store.droppedSpans,
    nowMs: now,
  };
  return expose(input, options);
}
