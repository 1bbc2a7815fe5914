// The state directory of an embedded mesh, and how one is found.
//
//   .meshctl/  lock  run/  ca/  db/  logs/  policy/  ctl.sock
//
// Found by --state, MESHCTL_STATE, the nearest .meshctl upwards, then the registry of live meshes.
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { Fault } from '../../base/fault.ts';
import { sha256 } from '../../base/hash.ts';
import { makePrivateDirectory, readJsonIfThere, writeAtomic } from '../node/files.ts';
import { takeLockAt } from '../node/lock.ts';
import { endProcess, isAlive, type ProcessRecord, processesOf, recordOf } from '../node/proc.ts';

export const STATE_NAME = '.meshctl';
/** sun_path holds 108 bytes with its end on Linux, 104 on macOS. */
export const MAX_SOCKET_PATH = 100;

export interface StateDir {
  readonly root: string;
  readonly lock: string;
  readonly run: string;
  readonly ca: string;
  readonly db: string;
  readonly logs: string;
  readonly policy: string;
}

export function stateDirAt(root: string): StateDir {
  const path = resolve(root);
  return {
    root: path,
    lock: join(path, 'lock'),
    run: join(path, 'run'),
    ca: join(path, 'ca'),
    db: join(path, 'db'),
    logs: join(path, 'logs'),
    policy: join(path, 'policy'),
  };
}

/** Makes the directories, 0700. A directory that others can read is mended. */
export function makeStateDir(state: StateDir): void {
  for (const path of [state.root, state.run, state.ca, state.db, state.logs, state.policy]) makePrivateDirectory(path);
}

/** The control socket's path. A long one lies in a runtime directory instead and is recorded in run/. */
export function chooseSocketPath(state: StateDir): string {
  const near = join(state.root, 'ctl.sock');
  if (Buffer.byteLength(near) <= MAX_SOCKET_PATH) return near;
  const runtime = process.env['XDG_RUNTIME_DIR'];
  const base =
    runtime !== undefined && isAbsolute(runtime)
      ? join(runtime, 'meshctl', sha256(state.root).slice(0, 16))
      : mkdtempSync(join(tmpdir(), 'meshctl-'));
  makePrivateDirectory(base);
  return join(base, 'ctl.sock');
}

/** What the supervisor writes of itself; how everybody else finds it. */
export interface SupervisorRecord {
  readonly schemaVersion: 1;
  readonly process: ProcessRecord;
  readonly meshFile: string;
  readonly meshName: string;
  readonly socketPath: string;
  readonly ingressUrl: string | undefined;
  readonly startedAtMs: number;
}

/** A process that the supervisor started, for whoever has to end it later. */
export interface ChildRecord extends ProcessRecord {
  readonly what: string;
  /** It leads a process group of its own. */
  readonly group: boolean;
}

export function readSupervisor(state: StateDir): SupervisorRecord | undefined {
  const record = readJsonIfThere(join(state.run, 'supervisor.json')) as SupervisorRecord | undefined;
  return record?.schemaVersion === 1 ? record : undefined;
}

export function writeSupervisor(state: StateDir, record: SupervisorRecord): void {
  writeAtomic(join(state.run, 'supervisor.json'), JSON.stringify(record));
}

export function readChildren(state: StateDir): ChildRecord[] {
  const list = readJsonIfThere(join(state.run, 'children.json'));
  return Array.isArray(list) ? (list as ChildRecord[]) : [];
}

export function writeChildren(state: StateDir, children: readonly ChildRecord[]): void {
  writeAtomic(join(state.run, 'children.json'), JSON.stringify(children));
}

/**
 * Ends what a killed supervisor left: the processes on record, and those that it had no time to record.
 * Gives their number. Each gets SIGTERM, and SIGKILL after the grace.
 */
export async function endLeftovers(state: StateDir, graceMs: number): Promise<number> {
  const recorded = readChildren(state).filter(isAlive);
  await Promise.all(recorded.map((child) => endProcess(child, child.group, graceMs)));
  const strays = processesOf(state.root);
  await Promise.all(strays.map((stray) => endProcess(stray, false, graceMs)));
  return recorded.length + strays.length;
}

/** Takes the lock of the state directory, or throws STATE_LOCKED naming the owner. A lock of a dead process is taken over. */
export function takeLock(state: StateDir): () => void {
  const taken = takeLockAt(state.lock, true);
  if (typeof taken === 'function') return taken;
  throw new Fault('STATE_LOCKED', 'conflict', `the state directory ${state.root} belongs to a running mesh (pid ${taken.pid})`, {
    hint: '`meshctl down` stops it, or choose another directory with --state',
  });
}

function stateHome(): string {
  const xdg = process.env['XDG_STATE_HOME'];
  // Relative values are invalid (XDG base directory specification 0.8).
  return join(xdg !== undefined && isAbsolute(xdg) ? xdg : join(homedir(), '.local', 'state'), 'meshctl');
}

/** A new directory for one demo. */
export function makeDemoState(): StateDir {
  const home = stateHome();
  makePrivateDirectory(home);
  return stateDirAt(mkdtempSync(join(home, 'demo-')));
}

interface Registered {
  readonly stateDir: string;
  readonly name: string;
  readonly demo: boolean;
  readonly process: ProcessRecord;
  readonly startedAtMs: number;
}

/** Enters a live mesh into the user's registry; the returned function takes it out. */
export function register(state: StateDir, name: string, demo: boolean): () => void {
  const directory = join(stateHome(), 'meshes');
  makePrivateDirectory(directory);
  const path = join(directory, `${sha256(state.root).slice(0, 16)}.json`);
  const entry: Registered = { stateDir: state.root, name, demo, process: recordOf(process.pid), startedAtMs: Date.now() };
  writeAtomic(path, JSON.stringify(entry));
  return () => rmSync(path, { force: true });
}

function liveMeshes(): Registered[] {
  const directory = join(stateHome(), 'meshes');
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((name) => name.endsWith('.json'))
    .map((name) => readJsonIfThere(join(directory, name)) as Registered | undefined)
    .filter((entry): entry is Registered => entry?.process !== undefined && isAlive(entry.process));
}

export interface Located {
  readonly state: StateDir;
  /** Something the user should know about the choice. */
  readonly note: string | undefined;
}

/** The state directory that a command means. Throws MESH_AMBIGUOUS (two live ones and no choice) or MESH_NONE. */
export function locateState(explicit: string | undefined, cwd: string): Located {
  const named = explicit ?? (process.env['MESHCTL_STATE'] || undefined);
  if (named !== undefined) {
    const state = stateDirAt(resolve(cwd, named));
    if (!isDirectory(state.root))
      throw new Fault('MESH_NONE', 'unavailable', `there is no state directory ${state.root}`, {
        hint: '`meshctl up` makes one beside the mesh file',
      });
    return { state, note: undefined };
  }
  for (let directory = resolve(cwd); ; directory = dirname(directory)) {
    if (isDirectory(join(directory, STATE_NAME))) return { state: stateDirAt(join(directory, STATE_NAME)), note: undefined };
    if (directory === dirname(directory)) break;
  }
  const live = liveMeshes().sort((a, b) => b.startedAtMs - a.startedAtMs);
  const others = live.filter((entry) => !entry.demo);
  const newest = live[0];
  if (newest === undefined)
    throw new Fault('MESH_NONE', 'unavailable', 'no mesh is running here', {
      hint: 'start one: `meshctl demo -d` for the bundled shop, or `meshctl init` and `meshctl up` for your own services',
    });
  if (others.length > 1 || (others.length === 1 && live.length > 1)) {
    throw new Fault(
      'MESH_AMBIGUOUS',
      'ambiguous',
      `several meshes are running: ${live.map((entry) => `${entry.name} (${entry.stateDir})`).join(', ')}`,
      { hint: 'choose one with --state DIR or MESHCTL_STATE' },
    );
  }
  const note = live.length > 1 ? `${live.length} demos are running; this is the newest, ${newest.stateDir}` : undefined;
  return { state: stateDirAt(newest.stateDir), note };
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
