// The real Context: this process's terminal and directory, and the embedded mesh.
import { Fault } from '../base/fault.ts';
import type { Context, MeshConnection } from '../commands/context.ts';

const SAME_SIGNAL_MS = 1000;

export function makeContext(): Context {
  let interrupt: (name: NodeJS.Signals) => void = () => undefined;
  let firstAt = 0;
  const interrupted = new Promise<NodeJS.Signals>((resolve) => {
    interrupt = resolve;
  });
  let watching = false;
  const watch = (): void => {
    if (watching) return;
    watching = true;
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(name, () => {
        // A later one skips the clean-up. One Ctrl-C may come twice: from the terminal, and passed on by npm.
        if (firstAt !== 0 && Date.now() - firstAt > SAME_SIGNAL_MS) process.exit(130);
        firstAt ||= Date.now();
        interrupt(name);
      });
    }
  };
  // A reader that closes its end early (`meshctl policy lint … | head -1`) is no error and changes no exit code; what runs is stopped
  // as by a signal.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    if (watching) interrupt('SIGPIPE');
  });
  return {
    cwd: process.cwd(),
    env: process.env,
    isTerminal: process.stdin.isTTY === true && process.stdout.isTTY === true,
    get columns() {
      return process.stdout.columns ?? 80;
    },
    now: () => Date.now(),
    print: (text) => {
      process.stdout.write(text);
    },
    note: (text) => {
      process.stderr.write(text);
    },
    connect: async (state): Promise<MeshConnection> => {
      const { connectLocal } = await import('../platform/local/connect.ts');
      return connectLocal(state, process.cwd(), (text) => process.stderr.write(`meshctl: ${text}\n`));
    },
    connectAuthority: async (dir, state) => {
      const { connectAuthority } = await import('../platform/local/connect.ts');
      return connectAuthority(dir, state, process.cwd(), (text) => process.stderr.write(`meshctl: ${text}\n`));
    },
    askSecret,
    get interrupted() {
      watch();
      return interrupted;
    },
  };
}

/** Reads a line from the terminal without showing it; the prompt goes to stderr. */
function askSecret(prompt: string): Promise<string> {
  const { stdin, stderr } = process;
  if (stdin.isTTY !== true) throw new Fault('USAGE', 'usage', 'there is no terminal to ask on', { hint: 'give --passphrase-file FILE' });
  stderr.write(prompt);
  return new Promise((resolve, reject) => {
    let text = '';
    const finish = (): void => {
      stdin.setRawMode(false);
      stdin.pause();
      stdin.removeListener('data', onData);
      stderr.write('\n');
    };
    const onData = (bytes: Buffer): void => {
      for (const c of bytes.toString('utf8')) {
        if (c === '\r' || c === '\n') {
          finish();
          return resolve(text);
        }
        if (c === '\u0003' || c === '\u0004') {
          finish();
          return reject(new Fault('USAGE', 'usage', 'nothing was given; nothing was done'));
        }
        if (c === '\u007f' || c === '\b') text = text.slice(0, -1);
        else text += c;
      }
    };
    stdin.setRawMode(true);
    stdin.resume();
    stdin.on('data', onData);
  });
}
