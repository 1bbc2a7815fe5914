// What the first second of a command may load.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ROOT } from '../support/cli.ts';

const directory = mkdtempSync(join(tmpdir(), 'meshctl-startup-'));
after(() => rmSync(directory, { recursive: true }));
const hook = join(directory, 'hook.mjs');
writeFileSync(
  hook,
  `import { registerHooks } from 'node:module';
import { appendFileSync } from 'node:fs';
registerHooks({ load(url, context, next) { appendFileSync(process.env.LOADED, url + '\\n'); return next(url, context); } });
`,
);

let runs = 0;

function loaded(args: readonly string[]): string[] {
  const file = join(directory, `${runs++}.txt`);
  writeFileSync(file, '');
  execFileSync(process.execPath, ['--disable-warning=ExperimentalWarning', '--import', hook, join(ROOT, 'src/cli/main.ts'), ...args], {
    env: { ...process.env, LOADED: file },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  return execFileSync('cat', [file], { encoding: 'utf8' }).trim().split('\n');
}

for (const args of [['--version'], ['--help'], ['completion', 'bash'], ['stat', '--help']]) {
  test(`\`meshctl ${args.join(' ')}\` loads none of the heavy packages, no database and no control plane`, () => {
    const urls = loaded(args);
    const heavy = urls.filter(
      (url) =>
        /node_modules\/(?:ink|react|yoga-layout|@kubernetes|node-forge|zod|yaml)\//.test(url) ||
        /node:sqlite|\/src\/(?:control|platform|proxy|policy|certs)\//.test(url),
    );
    assert.deepEqual(heavy, []);
    const ours = urls.filter((url) => url.includes('/src/'));
    assert.ok(ours.length < 25, `${ours.length} files of ours`);
  });
}

test('`policy lint` loads neither ink nor node-forge', () => {
  const file = join(directory, 'p.yaml');
  writeFileSync(file, 'apiVersion: meshctl.dev/v1\nkind: Policy\nallow: []\n');
  assert.deepEqual(
    loaded(['policy', 'lint', file]).filter((url) => /node_modules\/(?:ink|react|yoga-layout|@kubernetes|node-forge)\//.test(url)),
    [],
  );
});
