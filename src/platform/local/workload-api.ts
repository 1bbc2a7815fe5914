// The supervisor's side of the Workload API: the process that serves it, while a service asks for it.
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, closeSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Backoff } from '../../base/backoff.ts';
import { encodeFrame } from '../../base/frames.ts';
import { sha256 } from '../../base/hash.ts';
import { endProcess, OWNER, recordOf } from '../node/proc.ts';
import { programArguments } from '../node/programs.ts';
import { openLog } from './logs.ts';
import { MAX_SOCKET_PATH, type StateDir } from './state-dir.ts';
import type { WorkloadInstance } from './workload-main.ts';

const GRACE_MS = 2000;
/** A long name's socket is called by its hash. */
const HASH_LETTERS = 16;

export class WorkloadServer {
  readonly #state: StateDir;
  readonly #controlSocket: string;
  readonly #directory: string;
  readonly #onChildren: () => void;
  readonly #backoff = new Backoff(100, 5000);
  #child: ChildProcess | undefined;
  #instances: readonly WorkloadInstance[] = [];
  #told = '';
  #stopping = false;

  /** `shared`: a directory that the users of isolated services may enter. */
  constructor(state: StateDir, controlSocket: string, shared: string | undefined, onChildren: () => void) {
    this.#state = state;
    this.#controlSocket = controlSocket;
    this.#onChildren = onChildren;
    this.#directory = shared ?? directoryFor(state);
    rmSync(this.#directory, { recursive: true, force: true });
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    // Whatever the umask: isolated services pass through to their own socket and look at nothing.
    if (shared !== undefined) chmodSync(this.#directory, 0o711);
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  socketPath(instance: string): string {
    const path = join(this.#directory, `${instance}.sock`);
    return Buffer.byteLength(path) <= MAX_SOCKET_PATH ? path : join(this.#directory, `${sha256(instance).slice(0, HASH_LETTERS)}.sock`);
  }

  /** Which instances there are; the process is started with the first and told of every change. */
  use(instances: readonly WorkloadInstance[]): void {
    this.#instances = instances;
    if (instances.length > 0 && this.#child === undefined) this.#start();
    this.#tell();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    if (this.#child?.pid !== undefined) await endProcess(recordOf(this.#child.pid), false, GRACE_MS);
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #tell(): void {
    const text = JSON.stringify(this.#instances);
    if (this.#child === undefined || text === this.#told) return;
    this.#told = text;
    (this.#child.stdio[3] as Socket).write(encodeFrame({ instances: this.#instances }));
  }

  #start(): void {
    if (this.#stopping) return;
    const log = openLog(this.#state, 'workload-api');
    const child = spawn(process.execPath, [...programArguments('workload'), this.#controlSocket], {
      stdio: ['ignore', log, log, 'pipe'],
      env: { PATH: process.env['PATH'], [OWNER]: this.#state.root },
      detached: true,
    });
    closeSync(log);
    (child.stdio[3] as Socket).on('error', () => undefined);
    this.#child = child;
    this.#told = '';
    this.#onChildren();
    child.once('exit', () => {
      if (this.#child !== child) return;
      this.#child = undefined;
      if (this.#stopping) return;
      setTimeout(() => this.use(this.#instances), this.#backoff.next());
    });
  }
}

/** Beside the state, unless not even the hash of a name would fit into a socket's path there. */
function directoryFor(state: StateDir): string {
  const near = join(state.run, 'w');
  return Buffer.byteLength(near) + HASH_LETTERS + '/.sock'.length <= MAX_SOCKET_PATH ? near : mkdtempSync(join(tmpdir(), 'meshctl-w-'));
}
