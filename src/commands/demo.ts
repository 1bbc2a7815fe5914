// `meshctl demo`: the bundled shop, run like any mesh file, with a load. On a terminal it goes into the live screen;
// elsewhere it prints signals every few seconds and ends with a summary. In the background (-d) it runs until `meshctl down`.
import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { printDuration } from '../base/duration.ts';
import { Fault } from '../base/fault.ts';
import { DEMO_POLICY, demoMeshFile } from '../demo/mesh.ts';
import { parseMeshFile } from '../mesh/spec.ts';
import { AdminClient } from '../platform/local/admin-client.ts';
import { makeDemoState, makeStateDir, type StateDir, stateDirAt } from '../platform/local/state-dir.ts';
import { Supervisor } from '../platform/local/supervisor.ts';
import { writeAtomic } from '../platform/node/files.ts';
import { programArguments } from '../platform/node/programs.ts';
import { completenessLine, goldenTable } from '../views/golden.ts';
import { paint } from '../views/theme.ts';
import { renderWaterfall } from '../views/trace/waterfall.ts';
import { certificatesTable } from './certs/list.ts';
import type { Context, Run } from './context.ts';
import { announce, detach, isDetachedChild, printDetached } from './detach.ts';
import { document } from './document.ts';
import { durationOption, flag, numberOption, outputOption } from './input.ts';
import { DEFAULT_WINDOW_MS } from './stat.ts';
import { NOT_ISOLATED } from './status.ts';
import { recentTrace } from './trace.ts';

const DEFAULT_DURATION_MS = 30_000;
const DEFAULT_LOAD = 10;
const READY_MS = 30_000;
const PRINT_EVERY_MS = 5000;

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const load = numberOption(input, 'load', 'load', 0, 200) ?? DEFAULT_LOAD;
  const background = isDetachedChild(context.env);
  const detached = flag(input, 'detach');
  const durationMs = durationOption(input, 'duration', 'duration') ?? (context.isTerminal || detached ? 0 : DEFAULT_DURATION_MS);
  const keep = flag(input, 'keep');
  if (detached && !background) {
    const up = await detach(context, ['demo', '-d', '--duration', `${durationMs}ms`, '--load', String(load), ...(keep ? ['--keep'] : [])]);
    printDetached(context, format, 'Demo', up);
    return 0;
  }
  const stop = context.interrupted;
  const state = makeDemoState();
  let supervisor: Supervisor | undefined;
  try {
    supervisor = await startShop(context, state);
    const ready = await Promise.race([supervisor.whenReady(READY_MS).then(() => true), stop.then(() => false)]);
    if (!ready) return 0;
    const url = supervisor.ingressUrl ?? '';
    await firstRequest(url);
    if (load > 0)
      supervisor.adopt(
        spawn(process.execPath, [...programArguments('shop'), 'load', url, String(load)], { stdio: ['pipe', 'ignore', 'ignore'] }),
      );
    if (background) {
      announce({ ready: { ingressUrl: url, stateDir: state.root, pid: process.pid, dashboardUrl: null } });
      await Promise.race([stop, ...(durationMs > 0 ? [pause(durationMs)] : [])]);
      return 0;
    }
    await watch(context, supervisor, state, durationMs, stop, format);
    return 0;
  } catch (error) {
    if (background) announce({ fault: Fault.from(error).toRecord() });
    throw error;
  } finally {
    await supervisor?.stop();
    if (!keep) rmSync(state.root, { recursive: true, force: true });
    else context.note(`state kept in ${state.root}\n`);
  }
};

async function startShop(context: Context, state: StateDir): Promise<Supervisor> {
  makeStateDir(state);
  const meshFile = join(state.root, 'mesh.yaml');
  const text = demoMeshFile((role) => [process.execPath, ...programArguments('shop'), role]);
  writeAtomic(meshFile, text);
  writeAtomic(join(state.root, 'policy.yaml'), DEMO_POLICY);
  const { spec, findings } = parseMeshFile(meshFile, text);
  if (spec === undefined) throw new Fault('DEMO_MESH', 'internal', `the demo's mesh file has errors: ${findings[0]?.what}`);
  return Supervisor.start({
    state: stateDirAt(state.root),
    meshFile,
    spec,
    demo: true,
    resetPolicy: false,
    say: (line) => context.note(`${line}\n`),
  });
}

// "Up" means that a request has gone through everything.
async function firstRequest(url: string): Promise<void> {
  const end = Date.now() + READY_MS;
  for (;;) {
    const response = await fetch(`${url}/`).catch(() => undefined);
    await response?.arrayBuffer();
    if (response?.status === 200) return;
    if (Date.now() >= end)
      throw new Fault('NOT_READY', 'unavailable', 'no request through the ingress succeeded', {
        hint: '`meshctl status` tells what is not ready',
      });
    await pause(50);
  }
}

async function watch(
  context: Context,
  supervisor: Supervisor,
  state: StateDir,
  durationMs: number,
  stop: Promise<unknown>,
  format: 'table' | 'json',
): Promise<void> {
  const client = await AdminClient.open(supervisor.socketPath, 'cli');
  try {
    const end = durationMs > 0 ? pause(durationMs) : new Promise<never>(() => undefined);
    const over = Promise.race([stop, end]);
    if (context.isTerminal) {
      const { showTop } = await import('../views/top/screen.ts');
      const { sourceOf } = await import('./top-source.ts');
      await showTop({
        title: `demo shop  ingress ${supervisor.ingressUrl}  state ${state.root}`,
        by: 'service',
        windowMs: DEFAULT_WINDOW_MS,
        intervalMs: 1000,
        source: sourceOf(client, (stat) => stat),
        interrupted: over,
      });
      return;
    }
    if (format === 'table')
      context.print(
        `demo shop: ingress ${supervisor.ingressUrl}\nstate ${state.root}${durationMs > 0 ? `; ends by itself after ${printDuration(durationMs)}` : ''}\n${NOT_ISOLATED}\n`,
      );
    let interrupted = false;
    void stop.then(() => {
      interrupted = true;
    });
    let finished = false;
    void over.then(() => {
      finished = true;
    });
    while (!finished) {
      await Promise.race([pause(PRINT_EVERY_MS), over]);
      if (finished || format === 'json') continue;
      const stat = await client.request('stat', { windowMs: DEFAULT_WINDOW_MS });
      context.print(`\n${goldenTable(stat)}${completenessLine(stat)}\n`);
    }
    if (!interrupted || format === 'json') await summarize(context, client, Math.max(durationMs, DEFAULT_WINDOW_MS), format);
  } finally {
    client.close();
  }
}

async function summarize(context: Context, client: AdminClient, windowMs: number, format: 'table' | 'json'): Promise<void> {
  const stat = await client.request('stat', { windowMs });
  const trace = await recentTrace(
    client,
    false,
    (each) => each.complete && each.hops.some((hop) => hop.to === 'payments' && hop.verdict === 'allowed'),
  );
  const denial = await recentTrace(client, true, (each) => each.complete);
  const denied = denial?.hops.find((hop) => hop.verdict === 'denied');
  const { items } = await client.request('certs.list', null);
  if (format === 'json') {
    context.print(
      document('DemoSummary', {
        stat,
        trace: trace ?? null,
        denial: denied === undefined ? null : { requestId: denial?.requestId, ...denied },
        certificates: items,
      }),
    );
    return;
  }
  // In a clone nothing is on the PATH yet.
  const me = context.env['npm_lifecycle_event'] === undefined ? 'meshctl' : 'node bin/meshctl.js';
  const title = (text: string): string => `\n${paint('strong', text)}\n`;
  context.print(`${title('Golden signals')}${goldenTable(stat)}${completenessLine(stat)}\n`);
  if (trace !== undefined) context.print(`${title('One request')}${renderWaterfall(trace, context.columns)}`);
  if (denied !== undefined)
    context.print(
      `${title('One denial')}${denied.callerId} → ${denied.to} ${denied.method} ${denied.path}: ${denied.status}, ${denied.rule} (request ${denial?.requestId})\n`,
    );
  context.print(`${title('Certificates in use')}${certificatesTable(items)}`);
  context.print(
    `${title('Next')}  ${me} demo -d                 keep it running in the background\n  ${me} top                     golden signals, live\n  curl -i http://127.0.0.1:PORT/checkout      then: ${me} trace ID (its x-request-id)\n  ${me} policy show > p.yaml    change it, then: ${me} policy apply p.yaml\n  ${me} certs list              identities in use\n  ${me} down                    stop it\n`,
  );
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => {
    setTimeout(done, ms).unref();
  });
}
