// The proxy's process: start message → start → serve → drain on SIGTERM.
// The message comes on descriptor 3 from a supervisor, or in the file that the first argument names (`meshctl proxy run`).
// Its module graph holds nothing of the command line and no package.
import { readFileSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { dirname } from 'node:path';
import { exitCodeFor } from '../base/exit.ts';
import { Fault, messageOf } from '../base/fault.ts';
import { encodeFrame, FrameDecoder } from '../base/frames.ts';
import { type ProbeMessage, type ProxyReport, parseBootstrap, type Standalone, type TokenMessage } from './bootstrap.ts';
import { probe } from './net/probe.ts';
import { type RunningProxy, startProxy } from './start.ts';

const SUPERVISOR_FD = 3;

function log(line: string): void {
  process.stdout.write(`${new Date().toISOString()} ${line}\n`);
}

function stopOnSignals(current: () => RunningProxy | undefined): void {
  process.on('SIGTERM', () => {
    const running = current();
    if (running === undefined) process.exit(0);
    running.stop().then(
      () => process.exit(0),
      (error: unknown) => {
        log(`stopping failed: ${messageOf(error)}`);
        process.exit(1);
      },
    );
  });
}

function supervised(): void {
  const supervisor = new Socket({ fd: SUPERVISOR_FD });
  const decoder = new FrameDecoder();
  let running: RunningProxy | undefined;
  let begun = false;
  const report = (message: ProxyReport): void => {
    if (supervisor.writable) supervisor.write(encodeFrame(message));
  };
  const fail = (error: unknown): void => {
    const fault = Fault.from(error);
    log(`cannot start: ${fault.message}`);
    if (supervisor.writable)
      supervisor.write(encodeFrame({ kind: 'failed', fault: fault.toRecord() } satisfies ProxyReport), () => process.exit(1));
    else process.exit(1);
  };
  // The supervisor may die: the proxy goes on serving without it, unless it had not begun.
  supervisor.on('error', () => undefined);
  supervisor.on('close', () => {
    if (!begun) process.exit(1);
  });
  supervisor.on('data', (bytes: Buffer) => {
    try {
      for (const message of decoder.push(bytes)) {
        if (begun) {
          const asked = message as TokenMessage | ProbeMessage;
          if (asked.kind === 'token') running?.rejoin(asked.token);
          else void probe(asked.port, asked.path).then((ok) => report({ kind: 'probed', id: asked.id, ok }));
          continue;
        }
        begun = true;
        startProxy(parseBootstrap(message), report, log).then((proxy) => {
          running = proxy;
        }, fail);
      }
    } catch (error) {
      fail(error);
    }
  });
  stopOnSignals(() => running);
  // Ctrl-C in a terminal reaches the whole group; the supervisor decides when its proxies stop.
  process.on('SIGINT', () => undefined);
  process.on('SIGHUP', () => undefined);
}

async function alone(file: string): Promise<void> {
  let running: RunningProxy | undefined;
  stopOnSignals(() => running);
  process.on('SIGINT', () => process.kill(process.pid, 'SIGTERM'));
  const start = JSON.parse(readFileSync(file, 'utf8')) as Standalone;
  rmSync(dirname(file), { recursive: true });
  running = await startProxy(
    start,
    (report) => {
      if (report.kind === 'listening') log(`listening: ${describe(report)}`);
    },
    log,
  );
  process.on('SIGHUP', () => running?.reload());
}

function describe({ inbound, outbound, forward, ingress, capture }: Extract<ProxyReport, { kind: 'listening' }>): string {
  return [
    ...Object.entries(inbound).map(([name, port]) => `inbound ${name} ${port}`),
    ...Object.entries(outbound).map(([name, port]) => `outbound ${name} ${port}`),
    ...(forward === undefined ? [] : [`forward ${forward}`]),
    ...(ingress === undefined ? [] : [`ingress ${ingress}`]),
    ...(capture === undefined ? [] : [`capture ${capture}`]),
  ].join(', ');
}

const file = process.argv[2];
if (file === undefined) supervised();
else
  alone(file).catch((error: unknown) => {
    const fault = Fault.from(error);
    process.stderr.write(`meshctl: ${fault.message} (${fault.code})\n`);
    process.exit(exitCodeFor(fault.kind));
  });
