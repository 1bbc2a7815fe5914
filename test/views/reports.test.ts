// Findings in the forms that other tools read: each is what its own definition says, whatever stands in the findings.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import Draft04 from 'ajv-draft-04';
import type { Reported } from '../../src/base/finding.ts';
import { RULE_PAGES } from '../../src/policy/form-pages.ts';
import { lintAll } from '../../src/policy/lint-all.ts';
import { renderGithub } from '../../src/views/report/github.ts';
import { renderJunit } from '../../src/views/report/junit.ts';
import { renderMarkdown } from '../../src/views/report/markdown.ts';
import { renderSarif } from '../../src/views/report/sarif.ts';

const require = createRequire(import.meta.url);
const HOSTILE = 'a|b `c` <img src=x onerror=1> %0A::error::x\n\u001b[31mred ]]> & "q" *d*';
const FINDINGS: Reported[] = [
  {
    rule: 'deny-path-bypass',
    severity: 'warning',
    what: HOSTILE,
    fix: HOSTILE,
    place: { file: 'a,b:c/ü x.yaml', line: 3, column: 7 },
    excerpt: HOSTILE,
    fingerprint: '0123',
  },
  { rule: 'syntax-error', severity: 'error', what: 'b', fingerprint: '4567' },
];
const rules = RULE_PAGES.map(({ id, severity, summary }) => ({ id, severity, summary, help: summary }));

function isValidSarif(text: string): boolean {
  const schema = require('@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json') as object;
  const ajv = new Draft04.default({ strict: false, validateFormats: false, unicodeRegExp: false });
  const valid = ajv.validate(schema, JSON.parse(text));
  assert.deepEqual(ajv.errors ?? [], []);
  return valid;
}

test('SARIF is valid by the schema of 2.1.0, with regions, help, fingerprints and suppressions', () => {
  const suppressed = [{ ...(FINDINGS[0] as Reported), reason: HOSTILE }];
  const text = renderSarif({ version: '1.2.3', rules, findings: FINDINGS, suppressed });
  assert.ok(isValidSarif(text));
  const run = JSON.parse(text).runs[0];
  const [first, second, third] = run.results;
  assert.deepEqual(
    [first.ruleId, first.level, first.locations[0].physicalLocation.region.startLine, first.partialFingerprints],
    ['deny-path-bypass', 'warning', 3, { 'meshctlFinding/v1': '0123' }],
  );
  assert.equal(first.locations[0].physicalLocation.artifactLocation.uri, 'a%2Cb%3Ac/%C3%BC%20x.yaml');
  assert.equal(run.tool.driver.rules[second.ruleIndex].id, 'syntax-error');
  assert.equal(second.level, 'error');
  assert.equal(third.suppressions[0].justification, HOSTILE);
  for (const rule of run.tool.driver.rules) assert.ok(rule.help.markdown.length > 0);
});

test('SARIF without findings still has its list of results', () => {
  const text = renderSarif({ version: '1.2.3', rules, findings: [], suppressed: [] });
  assert.ok(isValidSarif(text));
  assert.deepEqual(JSON.parse(text).runs[0].results, []);
});

test('every page of a rule makes valid SARIF out of its own example', () => {
  for (const page of RULE_PAGES) {
    const { findings, suppressed } = lintAll([{ file: 'p.yaml', text: page.wrong }], undefined);
    assert.ok(isValidSarif(renderSarif({ version: '1.2.3', rules, findings, suppressed })), page.id);
  }
});

test('a workflow command of GitHub is one line, and nothing in a finding begins another one', () => {
  const lines = renderGithub(FINDINGS).split('\n');
  assert.equal(lines.length, 3);
  assert.match(lines[0] ?? '', /^::warning file=a%2Cb%3Ac\/ü x\.yaml,line=3,col=7,title=deny-path-bypass::a\|b .*%250A::error::x%0A/);
  assert.equal(lines[1], '::error title=syntax-error::b');
  assert.ok(!lines.join('').includes('\u001b'));
});

test('JUnit escapes what XML would take for its own', () => {
  const text = renderJunit(HOSTILE, [{ name: HOSTILE, file: 'a<b', line: 1, failures: [HOSTILE, 'second'] }]);
  assert.doesNotMatch(text, /<img|&(?!amp;|lt;|gt;|quot;|#39;)/);
  assert.ok(!text.includes('\u001b'));
  assert.match(text, /<testsuites tests="1" failures="1">/);
  assert.equal(text.match(/<failure /g)?.length, 1);
});

test('markdown keeps a finding in its cell, and takes no HTML from it', () => {
  const text = renderMarkdown(FINDINGS, '1 error', 'Policy lint');
  const rows = text.split('\n').filter((line) => line.startsWith('| '));
  assert.equal(rows.length, 4);
  for (const row of rows) assert.equal(row.split(/(?<!\\)\|/).length, 6, row);
  assert.doesNotMatch(text.replace(/`[^`]*`/g, ''), /<img/);
});
