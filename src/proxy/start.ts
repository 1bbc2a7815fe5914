// One proxy: listeners, credentials, feed. Everything that it holds is closed by stop().

import type { Bootstrap, ProxyReport } from './bootstrap.ts';
import { Credentials } from './credentials.ts';
import { Feed } from './feed/stream.ts';
import { createInbound } from './net/inbound.ts';
import { bind, createHttpListener, createTcpListener, type Listening } from './net/listen.ts';
import { Recorder } from './record.ts';
import { RequestMemory } from './request-memory.ts';
import type { Runtime } from './runtime.ts';
import { Pool } from './upstream/pool.ts';

/** Answers in flight get this long after a stop before they are cut. */
const DRAIN_MS = 5000;
const DRAIN_POLL_MS = 20;

export interface RunningProxy {
  readonly runtime: Runtime;
  rejoin(token: string): void;
  /** Listeners stop accepting, answers in flight finish, then everything closes. */
  stop(): Promise<void>;
}

/** Binds every listener and begins to follow the control plane. Throws PORT_IN_USE; `report` tells the rest. */
export async function startProxy(
  bootstrap: Bootstrap,
  report: (message: ProxyReport) => void,
  log: (line: string) => void,
): Promise<RunningProxy> {
  const recorder = new Recorder();
  const inbound = new Map<string, ReturnType<typeof createInbound>>();
  const credentials = new Credentials((current) => {
    for (const listener of inbound.values()) listener.useCredentials(current);
    pool.prune(isKnownEndpoint);
  });
  const pool = new Pool(credentials);
  const runtime: Runtime = {
    service: bootstrap.service,
    instance: bootstrap.instance,
    credentials,
    recorder,
    pool,
    memory: new RequestMemory(),
    tables: undefined,
    draining: false,
    log,
  };
  const isKnownEndpoint = (key: string): boolean =>
    [...(runtime.tables?.upstreams.values() ?? [])].some((upstream) =>
      upstream.endpoints.some(({ host, port }) => `${host}:${port}` === key),
    );
  const listeners: Listening[] = [];
  const ports = { inbound: {} as Record<string, number>, outbound: {} as Record<string, number> };
  for (const spec of bootstrap.inbound) {
    const listener = createInbound(runtime, spec);
    inbound.set(spec.portName, listener);
    listeners.push(listener);
    ports.inbound[spec.portName] = await bind(listener.server, spec.port, `mTLS in front of ${bootstrap.instance}`);
  }
  for (const spec of bootstrap.outbound) {
    const listener =
      spec.protocol === 'tcp'
        ? createTcpListener(runtime, spec.service)
        : createHttpListener(runtime, { kind: 'outbound', service: spec.service });
    listeners.push(listener);
    ports.outbound[spec.service] = await bind(listener.server, spec.port, `${bootstrap.instance} to ${spec.service}`);
  }
  let forward: number | undefined;
  if (bootstrap.forwardPort !== undefined) {
    const listener = createHttpListener(runtime, { kind: 'forward' });
    listeners.push(listener);
    forward = await bind(listener.server, bootstrap.forwardPort, `forward proxy of ${bootstrap.instance}`);
  }
  let ingress: number | undefined;
  if (bootstrap.ingressPort !== undefined) {
    const listener = createHttpListener(runtime, { kind: 'ingress', port: bootstrap.ingressPort });
    listeners.push(listener);
    ingress = await bind(listener.server, bootstrap.ingressPort, 'ingress');
  }
  report({ kind: 'listening', ...ports, forward, ingress });
  const feed = new Feed(runtime, {
    socketPath: bootstrap.controlSocket,
    proxyId: bootstrap.proxyId,
    token: bootstrap.token,
    onReady: () => report({ kind: 'ready' }),
    onTables: () => pool.prune(isKnownEndpoint),
  });
  feed.start();
  return {
    runtime,
    rejoin: (token) => feed.rejoin(token),
    stop: async () => {
      runtime.draining = true;
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

function drained(runtime: Runtime): Promise<void> {
  const end = Date.now() + DRAIN_MS;
  return new Promise((resolve) => {
    const look = (): void => {
      if (runtime.recorder.inFlight <= 0 || Date.now() >= end) resolve();
      else setTimeout(look, DRAIN_POLL_MS);
    };
    look();
  });
}
