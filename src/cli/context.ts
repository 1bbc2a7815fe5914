// The real Context: this process's terminal and directory, and the embedded mesh.
import type { Context, MeshConnection } from '../commands/context.ts';

export function makeContext(): Context {
  let interrupt: (name: NodeJS.Signals) => void = () => undefined;
  const interrupted = new Promise<NodeJS.Signals>((resolve) => {
    interrupt = resolve;
  });
  let seen = false;
  let watching = false;
  const watch = (): void => {
    if (watching) return;
    watching = true;
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(name, () => {
        // The second one skips the clean-up.
        if (seen) process.exit(130);
        seen = true;
        interrupt(name);
      });
    }
  };
  return {
    cwd: process.cwd(),
    env: process.env,
    stdin: process.stdin,
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
