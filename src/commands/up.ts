// `meshctl up`: runs a mesh file. In the foreground until it is interrupted, or in the background with -d.
// When the state directory's mesh runs already, the file is applied to it and what changed is printed.
import { dirname, join, resolve } from 'node:path';
import { Fault, messageOf } from '../base/fault.ts';
import { connectLocal } from '../platform/local/connect.ts';
import { readSupervisor, STATE_NAME, type StateDir, stateDirAt } from '../platform/local/state-dir.ts';
import { Supervisor } from '../platform/local/supervisor.ts';
import { isAlive } from '../platform/node/proc.ts';
import { type Condition, parseCondition } from '../signals/conditions.ts';
import type { Stat } from '../signals/golden.ts';
import { commandWords, lookOut, runForAlert } from './alerts.ts';
import type { Context, Input, Run } from './context.ts';
import { announce, detach, isDetachedChild, printDetached } from './detach.ts';
import { document } from './document.ts';
import { durationOption, flag, outputOption, stateOption, textOption } from './input.ts';
import { type LoadedMesh, loadMesh } from './mesh-file.ts';
import { readConditions } from './stat.ts';
import { ISOLATED, NOT_ISOLATED } from './status.ts';

const DEFAULT_TIMEOUT_MS = 30_000;
const APPLY_TIMEOUT_MS = 60_000;
const ALERT_WINDOW_MS = 60_000;
const ALERT_EVERY_MS = 5000;
const DEFAULT_ALERTS = ['success<99%', 'ready<100%'];

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const timeoutMs = durationOption(input, 'timeout', 'timeout') ?? DEFAULT_TIMEOUT_MS;
  const mesh = loadMesh(context, textOption(input, 'file'));
  const explicit = stateOption(input) ?? (context.env['MESHCTL_STATE'] || undefined);
  const state = stateDirAt(explicit === undefined ? join(dirname(mesh.path), STATE_NAME) : resolve(context.cwd, explicit));
  const resetPolicy = flag(input, 'resetPolicy');
  const isolate = flag(input, 'isolate');
  const alerts = readAlerts(input);
  const background = isDetachedChild(context.env);
  const owner = readSupervisor(state);
  if (owner !== undefined && isAlive(owner.process)) return applyAgain(context, state, mesh, { resetPolicy, isolate, alerts }, format);
  if (flag(input, 'detach') && !background) {
    const words = [
      'up',
      '-d',
      '-f',
      mesh.path,
      '--state',
      state.root,
      '--timeout',
      `${timeoutMs}ms`,
      ...(resetPolicy ? ['--reset-policy'] : []),
      ...(isolate ? ['--isolate'] : []),
      ...(alerts === undefined ? [] : ['--on-alert', alerts.command, ...alerts.conditions.flatMap(({ text }) => ['--alert-if', text])]),
    ];
    printDetached(context, format, 'Up', await detach(context, words));
    return 0;
  }
  const stop = context.interrupted;
  let supervisor: Supervisor | undefined;
  try {
    supervisor = await Supervisor.start({
      state,
      meshFile: mesh.path,
      spec: mesh.spec,
      demo: false,
      resetPolicy,
      isolate,
      say: (line) => context.note(`${line}\n`),
    });
    const interrupted = await Promise.race([supervisor.whenReady(timeoutMs).then(() => undefined), stop]);
    if (background)
      announce({ ready: { ingressUrl: supervisor.ingressUrl ?? null, stateDir: state.root, pid: process.pid, dashboardUrl: null } });
    else if (interrupted === undefined) greet(context, supervisor, state, mesh, isolate);
  } catch (error) {
    const fault = Fault.from(error);
    // In the foreground services that are not ready yet may still become so: the user sees them and decides.
    if (supervisor === undefined || background || fault.code !== 'NOT_READY') {
      await supervisor?.stop();
      if (background) announce({ fault: fault.toRecord() });
      throw fault;
    }
    context.note(`meshctl: ${fault.message}\n  ${fault.hint}\n`);
  }
  if (alerts !== undefined) void watchFor(context, state, alerts);
  await stop;
  if (!background) context.note('stopping\n');
  await supervisor.stop();
  return 0;
};

interface Alerts {
  readonly command: string;
  readonly words: readonly string[];
  readonly conditions: readonly Condition[];
}

function readAlerts(input: Input): Alerts | undefined {
  const command = textOption(input, 'onAlert');
  const asked = readConditions(input, 'alertIf', 'alert-if');
  if (command !== undefined)
    return {
      command,
      words: commandWords('on-alert', command),
      conditions: asked.length > 0 ? asked : DEFAULT_ALERTS.flatMap((text) => parseCondition(text) ?? []),
    };
  if (asked.length > 0)
    throw new Fault('USAGE', 'usage', '`--alert-if` says when, and nothing says what to run then', { hint: 'add --on-alert COMMAND' });
  return undefined;
}

/** Until the mesh is stopped: the command is run when a condition begins, and when it ends. */
async function watchFor(context: Context, state: StateDir, { words, conditions }: Alerts): Promise<void> {
  const note = (text: string): void => context.note(text);
  const read = async (): Promise<Stat> => {
    const mesh = await connectLocal(state.root, context.cwd, () => undefined);
    try {
      return await mesh.request('stat', { windowMs: ALERT_WINDOW_MS });
    } finally {
      mesh.close();
    }
  };
  try {
    await lookOut({
      read,
      conditions,
      intervalMs: ALERT_EVERY_MS,
      stop: context.interrupted,
      tell: (alert) => runForAlert(words, alert, note),
      note,
    });
  } catch (error) {
    note(`meshctl: nobody looks out for alerts any more: ${messageOf(error)}\n`);
  }
}

function greet(context: Context, supervisor: Supervisor, state: StateDir, { spec }: LoadedMesh, isolate: boolean): void {
  const instances = Object.values(spec.services).reduce((sum, service) => sum + service.instances, 0);
  context.note(
    `mesh ${spec.name}: ${instances} instances of ${Object.keys(spec.services).length} services are ready${supervisor.ingressUrl === undefined ? '' : `, ingress ${supervisor.ingressUrl}`}\nstate ${state.root}\n${isolate ? ISOLATED : NOT_ISOLATED}\nCtrl-C stops it; \`meshctl top\`, \`meshctl status\` and \`meshctl logs\` work from another terminal\n`,
  );
}

async function applyAgain(
  context: Context,
  state: StateDir,
  mesh: LoadedMesh,
  { resetPolicy, isolate, alerts }: { resetPolicy: boolean; isolate: boolean; alerts: Alerts | undefined },
  format: 'table' | 'json',
): Promise<number> {
  const client = await connectLocal(state.root, context.cwd, (text) => context.note(`${text}\n`));
  try {
    if (isolate && !(await client.request('status', null)).isolated)
      throw new Fault('STATE_LOCKED', 'conflict', 'this mesh runs without isolation, and a running one is not moved', {
        hint: '`meshctl down`, then `up --isolate`',
      });
    if (alerts !== undefined)
      throw new Fault('STATE_LOCKED', 'conflict', 'this mesh runs, and whom it tells of alerts was said when it began', {
        hint: '`meshctl down`, then `up --on-alert`; or `meshctl watch --exec` beside it',
      });
    const applied = (await client.ask('supervisor.apply', { spec: mesh.spec, meshFile: mesh.path, resetPolicy }, APPLY_TIMEOUT_MS)) as {
      changes: string[];
      ingressUrl: string | undefined;
      pid: number;
    };
    if (format === 'json')
      context.print(
        document('UpApplied', { pid: applied.pid, stateDir: state.root, ingressUrl: applied.ingressUrl ?? null, changes: applied.changes }),
      );
    else context.print(applied.changes.length === 0 ? `already running (pid ${applied.pid})\n` : `${applied.changes.join('\n')}\n`);
    return 0;
  } finally {
    client.close();
  }
}
