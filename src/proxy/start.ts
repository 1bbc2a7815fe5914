// One proxy: listeners, credentials, feed. Everything that it holds is closed by stop().

import type { VerifiedPeer } from '../certs/peer.ts';
import type { PeerLink, ProxyAnswer } from '../mesh/messages.ts';
import type { Bootstrap, OutboundListener, PlainListener, ProxyReport, Standalone } from './bootstrap.ts';
import { Credentials } from './credentials.ts';
import { Deadlines } from './deadlines.ts';
import { FileFeed } from './feed/file.ts';
import { type CutOrTry, Feed } from './feed/stream.ts';
import { Joins } from './joins.ts';
import { createInbound, type Inbound } from './net/inbound.ts';
import { bind, createCaptureListener, createDetectListener, createHttpListener, createTcpListener, type Listening } from './net/listen.ts';
import { RateLimits } from './rate-limit.ts';
import { Recorder } from './record.ts';
import { RequestMemory } from './request-memory.ts';
import { Revoked } from './revoked.ts';
import { Routes } from './route/template.ts';
import type { Runtime } from './runtime.ts';
import { Tap } from './tap.ts';
import { tryAll } from './trial.ts';
import { Clusters } from './upstream/cluster.ts';
import { watchHealth } from './upstream/health.ts';
import { Pool } from './upstream/pool.ts';

/** Answers in flight get this long after a stop before they are cut. */
const DRAIN_MS = 5000;
const DRAIN_POLL_MS = 20;

export interface RunningProxy {
  readonly runtime: Runtime;
  rejoin(token: string): void;
  /** Reads its files again, when it is one that has files. */
  reload(): void;
  /** Listeners stop accepting, answers in flight finish, then everything closes. */
  stop(): Promise<void>;
}

/** Binds every listener and begins to follow the control plane. Throws PORT_IN_USE; `report` tells the rest. */
export async function startProxy(
  bootstrap: Bootstrap | Standalone,
  report: (message: ProxyReport) => void,
  log: (line: string) => void,
): Promise<RunningProxy> {
  const recorder = new Recorder();
  const instance = bootstrap.kind === 'bootstrap' ? bootstrap.instance : bootstrap.service;
  const inbound = new Map<string, Inbound>();
  const credentials = new Credentials((current) => {
    for (const listener of inbound.values()) listener.useCredentials(current);
    pool.prune(isKnownEndpoint);
    cut((peer) => !credentials.stillTrusts(peer));
  });
  const cut = (isMeant: (peer: VerifiedPeer) => boolean): number => {
    const callers = [...inbound.values()].reduce((sum, listener) => sum + listener.cut(isMeant), 0);
    return callers + joins.cut(isMeant) + pool.cut(isMeant);
  };
  const joins = new Joins();
  const revoked = new Revoked();
  const pool = new Pool(credentials, revoked, (streams) => {
    recorder.identityExpired += streams;
  });
  const runtime: Runtime = {
    service: bootstrap.service,
    instance,
    credentials,
    recorder,
    routes: new Routes(),
    pool,
    memory: new RequestMemory(),
    clusters: new Clusters(),
    deadlines: new Deadlines(),
    limits: new RateLimits(),
    joins,
    revoked,
    tap: new Tap(),
    tables: undefined,
    draining: false,
    log,
  };
  const isKnownEndpoint = (key: string): boolean => runtime.tables?.byAddress.has(key) === true;
  const listeners: Listening[] = [];
  const ports = { inbound: {} as Record<string, number>, outbound: {} as Record<string, number> };
  for (const spec of bootstrap.inbound) {
    const listener = createInbound(runtime, spec);
    inbound.set(spec.portName, listener);
    listeners.push(listener);
    ports.inbound[spec.portName] = await bind(listener.server, spec, `mTLS in front of ${instance}`);
  }
  for (const spec of bootstrap.outbound) {
    const listener = createOutbound(runtime, spec);
    listeners.push(listener);
    ports.outbound[spec.service] = await bind(listener.server, spec, `${instance} to ${spec.service}`);
  }
  const plain: { forward?: number; ingress?: number; capture?: number } = {};
  for (const spec of bootstrap.plain) {
    const listener = createPlain(runtime, spec);
    listeners.push(listener);
    plain[spec.kind] = await bind(listener.server, spec, spec.kind === 'ingress' ? 'ingress' : `${spec.kind} proxy of ${instance}`);
  }
  report({ kind: 'listening', ...ports, forward: plain.forward, ingress: plain.ingress, capture: plain.capture });
  const onCommand = async (command: CutOrTry): Promise<ProxyAnswer> => {
    if (command.kind === 'try') return { trials: await tryAll(command.targets, credentials, revoked) };
    if (command.kind === 'peers') return { peers: merged([...[...inbound.values()].flatMap(({ links }) => links), ...pool.links]) };
    return { ended: cut(({ printed, serial }) => printed === command.identity || serial === command.serial) };
  };
  const staleConnections = (): number => [...inbound.values()].reduce((sum, { stale }) => sum + stale, pool.stale);
  const onReady = (): void => report({ kind: 'ready' });
  const onTables = (): void => {
    runtime.clusters.prune(runtime.tables?.upstreams.values() ?? [], runtime.tables?.zone);
    pool.prune(isKnownEndpoint);
    // Who was revoked, or is denied by the new policy, does not go on because it had begun before.
    if (runtime.tables !== undefined) revoked.use(runtime.tables.revoked);
    if (!revoked.isEmpty) cut((peer) => revoked.has(peer));
    runtime.joins.judge();
  };
  const feed =
    bootstrap.kind === 'bootstrap'
      ? new Feed(runtime, { ...bootstrap, onReady, onTables, onCommand, staleConnections })
      : new FileFeed(runtime, bootstrap, { onReady, onTables });
  feed.start();
  const stopHealth = watchHealth(runtime);
  return {
    runtime,
    rejoin: (token) => {
      if (feed instanceof Feed) feed.rejoin(token);
    },
    reload: () => {
      if (feed instanceof FileFeed) feed.reload();
    },
    stop: async () => {
      runtime.draining = true;
      stopHealth();
      for (const listener of listeners) {
        listener.server.close();
        listener.drain();
      }
      await drained(runtime);
      await feed.stop();
      for (const listener of listeners) listener.destroy();
      pool.closeAll();
    },
  };
}

/** Connections with the same certificates at both ends are one line. */
function merged(links: readonly PeerLink[]): PeerLink[] {
  const lines = new Map<string, PeerLink>();
  for (const link of links) {
    const key = JSON.stringify({ ...link, connections: 0 });
    const line = lines.get(key);
    lines.set(key, line === undefined ? link : { ...line, connections: line.connections + link.connections });
  }
  return [...lines.values()];
}

function createPlain(runtime: Runtime, { kind, port }: PlainListener): Listening {
  if (kind === 'capture') return createCaptureListener(runtime);
  return createHttpListener(runtime, kind === 'forward' ? { kind } : { kind, port });
}

function createOutbound(runtime: Runtime, { service, protocol }: OutboundListener): Listening {
  if (protocol === 'tcp') return createTcpListener(runtime, service);
  if (protocol === 'detect') return createDetectListener(runtime, service);
  return createHttpListener(runtime, { kind: 'outbound', service });
}

function drained(runtime: Runtime): Promise<void> {
  const end = Date.now() + DRAIN_MS;
  // What the own application still asks of others.
  const calling = (): number => [...runtime.clusters.all()].reduce((sum, { requests, connections }) => sum + requests + connections, 0);
  return new Promise((resolve) => {
    const look = (): void => {
      if ((runtime.recorder.inFlight <= 0 && calling() === 0) || Date.now() >= end) resolve();
      else setTimeout(look, DRAIN_POLL_MS);
    };
    look();
  });
}
