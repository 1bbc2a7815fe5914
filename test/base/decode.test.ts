import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode, parseYaml, z } from '../../src/base/decode.ts';

const SCHEMA = z.strictObject({
  name: z.string(),
  limits: z.strictObject({ timeout: z.number() }).optional(),
  list: z.array(z.string()).default([]),
});

function findingsOf(text: string): string[] {
  const { documents, findings } = parseYaml('f.yaml', text);
  const all = [...findings, ...documents.flatMap((document) => decode(document, SCHEMA).findings)];
  return all.map((finding) => `${finding.place?.line}:${finding.place?.column} ${finding.rule} ${finding.what}`);
}

test('gives the value of a document that fits', () => {
  const [document] = parseYaml('f.yaml', 'name: a\nlimits: {timeout: 3}\n').documents;
  assert.ok(document);
  assert.deepEqual(decode(document, SCHEMA).value, { name: 'a', limits: { timeout: 3 }, list: [] });
});

test('names the place of an unknown key and the nearest known one', () => {
  assert.deepEqual(findingsOf('name: a\nlimits:\n  timeuot: 3\n  timeout: 3\n'), [
    '3:3 unknown-key unknown key `timeuot` in `limits` (did you mean `timeout`?)',
  ]);
});

test('collects every finding in one run', () => {
  assert.equal(findingsOf('nam: 1\nlimits: {timeout: x}\nlist: [1]\n').length, 4);
});

test('reports a syntax error with line and column', () => {
  const [finding] = findingsOf('name: a\nlist: [x\nother: 1\n');
  assert.match(finding ?? '', /^[23]:\d+ syntax-error /);
});

for (const [title, text] of [
  ['a duplicate key', 'name: a\nname: b\n'],
  [
    'an alias bomb',
    `a: &a [x,x,x,x,x,x,x,x,x,x]\n${Array.from({ length: 8 }, (_, i) => `${'bcdefghi'[i]}: &${'bcdefghi'[i]} [${Array(10).fill(`*${'abcdefgh'[i]}`).join(',')}]`).join('\n')}\nname: a\n`,
  ],
] as const) {
  test(`refuses ${title}`, () => assert.ok(findingsOf(text).length > 0));
}

test('does not let a document reach the prototype', () => {
  assert.ok(findingsOf('__proto__: {polluted: 1}\nname: a\n').length > 0);
  assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
});
