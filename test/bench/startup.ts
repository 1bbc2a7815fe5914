// `npm run startup`: what starting costs, per command, as CPU time of the whole process (user and system).
// The brought Node alone is measured in the same run: read the ratio, machines are noisy.
import { spawnSync } from 'node:child_process';
import { LAUNCHER, Workplace } from '../support/cli.ts';

const ROUNDS = 9;
const COMMANDS: readonly (readonly string[])[] = [
  ['--version'],
  ['--help'],
  ['completion', 'bash'],
  ['policy', 'lint', 'policy.yaml'],
  ['certs', 'inspect', 'leaf.pem'],
  ['status'],
];

/** CPU milliseconds of one run, measured by the shell that waits for it. */
function cpuOf(argv: readonly string[], work: Workplace): { cpuMs: number; wallMs: number } {
  const began = performance.now();
  const out = spawnSync('bash', ['-c', `TIMEFORMAT='%U %S'; time "$0" "$@" >/dev/null 2>/dev/null`, process.execPath, ...argv], {
    cwd: work.directory,
    env: work.env,
    encoding: 'utf8',
  });
  const [user = 0, system = 0] = out.stderr.trim().split(' ').map(Number);
  return { cpuMs: (user + system) * 1000, wallMs: performance.now() - began };
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

await using work = new Workplace();
work.write('policy.yaml', 'apiVersion: meshctl.dev/v1\nkind: Policy\nallow: []\n');
work.write('leaf.pem', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
const rows = [
  ['(node alone)', ['-e', '0']] as const,
  ...COMMANDS.map((command) => [`meshctl ${command.join(' ')}`, [LAUNCHER, ...command]] as const),
];
const samples = rows.map(() => [] as { cpuMs: number; wallMs: number }[]);
for (let round = 0; round < ROUNDS; round++) for (const [i, [, argv]] of rows.entries()) samples[i]?.push(cpuOf(argv, work));
const base = median((samples[0] ?? []).map((sample) => sample.cpuMs));
process.stdout.write(
  `${'command'.padEnd(34)} CPU ms  ratio  wall ms   (medians of ${ROUNDS} interleaved rounds, Node ${process.versions.node})\n`,
);
rows.forEach(([name], i) => {
  const cpu = median((samples[i] ?? []).map((sample) => sample.cpuMs));
  const wall = median((samples[i] ?? []).map((sample) => sample.wallMs));
  process.stdout.write(
    `${name.padEnd(34)} ${cpu.toFixed(0).padStart(6)}  ${(cpu / base).toFixed(2).padStart(5)}  ${wall.toFixed(0).padStart(7)}\n`,
  );
});
