// What the program prints, what stands in docs/, and what the code holds are the same.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CATALOGUE } from '../../src/commands/catalogue.ts';
import { VERSION } from '../../src/commands/version-number.ts';
import { REFUSALS } from '../../src/mesh/refusal.ts';
import { RULE_PAGES } from '../../src/policy/form-pages.ts';
import { LINT_RULES } from '../../src/policy/rules.ts';
import { LAUNCHER, ROOT } from '../support/cli.ts';
import { generatedFiles } from '../support/generated.ts';

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

for (const [path, text] of generatedFiles()) {
  test(`${path} is what the program knows (npm run snap)`, () => assert.equal(read(path), text));
}

for (const [shell, file] of [
  ['bash', 'meshctl.bash'],
  ['zsh', '_meshctl'],
  ['fish', 'meshctl.fish'],
  ['powershell', 'meshctl.ps1'],
] as const) {
  test(`\`completion ${shell}\` prints completions/${file}`, () =>
    assert.equal(execFileSync(process.execPath, [LAUNCHER, 'completion', shell], { encoding: 'utf8' }), read(`completions/${file}`)));
}

test('bash completion offers commands, verbs, flags and values', () => {
  const complete = (words: string[]): string[] =>
    execFileSync(
      'bash',
      [
        '-c',
        `source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$((\${#COMP_WORDS[@]}-1)); _meshctl; printf '%s\\n' "\${COMPREPLY[@]}"`,
        join(ROOT, 'completions/meshctl.bash'),
        ...words,
      ],
      { encoding: 'utf8' },
    )
      .trim()
      .split('\n');
  assert.deepEqual(complete(['meshctl', 'st']), ['status', 'stat']);
  assert.deepEqual(complete(['meshctl', 'certs', 'i']), ['init', 'issue', 'inspect']);
  assert.ok(complete(['meshctl', 'policy', 'apply', '--']).includes('--dry-run'));
  assert.deepEqual(complete(['meshctl', 'stat', '-o', 'j']), ['json']);
});

test('the version is that of package.json and has an entry in the changelog', () => {
  assert.equal(VERSION, (JSON.parse(read('package.json')) as { version: string }).version);
  assert.ok(read('CHANGELOG.md').includes(`[${VERSION}]`) || read('CHANGELOG.md').includes('[Unreleased]'));
});

const sources = (readdirSync(join(ROOT, 'src'), { recursive: true }) as string[]).filter((file) => file.endsWith('.ts'));

test('every fault code has a line in docs/faults.md, and every line a code', () => {
  const used = new Set(
    sources.flatMap((file) =>
      [...read(`src/${file}`).matchAll(/new Fault\(\s*(?:\w+ \? )?'([A-Z_]+)'(?: : '([A-Z_]+)')?/g)]
        .flatMap((match) => [match[1] ?? '', match[2] ?? ''])
        .filter((code) => code !== ''),
    ),
  );
  for (const match of sources.flatMap((file) => [...read(`src/${file}`).matchAll(/#refuse\('([A-Z_]+)'/g)])) used.add(match[1] ?? '');
  const documented = new Set([...read('docs/faults.md').matchAll(/^\| `([A-Z_]+)` \|/gm)].map((match) => match[1] ?? ''));
  assert.deepEqual([...used].sort(), [...documented].sort());
});

test('every refusal of the proxy is explained in docs/faults.md', () => {
  const documented = new Set([...read('docs/faults.md').matchAll(/^\| `([a-z_]+)` \|/gm)].map((match) => match[1] ?? ''));
  assert.deepEqual([...documented].sort(), [...REFUSALS].sort());
});

test('each lint rule has a file of its own with its id as name, and each page of docs/rules a rule', () => {
  assert.deepEqual(LINT_RULES.map((rule) => `${rule.id}.ts`).sort(), readdirSync(join(ROOT, 'src/policy/rules')).sort());
  const pages = readdirSync(join(ROOT, 'docs/rules')).filter((name) => name !== 'README.md');
  assert.deepEqual(RULE_PAGES.map(({ id }) => `${id}.md`).sort(), pages.sort());
});

test('every finding in the sources is of a rule that has a page', () => {
  const known = new Set(RULE_PAGES.map(({ id }) => id));
  for (const file of sources.filter((name) => name.startsWith('policy/')))
    for (const [, id = ''] of read(`src/${file}`).matchAll(/\brule: '([a-z0-9-]+)'/g)) assert.ok(known.has(id), `${file}: ${id}`);
});

test('each command of the catalogue can be loaded and names its exit codes', async () => {
  for (const command of CATALOGUE) {
    assert.equal(typeof (await command.load()).run, 'function', command.path.join(' '));
    assert.match(command.exitCodes, /^0/);
    assert.ok(command.examples.every((example) => example.startsWith('meshctl ')));
  }
});

test('every claim of the threat model names a test that exists', () => {
  const rows = [...read('docs/threat-model.md').matchAll(/^\| .+ \| `(test\/[^`]+)`: (.+) \|$/gm)];
  assert.ok(rows.length > 15);
  for (const [, file = '', title = ''] of rows) assert.ok(read(file).includes(title), `${file}: ${title}`);
});

test('every source file that the documents name exists', () => {
  for (const page of ['docs/architecture.md', 'docs/life-of-a-request.md']) {
    let folder = '';
    for (const [, name = ''] of read(page).matchAll(/`(?:src\/)?([a-z0-9/-]+\.ts)`/g)) {
      // A bare name stands in the folder of the one before, or in proxy/.
      if (name.includes('/') && existsSync(join(ROOT, 'src', name))) folder = join(name, '..');
      const places = [join('src', name), join('src', folder, name), join('src/proxy', name), join('test', name)];
      assert.ok(
        places.some((place) => existsSync(join(ROOT, place))),
        `${page}: ${name}`,
      );
    }
  }
});

test('links between documents lead somewhere', () => {
  for (const page of [
    'README.md',
    ...readdirSync(join(ROOT, 'docs'))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `docs/${name}`),
  ]) {
    for (const [, target = ''] of read(page).matchAll(/\]\((?!https?:)([^)#]+)\)/g))
      assert.ok(existsSync(join(ROOT, page, '..', target)), `${page}: ${target}`);
  }
});
