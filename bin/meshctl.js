#!/usr/bin/env node
// Starts meshctl on the Node that the project brings. Written for old Nodes: it runs on whatever the host has.
//
//   host Node new enough ─► the program is loaded here
//   older                ─► handed over to the brought Node: signals, terminal and exit status are passed on
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const NEEDED_MAJOR = 26;
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const program = join(root, 'dist', 'meshctl.js');

// Found by package resolution, never by PATH.
function broughtNode() {
  const require = createRequire(import.meta.url);
  for (const name of [`node-${process.platform}-${process.arch}`, `node-bin-${process.platform}-${process.arch}`]) {
    try {
      return join(dirname(require.resolve(`${name}/package.json`)), 'bin', 'node');
    } catch {
      // Not this name.
    }
  }
  return undefined;
}

function handOver(node) {
  const child = spawn(node, [program, ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2']) {
    // Ctrl-C reaches the whole terminal group by itself; what is sent to this pid alone is passed on.
    process.on(name, () => {
      if (name !== 'SIGINT' || !process.stdin.isTTY) child.kill(name);
    });
  }
  child.on('error', (error) => {
    process.stderr.write(`meshctl: cannot start ${node}: ${error.message}\n`);
    process.exit(4);
  });
  child.on('exit', (code, name) => {
    if (name === null) process.exit(code === null ? 4 : code);
    process.removeAllListeners(name);
    process.kill(process.pid, name);
  });
}

if (existsSync(join(root, 'src'))) {
  const { buildIfStale } = await import('./build.js');
  await buildIfStale();
}
if (!existsSync(program)) {
  process.stderr.write('meshctl: dist/ is missing and cannot be built here: run `npm ci`\n');
  process.exit(4);
}
if (Number(process.versions.node.split('.')[0]) >= NEEDED_MAJOR) {
  process.argv[1] = program;
  await import(pathToFileURL(program).href);
} else {
  const node = broughtNode();
  if (node === undefined) {
    process.stderr.write(
      `meshctl: Node ${NEEDED_MAJOR} is needed, this is ${process.versions.node}, and npm brought none for ${process.platform}-${process.arch}\n  run \`npm ci\` (optional dependencies must not be left out), or use Node ${NEEDED_MAJOR}\n`,
    );
    process.exit(4);
  }
  handOver(node);
}
