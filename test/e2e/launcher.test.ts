// bin/meshctl.js on whatever Node the host has: called from a clone, through a link, with signals and exit status passed on.
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, test } from 'node:test';
import { LAUNCHER, Workplace } from '../support/cli.ts';

const directory = mkdtempSync(join(tmpdir(), 'meshctl-link-'));
after(() => rmSync(directory, { recursive: true }));
const link = join(directory, 'meshctl');
symlinkSync(LAUNCHER, link);

/** The host's own Node: the first on PATH that is not one that npm brought. */
function hostNode(): { path: string; major: number } | undefined {
  for (const part of (process.env['PATH'] ?? '').split(delimiter)) {
    if (part.includes('node_modules')) continue;
    try {
      const path = join(part, 'node');
      const version = execFileSync(path, ['--version'], { encoding: 'utf8' });
      return { path, major: Number(/^v(\d+)/.exec(version)?.[1]) };
    } catch {
      // Not here.
    }
  }
  return undefined;
}

const host = hostNode();
const old = host !== undefined && host.major < 26;

for (const [title, file] of [
  ['from a clone', LAUNCHER],
  ['through a link', link],
] as const) {
  test(`an older host hands over to the brought Node, ${title}`, { skip: !old && 'the host has no older Node' }, () => {
    const out = JSON.parse(execFileSync(host?.path ?? '', [file, 'version', '-o', 'json'], { encoding: 'utf8', cwd: directory })) as {
      node: string;
    };
    assert.match(out.node, /^26\./);
  });
}

test('through a link, the kernel finds the interpreter by itself', () => {
  assert.match(execFileSync(link, ['--version'], { encoding: 'utf8' }), /^\d+\.\d+\.\d+\n$/);
});

test('the exit status is passed on', async () => {
  await using work = new Workplace();
  const node = host?.path ?? process.execPath;
  const code = await new Promise((resolve) =>
    execFile(node, [LAUNCHER, 'status'], { cwd: work.directory, env: work.env }, (error) => resolve(error?.code)),
  );
  assert.equal(code, 3);
});

test('a signal to the launcher ends the mesh behind it cleanly', { skip: !old && 'the host has no older Node' }, async () => {
  await using work = new Workplace();
  const code = await new Promise((resolve) => {
    const child = execFile(host?.path ?? '', [LAUNCHER, 'demo', '--duration', '0'], { cwd: work.directory, env: work.env }, (error) =>
      resolve(error === null ? 0 : (error.code ?? error.signal)),
    );
    child.stdout?.once('data', () => child.kill('SIGTERM'));
  });
  assert.equal(code, 0);
  assert.deepEqual(readdirSync(join(work.directory, 'home', 'meshctl')), ['meshes']);
});
