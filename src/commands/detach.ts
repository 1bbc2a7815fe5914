// Running a foreground command in the background: the same command again in a process group of its own, its output in a log file;
// it tells on an inherited descriptor when it is up, or why it is not.
import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Fault, type FaultRecord } from '../base/fault.ts';
import { programArguments } from '../platform/node/programs.ts';
import type { Context } from './context.ts';
import { documentLine } from './document.ts';

const READY_FD = 3;
const MARK = 'MESHCTL_DETACHED';

export interface Detached {
  readonly ingressUrl: string | null;
  readonly stateDir: string;
  readonly pid: number;
  readonly dashboardUrl: null;
}

type Message = { readonly ready: Detached } | { readonly fault: FaultRecord };

let inBackground: boolean | undefined;

/** Whether this process is the one in the background. The mark is taken out of the environment: services do not inherit it. */
export function isDetachedChild(env: NodeJS.ProcessEnv): boolean {
  inBackground ??= env[MARK] === '1';
  delete env[MARK];
  return inBackground;
}

/** Called by the process in the background, once: it is up, or it failed. */
export function announce(message: Message): void {
  try {
    writeSync(READY_FD, `${JSON.stringify(message)}\n`);
    closeSync(READY_FD);
  } catch {
    // Whoever started it does not wait any more.
  }
}

/** Starts `words` in the background and waits for its announcement. Throws the fault that it reports. */
export async function detach(context: Context, words: readonly string[]): Promise<Detached> {
  const scratch = mkdtempSync(join(tmpdir(), 'meshctl-up-'));
  const logFile = join(scratch, 'output');
  const log = openSync(logFile, 'a', 0o600);
  const child = spawn(process.execPath, [...programArguments('cli'), ...words], {
    cwd: context.cwd,
    env: { ...context.env, [MARK]: '1' },
    stdio: ['ignore', log, log, 'pipe'],
    detached: true,
  });
  closeSync(log);
  const pipe = child.stdio[READY_FD] as Socket;
  let text = '';
  pipe.setEncoding('utf8');
  pipe.on('data', (part: string) => {
    text += part;
  });
  const ended = new Promise<void>((done) => {
    pipe.once('end', done);
    pipe.once('error', () => done());
    child.once('error', () => done());
  });
  await ended;
  child.unref();
  const output = readFileSync(logFile, 'utf8');
  rmSync(scratch, { recursive: true, force: true });
  const line = text.split('\n')[0] ?? '';
  if (line === '')
    throw new Fault(
      'DETACH',
      'unavailable',
      `the process in the background was ended before it was up${output.trim() === '' ? '' : `: ${output.trim().split('\n').at(-1)}`}`,
      { hint: 'run the same command again, without -d to see what it does' },
    );
  if (output.trim() !== '') context.note(output);
  const message = JSON.parse(line) as Message;
  if ('fault' in message) throw Fault.fromRecord(message.fault);
  return message.ready;
}

export function printDetached(context: Context, format: 'table' | 'json', kind: string, up: Detached): void {
  if (format === 'json') context.print(documentLine(kind, up));
  else context.print(`${up.ingressUrl === null ? '' : `ingress ${up.ingressUrl}\n`}state ${up.stateDir}\npid ${up.pid}\n`);
}
