// Builds dist/ from src/ with esbuild: one bundle a program, heavy parts as chunks that are loaded when used.
// Run by `npm run build` and `prepare`; by the launcher when dist/ is missing or older than src/.
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const source = join(root, 'src');
const target = join(root, 'dist');
const stamp = join(target, 'meshctl.js');
const lock = join(root, 'node_modules', '.meshctl-build.lock');
const STALE_LOCK_MS = 60_000;

const PROGRAMS = {
  meshctl: 'cli/main.ts',
  proxy: 'proxy/main.ts',
  control: 'platform/local/control-main.ts',
  shop: 'demo/shop.ts',
  workload: 'platform/local/workload-main.ts',
};

function newest(directory) {
  let latest = 0;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    latest = Math.max(latest, entry.isDirectory() ? newest(path) : statSync(path).mtimeMs);
  }
  return latest;
}

function isFresh(since) {
  return existsSync(stamp) && statSync(stamp).mtimeMs >= since;
}

async function build() {
  const { build: bundle } = await import('esbuild');
  const began = new Date();
  const fresh = `${target}.${process.pid}`;
  await bundle({
    absWorkingDir: root,
    entryPoints: Object.entries(PROGRAMS).map(([out, file]) => ({ in: join(source, file), out })),
    outdir: fresh,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node26',
    chunkNames: 'chunk-[hash]',
    define: { 'process.env.NODE_ENV': '"production"', 'process.env.DEV': '"false"' },
    alias: { 'react-devtools-core': join(root, 'bin', 'empty.js') },
    // Packages in CommonJS ask for Node's modules by require().
    banner: { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" },
    minifySyntax: true,
    legalComments: 'none',
    logLevel: 'warning',
    metafile: false,
  });
  utimesSync(join(fresh, 'meshctl.js'), began, began);
  const old = `${target}.old-${process.pid}`;
  if (existsSync(target)) renameSync(target, old);
  renameSync(fresh, target);
  rmSync(old, { recursive: true, force: true });
}

async function underLock(isDone, work) {
  mkdirSync(dirname(lock), { recursive: true });
  for (;;) {
    try {
      const fd = openSync(lock, 'wx');
      writeSync(fd, String(process.pid));
      closeSync(fd);
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      if (isDone()) return;
      const held = statSync(lock, { throwIfNoEntry: false });
      if (held !== undefined && (Date.now() - held.mtimeMs > STALE_LOCK_MS || !isAlive(Number(readFileSync(lock, 'utf8')))))
        rmSync(lock, { force: true });
      await new Promise((done) => setTimeout(done, 50));
    }
  }
  try {
    if (!isDone()) await work();
  } finally {
    rmSync(lock, { force: true });
  }
}

function isAlive(pid) {
  if (!(pid > 0)) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Builds when dist/ is older than src/; two at once build once. */
export async function buildIfStale() {
  const since = newest(source);
  if (isFresh(since)) return;
  if (!existsSync(join(root, 'node_modules', 'esbuild'))) {
    if (existsSync(stamp)) return;
    process.stderr.write('meshctl: nothing is installed yet: run `npm ci`\n');
    process.exit(4);
  }
  process.stderr.write('meshctl: building dist/ (once)\n');
  await underLock(() => isFresh(since), build);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const since = newest(source);
  await underLock(() => isFresh(since), build);
}
