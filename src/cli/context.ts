// The real Context: this process's terminal and directory, and the embedded mesh.
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
    get interrupted() {
      watch();
      return interrupted;
    },
  };
}
