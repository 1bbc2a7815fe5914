// `meshctl policy test PATH…`: the tests of a policy, in its own files or in files of their own. TAP on stdout.
import { statSync, watch } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { Fault } from '../../base/fault.ts';
import { printPlace } from '../../base/place.ts';
import { printable } from '../../base/printable.ts';
import { type CasesRun, runCases } from '../../policy/run-cases.ts';
import { renderJunit } from '../../views/report/junit.ts';
import { paint } from '../../views/theme.ts';
import type { Context, Input, Run } from '../context.ts';
import { document } from '../document.ts';
import { flag, listArgument, outputOption } from '../input.ts';
import { loadSubject, readPort } from './subject.ts';

export const run: Run = async (context, input) => {
  if (!flag(input, 'watch')) return runOnce(context, input);
  const named = listArgument(input, 0);
  if (named.length === 0 || named.includes('-')) throw new Fault('USAGE', 'usage', '`--watch` looks at files: name them');
  const again = watchFiles(named.map((name) => resolve(context.cwd, name)));
  try {
    for (;;) {
      await runOnce(context, input).catch((error: unknown) => {
        // A file that is half written is no end of the watch.
        if (!(error instanceof Fault)) throw error;
        context.note(`${error.message}\n`);
        return 2;
      });
      context.note(paint('dim', 'waiting for a change\n'));
      if ((await Promise.race([again.next(), context.interrupted])) !== 'changed') return 0;
    }
  } finally {
    again.close();
  }
};

/** Resolves `next` with `changed` once something under the paths has changed and then stood still for a moment. */
function watchFiles(paths: readonly string[]): { next: () => Promise<'changed'>; close: () => void } {
  const SETTLED_MS = 50;
  let isDirty = false;
  let wake: () => void = () => undefined;
  let timer: NodeJS.Timeout | undefined;
  const watchers = paths.map((path) =>
    // Editors replace files: the directory sees that.
    watch(statSync(path).isDirectory() ? path : dirname(path), { recursive: true }, () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        isDirty = true;
        wake();
      }, SETTLED_MS);
    }),
  );
  return {
    next: async () => {
      while (!isDirty) {
        await new Promise<void>((done) => {
          wake = done;
        });
      }
      isDirty = false;
      return 'changed';
    },
    close: () => {
      clearTimeout(timer);
      for (const watcher of watchers) watcher.close();
    },
  };
}

async function runOnce(context: Context, input: Input): Promise<number> {
  const format = outputOption(input, ['tap', 'json', 'junit']);
  const subject = await loadSubject(context, input, listArgument(input, 0));
  const { tests } = subject.document;
  if (tests.length === 0)
    throw new Fault('POLICY_TEST_NONE', 'usage', `${subject.source} has no tests`, {
      hint: 'write `tests:` in the policy, or name files of `kind: PolicyTest` beside it',
    });
  const done = runCases(
    subject.policy,
    subject.names,
    tests,
    ({ id }, named) => (id === undefined ? undefined : readPort(subject, id, named)),
    ({ service }) => subject.mesh.services[service ?? '']?.encodedSlash === 'keep',
    context.now(),
  );
  const failed = done.results.filter(({ passed }) => !passed).length;
  if (format === 'json') context.print(document('PolicyTestReport', report(done, subject.source)));
  else if (format === 'junit')
    context.print(
      renderJunit(
        subject.source,
        done.results.map(({ case: { name, place }, failures }) => ({ name, file: place.file, line: place.line, failures })),
      ),
    );
  else context.print(tap(done, flag(input, 'coverage')));
  return failed > 0 ? 1 : 0;
}

function report({ results, untouched }: CasesRun, source: string): object {
  return {
    policy: source,
    passed: results.filter(({ passed }) => passed).length,
    failed: results.filter(({ passed }) => !passed).length,
    tests: results.map(({ case: { name, place }, passed, failures }) => ({ name, place: printPlace(place), passed, failures })),
    untouched: untouched.map(({ id, place }) => ({ rule: id, place: `${place.file}:${place.line}` })),
  };
}

/** TAP version 14. */
function tap({ results, untouched }: CasesRun, coverage: boolean): string {
  const lines = ['TAP version 14', `1..${results.length}`];
  results.forEach(({ case: { name, place }, passed, failures }, i) => {
    lines.push(`${passed ? 'ok' : 'not ok'} ${i + 1} - ${printable(name).replaceAll('#', '\\#')}`);
    if (passed) return;
    lines.push(
      '  ---',
      `  at: ${printPlace(place)}`,
      '  failures:',
      ...failures.map((failure) => `    - ${JSON.stringify(printable(failure))}`),
      '  ...',
    );
  });
  const failed = results.filter(({ passed }) => !passed).length;
  lines.push(`# ${results.length - failed} passed, ${failed} failed`);
  if (coverage) {
    lines.push(`# ${untouched.length} grants that no test touched${untouched.length > 0 ? ':' : ''}`);
    for (const { id, place } of untouched) lines.push(`#   ${place.file}:${place.line}  ${printable(id)}`);
  }
  return `${lines.join('\n')}\n`;
}
