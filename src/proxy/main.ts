// The proxy's process: start message on descriptor 3 → start → serve → drain on SIGTERM.
// Its module graph holds nothing of the command line and no package.
import { Socket } from 'node:net';
import { Fault, messageOf } from '../base/fault.ts';
import { encodeFrame, FrameDecoder } from '../base/frames.ts';
import { type ProxyReport, parseBootstrap, type TokenMessage } from './bootstrap.ts';
import { type RunningProxy, startProxy } from './start.ts';

const SUPERVISOR_FD = 3;

function log(line: string): void {
  process.stdout.write(`${new Date().toISOString()} ${line}\n`);
}

function main(): void {
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
  const stop = (): void => {
    if (running === undefined) process.exit(0);
    running.stop().then(
      () => process.exit(0),
      (error: unknown) => {
        log(`stopping failed: ${messageOf(error)}`);
        process.exit(1);
      },
    );
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
          running?.rejoin((message as TokenMessage).token);
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
  process.on('SIGTERM', stop);
  // Ctrl-C in a terminal reaches the whole group; the supervisor decides when its proxies stop.
  process.on('SIGINT', () => undefined);
  process.on('SIGHUP', () => undefined);
}

main();
