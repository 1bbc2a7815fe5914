// Runs the tests: `npm test`, `npm test -- policy codec` (files whose path holds one of the words). Ends with `N passed, N failed`.
import { readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

/** The whole run: what still hangs then is failed, with its name. */
const LIMIT_MS = 8 * 60_000;

const here = dirname(fileURLToPath(import.meta.url));
const words = process.argv.slice(2).filter((word) => !word.startsWith('-'));
const files = (readdirSync(here, { recursive: true }) as string[])
  .filter((file) => file.endsWith('.test.ts') && (words.length === 0 || words.some((word) => file.includes(word))))
  .sort()
  .map((file) => join(here, file));

if (files.length === 0) {
  process.stderr.write(`no test file matches ${words.join(', ')}\n`);
  process.exit(2);
}

let passed = 0;
let failed = 0;
let skipped = 0;
const failures: string[] = [];
const stream = run({
  files,
  concurrency: 2,
  timeout: 60_000,
  signal: AbortSignal.timeout(LIMIT_MS),
  execArgv: ['--disable-warning=ExperimentalWarning'],
});
stream.on('test:pass', (event) => {
  if (event.details.type === 'suite') return;
  if (event.skip !== undefined && event.skip !== false) skipped++;
  else passed++;
});
stream.on('test:fail', (event) => {
  if (event.details.type === 'suite') return;
  failed++;
  failures.push(`${event.file === undefined ? '' : `${relative(process.cwd(), event.file)}: `}${event.name}`);
});
stream.compose(spec()).pipe(process.stdout);
stream.on('end', () => {
  setImmediate(() => {
    for (const failure of failures) process.stdout.write(`failed: ${failure}\n`);
    process.stdout.write(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`);
    process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
  });
});
