// Who may import whom (docs/architecture.md): rooms, doors, and the quarantine of heavy packages.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { build } from 'esbuild';
import { ROOT } from '../support/cli.ts';

interface Edge {
  readonly from: string;
  readonly to: string;
  readonly external: boolean;
  readonly dynamic: boolean;
}

async function graph(entries: readonly string[]): Promise<Edge[]> {
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: [...entries],
    bundle: true,
    format: 'esm',
    platform: 'node',
    packages: 'external',
    write: false,
    metafile: true,
    outdir: join(ROOT, 'none'),
    logLevel: 'error',
  });
  return Object.entries(metafile.inputs).flatMap(([from, { imports }]) =>
    imports.map(({ path, external, kind }) => ({ from, to: path, external: external === true, dynamic: kind === 'dynamic-import' })),
  );
}

const ENTRIES = [
  'src/cli/main.ts',
  'src/proxy/main.ts',
  'src/platform/local/control-main.ts',
  'src/demo/shop.ts',
  'src/platform/local/workload-main.ts',
];
const all = await graph(ENTRIES);
const room = (path: string): string => path.split('/')[1] ?? '';

const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  base: [],
  mesh: ['base'],
  certs: ['base', 'mesh'],
  policy: ['base', 'mesh'],
  signals: ['base', 'mesh'],
  traces: ['base', 'mesh'],
  control: ['base', 'mesh', 'certs', 'policy', 'signals', 'traces'],
  proxy: ['base', 'mesh', 'certs', 'policy', 'signals', 'traces'],
  demo: ['base'],
  views: ['base', 'mesh', 'signals', 'traces'],
  platform: ['base', 'mesh', 'certs', 'control', 'policy', 'signals', 'traces', 'proxy'],
  commands: ['base', 'mesh', 'certs', 'policy', 'signals', 'traces', 'control', 'views', 'demo', 'platform'],
  cli: ['base', 'commands', 'views', 'platform'],
};

test('each room imports only the rooms below it', () => {
  for (const { from, to, external } of all) {
    if (external || room(from) === room(to)) continue;
    assert.ok(MAY_IMPORT[room(from)]?.includes(room(to)), `${from} imports ${to}`);
  }
});

test("another room's files are entered by its doors: the files that lie directly in it", () => {
  for (const { from, to, external } of all) {
    // views and platform have their doors one level down: a screen, a world.
    if (external || room(from) === room(to) || ['views', 'platform'].includes(room(to))) continue;
    assert.equal(to.split('/').length, 3, `${from} imports ${to}`);
  }
});

test('a command reaches the mesh through its context; only those that run one on this machine know the platform', () => {
  const LOCAL = [
    'src/commands/demo.ts',
    'src/commands/up.ts',
    'src/commands/down.ts',
    'src/commands/logs.ts',
    'src/commands/detach.ts',
    'src/commands/proxy/run.ts',
    'src/commands/certs/init.ts',
    'src/commands/certs/place.ts',
    'src/commands/certs/backup.ts',
    'src/commands/certs/restore.ts',
  ];
  for (const { from, to, external } of all) {
    if (external || room(from) !== 'commands' || room(to) !== 'platform') continue;
    assert.ok(LOCAL.includes(from) || to === 'src/platform/node/files.ts', `${from} imports ${to}`);
  }
});

test('the proxy takes from other rooms only what a request needs', () => {
  const ALLOWED = [
    'policy/evaluate',
    'policy/path',
    'certs/peer',
    'certs/csr',
    'certs/key',
    'certs/profile',
    'certs/renewal',
    'signals/metrics',
    'traces/span',
    'traces/context',
  ];
  for (const { from, to, external } of all) {
    if (external || room(from) !== 'proxy' || ['proxy', 'mesh', 'base'].includes(room(to))) continue;
    assert.ok(
      ALLOWED.some((door) => to === `src/${door}.ts`),
      `${from} imports ${to}`,
    );
  }
});

const QUARANTINE: Readonly<Record<string, string>> = {
  'node-forge': 'src/certs/x509/',
  ink: 'src/views/',
  react: 'src/views/',
  chalk: 'src/views/',
  'cli-table3': 'src/views/',
  commander: 'src/cli/',
  yaml: 'src/base/',
  zod: 'src/base/decode.ts',
  '@grpc/grpc-js': 'src/platform/local/workload-main.ts',
  '@grpc/proto-loader': 'src/platform/local/workload-main.ts',
  'age-encryption': 'src/commands/certs/',
  nanotar: 'src/commands/certs/',
  '@kubernetes/client-node': 'src/platform/kube/',
};

test('each package lives in one place', () => {
  for (const { from, to, external } of all) {
    if (!external || to.startsWith('node:')) continue;
    const home = QUARANTINE[to];
    assert.ok(home !== undefined, `${from} imports the unknown package ${to}`);
    assert.ok(from.startsWith(home), `${from} imports ${to}, which lives in ${home}`);
  }
});

test('the proxy and the demo services load no package at all', async () => {
  for (const entry of ['src/proxy/main.ts', 'src/demo/shop.ts']) {
    for (const { from, to, external } of await graph([entry]))
      assert.ok(!external || to.startsWith('node:'), `${entry}: ${from} imports ${to}`);
  }
});

const PURE = ['mesh', 'policy', 'signals', 'views', 'base', 'traces', 'certs', 'control'];
const PURE_MAY = new Set(['node:crypto']);

test('pure rooms do no IO: of Node they know hashes and keys only', () => {
  for (const { from, to, external } of all) {
    if (!external || !to.startsWith('node:') || !PURE.includes(room(from))) continue;
    // What an address is, and which block holds it: functions, no sockets.
    if (from === 'src/policy/foreign/ip.ts' && to === 'node:net') continue;
    assert.ok(PURE_MAY.has(to), `${from} imports ${to}`);
  }
});

test('sockets of the proxy are opened in net/ and feed/ only', () => {
  for (const { from, to, external } of all) {
    if (!external || room(from) !== 'proxy' || !['node:net', 'node:tls', 'node:dgram', 'node:http', 'node:http2'].includes(to)) continue;
    assert.ok(
      ['src/proxy/net/', 'src/proxy/feed/', 'src/proxy/main.ts', 'src/proxy/credentials.ts'].some((home) => from.startsWith(home)),
      `${from} imports ${to}`,
    );
  }
});

test('there is no circle of imports between files', () => {
  const next = new Map<string, string[]>();
  for (const { from, to, external, dynamic } of all) if (!external && !dynamic) next.set(from, [...(next.get(from) ?? []), to]);
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    assert.ok(!path.includes(file), `circle: ${[...path.slice(path.indexOf(file)), file].join(' -> ')}`);
    if (done.has(file)) return;
    for (const each of next.get(file) ?? []) visit(each, [...path, file]);
    done.add(file);
  };
  for (const file of next.keys()) visit(file, []);
});
