// Where our own programs lie: TypeScript beside this file when run from source, bundles beside it when built.
import { fileURLToPath } from 'node:url';

export type Program = 'cli' | 'proxy' | 'control' | 'shop' | 'workload';

const SOURCES: Record<Program, string> = {
  cli: '../../cli/main.ts',
  proxy: '../../proxy/main.ts',
  control: '../local/control-main.ts',
  shop: '../../demo/shop.ts',
  workload: '../local/workload-main.ts',
};
const BUNDLES: Record<Program, string> = {
  cli: './meshctl.js',
  proxy: './proxy.js',
  control: './control.js',
  shop: './shop.js',
  workload: './workload.js',
};

/** SQLite, FFI and the like are experimental in Node 26; that is no news for an operator. */
const QUIET = '--disable-warning=ExperimentalWarning';

/**
 * Flags for the V8 of a program. Almost nothing that a request allocates outlives it: with a small young generation a proxy stays in
 * the processor's cache (a fifth less CPU per request than with the default of 16 MiB, and a third less memory). Its heap is small, so
 * helper threads cost more than they save (a fifth of the CPU for bodies). `gc` is for proxy/memory.ts.
 */
const FLAGS: Partial<Record<Program, readonly string[]>> = {
  workload: [QUIET],
  proxy: ['--max-semi-space-size=4', '--single-threaded-gc', '--expose-gc', QUIET],
};

/** Arguments for `process.execPath` that run the program. */
export function programArguments(program: Program): string[] {
  const source = import.meta.url.endsWith('.ts');
  const path = fileURLToPath(new URL(source ? SOURCES[program] : BUNDLES[program], import.meta.url));
  return [...(FLAGS[program] ?? []), ...(source ? [QUIET] : []), path];
}
