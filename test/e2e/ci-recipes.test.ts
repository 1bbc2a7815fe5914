// The recipes of docs/ci.md, as far as a machine without those services can try them: the YAML is read, and every meshctl step is run in a
// repository with a policy on a branch.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { parse } from 'yaml';
import { LAUNCHER, ROOT, Workplace } from '../support/cli.ts';

const place = new Workplace();
after(() => place[Symbol.asyncDispose]());
const git = (...args: string[]): string =>
  execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.com', ...args], { cwd: place.directory, encoding: 'utf8' });

const POLICY = `apiVersion: meshctl.dev/v1
kind: Policy
services: {web: {}, orders: {}}
allow:
  - web -> orders: GET /orders/*
tests:
  - name: web reads
    request: {from: web, to: orders, method: GET, path: /orders/1}
    expect: allow
`;
mkdirSync(join(place.directory, 'policies'));
mkdirSync(join(place.directory, 'bin'));
place.write('bin/meshctl', `#!/bin/sh\nexec '${process.execPath}' '${LAUNCHER}' "$@"\n`);
chmodSync(join(place.directory, 'bin/meshctl'), 0o755);
git('init', '-q', '-b', 'main');
place.write('policies/policy.yaml', POLICY);
git('add', '.');
git('commit', '-qm', 'before');
git('checkout', '-q', '-b', 'change');
place.write('policies/policy.yaml', POLICY.replace('GET /orders/*', 'GET|POST /orders/*'));
git('commit', '-qam', 'after');

const env = {
  ...place.env,
  PATH: `${join(place.directory, 'bin')}:${process.env['PATH']}`,
  BASE: 'main',
  CI_MERGE_REQUEST_DIFF_BASE_SHA: git('rev-parse', 'main').trim(),
  GITHUB_STEP_SUMMARY: join(place.directory, 'summary.md'),
};
const step = (script: string) => spawnSync('bash', ['-e', '-c', script], { cwd: place.directory, env, encoding: 'utf8', timeout: 60_000 });
const recipes = [...readFileSync(join(ROOT, 'docs/ci.md'), 'utf8').matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text = '']) => parse(text));

test('the steps of the GitHub Action run, and say what widened', () => {
  const { steps } = recipes[0].jobs.policy;
  const scripts = steps.flatMap(({ run }: { run?: string }) => (run?.includes('meshctl policy') ? [run] : []));
  assert.equal(scripts.length, 3);
  for (const script of scripts) assert.equal(step(script).status, 0, script);
  assert.equal(JSON.parse(readFileSync(join(place.directory, 'lint.sarif'), 'utf8')).version, '2.1.0');
  assert.match(readFileSync(env.GITHUB_STEP_SUMMARY, 'utf8'), /`web` \| `orders` \| `POST \/orders\/.*1 widened, 0 narrowed/s);
});

test('the script of the GitLab job runs and leaves its reports', () => {
  for (const script of recipes[1].policy.script) assert.equal(step(script).status, 0, script);
  for (const report of recipes[1].policy.artifacts.reports.junit)
    assert.match(readFileSync(join(place.directory, report), 'utf8'), /<testsuites tests="\d+" failures="0">/);
});

test('the hooks of pre-commit run, and stop a policy that is wrong', () => {
  const { hooks } = recipes[2].repos[0];
  for (const { entry } of hooks) assert.equal(step(entry).status, 0, entry);
  place.write('policies/wrong.yaml', POLICY.replace('orders: GET', 'odrers: GET').replace(/services.*\n/, ''));
  assert.equal(step(hooks[0].entry).status, 1);
  place.write('policies/wrong.yaml', '');
  execFileSync('rm', [join(place.directory, 'policies/wrong.yaml')]);
});

test('a step fails when the change is one that it is told to stop', () => {
  const result = step('meshctl policy diff main..HEAD --fail-if widened -- policies');
  assert.equal(result.status, 1);
  assert.match(result.stdout, /widened/);
  assert.equal(step('meshctl policy diff main..main --fail-if changed -- policies').status, 0);
  assert.equal(step('meshctl policy diff HEAD~1... --fail-if changed -- policies/policy.yaml').status, 1);
});

for (const [title, args, says] of [
  ['a revision that does not exist', 'nothing..HEAD -- policies', /`nothing` is no revision/],
  ['a revision that looks like a flag', '--nope..HEAD -- policies', /unknown option/],
  ['a range without a path', 'main..HEAD', /no path says what is compared/],
  ['a path that neither revision has', 'main..HEAD -- nowhere', /neither main nor HEAD has a policy file/],
  ['one policy', 'policies', /1 are named/],
  ['three policies', 'policies policies policies', /3 are named/],
] as const)
  test(`a diff of ${title} is a usage error`, () => {
    const result = step(`meshctl policy diff ${args}`);
    assert.equal(result.status, 2, result.stdout);
    assert.match(result.stderr, says);
    assert.equal(result.stdout, '');
  });
