// `npm run test:peers`: what other people's programs say of our certificates and of the Workload API. Needs go and python3 with their
// registries; what is missing is named and counts as not run.
//
//   zlint (RFC 5280 sources), go-spiffe, Python's cryptography and py-spiffe
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Workplace } from '../support/cli.ts';

const run = promisify(execFile);
const HERE = dirname(fileURLToPath(import.meta.url));
const KEYS = ['p256', 'p384', 'rsa2048', 'ed25519'];
const tools = mkdtempSync(join(tmpdir(), 'meshctl-peers-'));
let passed = 0;
let failed = 0;

async function check(what: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
    passed++;
    process.stdout.write(`√ ${what}\n`);
  } catch (error) {
    failed++;
    process.stdout.write(`× ${what}: ${error instanceof Error ? error.message.slice(0, 2000) : String(error)}\n`);
  }
}

function tool(what: string, make: () => string): string | undefined {
  try {
    return make();
  } catch (error) {
    process.stdout.write(`? ${what} is not here: ${error instanceof Error ? (error.message.split('\n')[0] ?? '') : ''}\n`);
    return undefined;
  }
}

const go = tool('go, or a module of it', () => {
  for (const file of ['go.mod', 'go.sum', 'peers.go']) copyFileSync(join(HERE, file), join(tools, file));
  execFileSync('go', ['build', '-o', 'peers', '.'], { cwd: tools, stdio: ['ignore', 'ignore', 'pipe'] });
  return join(tools, 'peers');
});
const python = tool('python3, or a package of it', () => {
  execFileSync('python3', ['-m', 'venv', join(tools, 'venv')], { stdio: ['ignore', 'ignore', 'pipe'] });
  const binary = join(tools, 'venv/bin/python');
  execFileSync(binary, ['-m', 'pip', '-q', 'install', 'cryptography', 'spiffe'], { stdio: ['ignore', 'ignore', 'pipe'] });
  return binary;
});

const place = new Workplace();
place.write('pass', 'correct horse battery\n');
const at = (...parts: string[]): string => join(place.directory, ...parts);
async function certs(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await place.run(['certs', ...args]);
  assert.equal(code, 0, stderr);
  return stdout;
}

for (const type of KEYS) {
  const ca = `ca-${type}`;
  // Python's verifier takes no URI constraints; zlint and go-spiffe judge an authority with them.
  for (const [name, more] of [
    [ca, []],
    [`${ca}-limited`, ['--name-constraints']],
  ] as const)
    await certs('init', '--dir', name, '--trust-domain', 'shop.example', '--passphrase-file', 'pass', '--key-type', type, ...more);
  for (const name of [ca, `${ca}-limited`]) {
    await certs('issue', 'web', '--dir', name, '--out', `out-${name}`);
    await certs(
      'issue',
      'gate',
      '--kind',
      'server',
      '--dns',
      'gate.shop.example',
      '--ip',
      '10.0.0.7',
      '--dir',
      name,
      '--out',
      `out-${name}`,
    );
    await certs('issue', 'batch', '--kind', 'client', '--dir', name, '--out', `out-${name}`);
    place.write(`${name}.json`, await certs('bundle', '--dir', name, '-o', 'spiffe'));
    await certs('crl', '--dir', name, '--out', `crl-${name}`);
    const out = `out-${name}`;
    for (const [from, to] of [
      [`${name}/root-1.pem`, 'root.pem'],
      [`${name}/root-1-key.pem`, 'root-key.pem'],
      [`${name}/peer-1.pem`, 'peer.pem'],
      [`crl-${name}/peer-1.crl`, 'peer.crl'],
      ['pass', 'pass'],
    ] as const)
      copyFileSync(at(from), at(out, to));
    if (go !== undefined) {
      const files = ['root-1', 'peer-1', 'edge-1'].map((each) => at(name, `${each}.pem`));
      const leaves = ['web', 'gate', 'batch'].map((each) => at(out, each, 'leaf.pem'));
      await check(`zlint finds nothing in six certificates of ${name}`, async () => {
        const { stdout } = await run(go, ['zlint', ...files, ...leaves]);
        assert.equal(stdout.match(/findings 0$/gm)?.length, 6, stdout);
      });
      await check(`go-spiffe verifies an SVID of ${name} by our bundle`, async () => {
        const { stdout } = await run(go, ['verify', at(out, 'web/chain.pem'), at(`${name}.json`), 'shop.example']);
        assert.equal(stdout.trim(), 'spiffe://shop.example/ns/default/sa/web <nil>');
      });
    }
    // Its verifier allows no Ed25519 and no URI constraints.
    if (python !== undefined && name === ca && type !== 'ed25519')
      await check(`Python's cryptography verifies leaves, keys and list of ${name}`, async () => {
        const { stdout } = await run(python, [join(HERE, 'peers.py'), 'cryptography', at(out)]);
        assert.equal(stdout.match(/verified$/gm)?.length, 4, stdout);
      });
  }
}

place.write(
  'service.js',
  `
const { spawn } = require('child_process');
const fs = require('fs');
for (const [name, command, args] of JSON.parse(process.env.CLIENTS)) spawn(command, args, { stdio: ['ignore', fs.openSync(name + '.out', 'w'), 'inherit'] });
require('http').createServer((q, s) => s.end('ok')).listen(process.env.PORT, '127.0.0.1');
`,
);
const clients = [
  ...(go === undefined ? [] : [['go-spiffe', go, ['workload']]]),
  ...(python === undefined ? [] : [['py-spiffe', python, [join(HERE, 'peers.py'), 'workload']]]),
];
place.write(
  'mesh.yaml',
  `apiVersion: meshctl.dev/v1
kind: Mesh
name: shop
services:
  asks: {command: [${process.execPath}, service.js], workloadApi: true, env: {CLIENTS: ${JSON.stringify(JSON.stringify(clients))}}}
`,
);
chmodSync(place.directory, 0o700);
assert.equal((await place.run(['up', '-d'])).code, 0);
for (const [name] of clients as [string][]) {
  const lines = (): { id: string; serial: string }[] =>
    existsSync(at(`${name}.out`))
      ? readFileSync(at(`${name}.out`), 'utf8')
          .split('\n')
          .filter((line) => line.startsWith('{'))
          .map((line) => JSON.parse(line) as { id: string; serial: string })
      : [];
  await check(`${name} gets its SVID from the Workload API, and follows a rotation of the root`, async () => {
    await until(`${name} has one`, () => lines().length > 0);
    assert.equal(lines()[0]?.id, 'spiffe://shop.local/ns/default/sa/asks');
    const before = lines().at(-1)?.serial;
    await certs('rotate', 'root');
    await until(`${name} has another`, () => lines().at(-1)?.serial !== before);
  });
}
await place[Symbol.asyncDispose]();
rmSync(tools, { recursive: true, force: true });
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed > 0 ? 1 : 0;

async function until(what: string, holds: () => boolean): Promise<void> {
  const end = Date.now() + 15_000;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`not in time: ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}
