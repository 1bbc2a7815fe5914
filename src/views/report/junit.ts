// JUnit XML: what CI systems show as tests. One form for every report of ours.
import { forXml } from '../xml.ts';

export interface JunitCase {
  readonly name: string;
  readonly file: string;
  readonly line: number;
  /** Why it failed, the first of them as its headline; empty when it passed. */
  readonly failures: readonly string[];
}

export function renderJunit(suite: string, all: readonly JunitCase[]): string {
  const failed = all.filter(({ failures }) => failures.length > 0).length;
  const cases = all.map(({ name, file, line, failures }) => {
    const head = `    <testcase name="${forXml(name)}" classname="${forXml(file)}" file="${forXml(file)}" line="${line}"`;
    return failures.length === 0
      ? `${head}/>`
      : `${head}>\n      <failure message="${forXml(failures[0] ?? '')}">${failures.map(forXml).join('\n')}</failure>\n    </testcase>`;
  });
  const count = `tests="${all.length}" failures="${failed}"`;
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites ${count}>\n  <testsuite name="${forXml(suite)}" ${count}>\n${cases.join('\n')}${cases.length > 0 ? '\n' : ''}  </testsuite>\n</testsuites>\n`;
}
