// What a user types wrongly, and what the program says: a code, the place, the next thing to do; nothing on stdout, no stack.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { LAUNCHER, Workplace } from '../support/cli.ts';

for (const [title, args, code, expected] of [
  ['an unknown command', ['tpo'], 2, /`meshctl tpo` is no command \(did you mean `top`\?\)/],
  ['an unknown verb', ['policy', 'lnt', 'x'], 2, /`meshctl policy lnt` is no command \(did you mean `lint`\?\)/],
  ['a group without verb', ['certs'], 2, /`meshctl certs` wants a verb/],
  ['no command', [], 2, /a command is wanted/],
  ['an unknown flag', ['stat', '--windw', '1m'], 2, /unknown option `--windw` \(did you mean `--window`\?\)/],
  ['a flag without value', ['stat', '--window'], 2, /argument missing/],
  ['a missing argument', ['trace'], 2, /missing required argument `id`/],
  ['too many arguments', ['stat', 'a', 'b'], 2, /too many arguments/],
  ['a duration without unit', ['stat', '--window', '10'], 2, /`--window 10` is no duration/],
  ['an unknown output', ['stat', '-o', 'xml'], 2, /`-o xml` is not known here/],
  ['a trace id that is too short', ['trace', 'abc'], 2, /too short: at least 8/],
  ['a file that is not there', ['policy', 'lint', 'nowhere.yaml'], 2, /cannot read `nowhere\.yaml`: there is no such file/],
  ['a directory for a file', ['certs', 'inspect', '.'], 2, /it is a directory/],
  ['a file that is no certificate', ['certs', 'inspect', 'text'], 2, /holds no PEM block/],
  ['a mesh file that is not there', ['up'], 2, /there is no mesh\.yaml here or above/],
  [
    'a mesh file with errors',
    ['up', '-f', 'bad.yaml'],
    2,
    /bad\.yaml:5:9 .*unknown-key[\s\S]*did you mean `command`[\s\S]*bad\.yaml has an error/,
  ],
  ['no mesh to ask', ['status'], 3, /no mesh is running here[\s\S]*meshctl demo -d/],
  ['a state directory that is not there', ['stat', '--state', 'x'], 3, /there is no state directory/],
  ['a place where nothing can be written', ['init', 'text/x'], 2, /cannot write to .*text\/x: /],
  ['an unknown shell', ['completion', 'bsh'], 2, /there is no completion for `bsh` \(did you mean `bash`\?\)/],
  ['a load that is too high', ['demo', '--load', '100000'], 2, /a number from 0 to 200 is wanted/],
  ['a revision that is no number', ['policy', 'show', 'x'], 2, /no revision number/],
] as const) {
  test(`${title}: exit ${code}`, async () => {
    await using work = new Workplace();
    work.write('text', 'hello\n');
    work.write('bad.yaml', 'apiVersion: meshctl.dev/v1\nkind: Mesh\nname: x\nservices:\n  web: {comand: x, command: y}\n');
    const result = await work.run(args);
    assert.equal(result.code, code, result.stderr);
    assert.match(result.stderr, expected);
    assert.doesNotMatch(result.stderr, /^\s+at .*\d+:\d+\)$/m, 'no stack');
    assert.equal(result.stdout, '');
  });
}

test('a name that steers terminals is printed escaped', async () => {
  await using work = new Workplace();
  const result = await work.run(['policy', 'lint', 'a\u001b[2Jb']);
  assert.ok(!result.stderr.includes('\u001b'));
  assert.match(result.stderr, /a\\x1b\[2Jb/);
});

test('a reader that closes early changes no exit code', async () => {
  await using work = new Workplace();
  work.write('p.yaml', `apiVersion: meshctl.dev/v1\nkind: Policy\nallow:\n${'  - a b\n'.repeat(5000)}`);
  const { stdout } = spawnSync(
    'bash',
    ['-c', 'set -o pipefail; "$0" "$1" policy lint p.yaml | head -n 1; echo $?', process.execPath, LAUNCHER],
    { cwd: work.directory, env: work.env, encoding: 'utf8' },
  );
  assert.match(stdout, /^p\.yaml:4:5 .*\n1\n$/);
});

test('help explains every command with examples and exit codes, on stdout', async () => {
  await using work = new Workplace();
  for (const args of [['--help'], ['trace', '--help'], ['certs', '--help'], ['policy', 'apply', '-h']]) {
    const result = await work.run(args);
    assert.equal(result.code, 0);
    assert.match(result.stdout, /Usage: meshctl/);
    assert.equal(result.stderr, '');
  }
  assert.match(
    (await work.run(['trace', '--help'])).stdout,
    /Examples:\n {2}meshctl trace [\s\S]*EXIT CODES:\n {2}0 found\n {2}1 unknown id/,
  );
});

test('colours only where they are wanted', async () => {
  await using work = new Workplace();
  work.write('p.yaml', 'x: 1\n');
  const lint = async (env: NodeJS.ProcessEnv, ...more: string[]): Promise<boolean> =>
    (await work.run(['policy', 'lint', 'p.yaml', ...more], { env })).stdout.includes('\u001b[');
  assert.equal(await lint({}), false, 'not into a pipe');
  assert.equal(await lint({}, '--color', 'always'), true);
  assert.equal(await lint({ FORCE_COLOR: '1' }), true);
  assert.equal(await lint({ NO_COLOR: '1' }, '--color', 'always'), true);
  assert.equal(await lint({ NO_COLOR: '1' }), false);
});

test('`policy lint` reads stdin, prints one JSON document, and exits by --fail-on', async () => {
  await using work = new Workplace();
  const input = 'apiVersion: meshctl.dev/v1\nkind: Policy\nservices: {a: {}, b: {}, c: {}}\nallow:\n  - a -> b: any\n';
  const result = await work.run(['policy', 'lint', '-', '-o', 'json'], { input });
  assert.equal(result.code, 0);
  const report = JSON.parse(result.stdout) as { kind: string; findings: { rule: string; place: { file: string } }[] };
  assert.deepEqual(
    [report.kind, report.findings.map((finding) => [finding.rule, finding.place.file])],
    ['LintReport', [['unused-service', '<stdin>']]],
  );
  assert.equal((await work.run(['policy', 'lint', '-', '--fail-on', 'warning'], { input })).code, 1);
});
