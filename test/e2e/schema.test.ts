// `meshctl schema`: what it says of a document is what the reader takes.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parse } from 'yaml';
import { DEMO_POLICY, demoMeshFile } from '../../src/demo/mesh.ts';
import { RULE_PAGES } from '../../src/policy/form-pages.ts';
import { Workplace } from '../support/cli.ts';
import { mended } from '../support/generated.ts';

const place = new Workplace();
after(() => place[Symbol.asyncDispose]());

async function validator(kind: string): Promise<(data: unknown) => boolean> {
  const { stdout } = await place.run(['schema', kind]);
  return new Ajv2020({ strict: false, validateFormats: false }).compile(JSON.parse(stdout));
}

test('the schemas take the demo, and every native example of docs/rules that is right', async () => {
  assert.ok((await validator('Mesh'))(parse(demoMeshFile(() => ['x']))));
  const policy = await validator('policy');
  assert.ok(policy(parse(DEMO_POLICY)));
  let native = 0;
  for (const page of RULE_PAGES) {
    const text = mended(page);
    if (!text.startsWith('apiVersion: meshctl.dev/v1') || text.includes('---')) continue;
    native++;
    assert.ok(policy(parse(text)), page.id);
  }
  assert.ok(native > 10);
});

for (const [title, body] of [
  ['an unknown key', 'alow: []'],
  ['a rule without an arrow', 'allow: [{"web orders": any}]'],
  ['a rule with two edges', 'allow: [{"a -> b": any, "b -> c": any}]'],
  ['a rule without operations', 'allow: [{"a -> b": []}]'],
  ['a long form without a callee', 'allow: [{from: a, path: /x}]'],
  ['a default that is none', 'default: allow'],
  ['an invariant that is none', 'invariants: [{always: a}]'],
  ['a test without a request', 'tests: [{name: a, expect: allow}]'],
] as const)
  test(`the schema of a policy refuses ${title}, as the reader does`, async () => {
    const text = `apiVersion: meshctl.dev/v1\nkind: Policy\n${body}\n`;
    assert.equal((await validator('Policy'))(parse(text)), false);
    place.write('p.yaml', text);
    assert.equal((await place.run(['policy', 'lint', 'p.yaml'])).code, 1);
  });

test('a kind that there is not is a usage error, none lists them', async () => {
  assert.equal((await place.run(['schema', 'Pod'])).code, 2);
  assert.equal((await place.run(['schema'])).stdout, 'Mesh\nPolicy\nPolicyTest\nLintBaseline\n');
});
