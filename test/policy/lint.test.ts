import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEMO_POLICY, demoMeshFile } from '../../src/demo/mesh.ts';
import { type MeshSpec, parseMeshFile } from '../../src/mesh/spec.ts';
import { lintPolicy } from '../../src/policy/lint.ts';

const HEAD = 'apiVersion: meshctl.dev/v1\nkind: Policy\n';
const MESH = parseMeshFile(
  'mesh.yaml',
  'apiVersion: meshctl.dev/v1\nkind: Mesh\nname: t\nservices: {web: {command: x, tier: low}, orders: {command: x}, payments: {command: x}}\n',
).spec as MeshSpec;
const TIERS = 'tiers: [low, high]\nservices: {ingress: {tier: low}, web: {tier: low}, orders: {tier: low}, payments: {tier: high}}\n';

function lint(body: string, mesh: MeshSpec | undefined = MESH): string[] {
  const { findings } = lintPolicy([{ file: 'p.yaml', text: HEAD + body }], mesh);
  return findings.map((finding) => `${finding.place?.line ?? 0}:${finding.place?.column ?? 0} ${finding.severity} ${finding.rule}`);
}

test("finds nothing wrong in the demo's policy", () => {
  const mesh = parseMeshFile(
    'mesh.yaml',
    demoMeshFile(() => ['x']),
  ).spec as MeshSpec;
  assert.deepEqual(lintPolicy([{ file: 'policy.yaml', text: DEMO_POLICY }], mesh).findings, []);
});

for (const [title, body, expected] of [
  ['an unknown caller, with its place', 'allow:\n  - wbe -> orders: any\n', '4:5 error unknown-service'],
  ['an unknown callee, with its place', 'allow:\n  - web -> odrers: any\n', '4:12 error unknown-service'],
  ['an unknown member of a group', 'groups:\n  g: [web, nobody]\nallow:\n  - g -> orders: any\n', '4:12 error unknown-service'],
  ['a group inside a group', 'groups:\n  a: [web]\n  b: [a]\nallow:\n  - b -> orders: any\n', '5:7 error unknown-service'],
  ['a rule below the tier of its callee', `${TIERS}allow:\n  - web -> payments: any\n`, '6:5 error tier-violation'],
  ['a wide rule below the tier of a callee, as a warning', `${TIERS}allow:\n  - mesh -> payments: any\n`, '6:5 warning tier-violation'],
  ['an unused service', 'services:\n  orders: {}\nallow:\n  - ingress -> web: any\n', '4:3 warning unused-service'],
  ['a rule without arrow', 'allow:\n  - web orders: any\n', '4:5 error syntax-error'],
  ['the arrow of an invariant in a rule', 'allow:\n  - web => orders: any\n', '4:9 error syntax-error'],
  ['a rule without operations', 'allow:\n  - web -> orders\n', '4:5 error syntax-error'],
  ['an empty list of operations', 'allow:\n  - web -> orders: []\n', '4:5 error syntax-error'],
  ['a method in lower case', 'allow:\n  - web -> orders: get /x\n', '4:20 error syntax-error'],
  ['a method without path', 'allow:\n  - web -> orders: [GET, POST /x]\n', '4:21 error method-without-path'],
  ['a path that climbs', 'allow:\n  - web -> orders: GET /a/../b\n', '4:24 error path-never-matches'],
  ['a path with a query', 'allow:\n  - web -> orders: GET /a?x\n', '4:24 error path-never-matches'],
  ['a star inside a segment', 'allow:\n  - web -> orders: GET /a*\n', '4:24 error path-never-matches'],
  ['a double star in the middle', 'allow:\n  - web -> orders: GET /a/**/b\n', '4:24 error path-never-matches'],
  ['an escape that is decoded before matching', 'allow:\n  - web -> orders: GET /%61\n', '4:24 error path-never-matches'],
  ['a deny with a path', 'deny:\n  - web -> orders: GET /admin\n', '4:5 error deny-http'],
  ['`any` as the caller of a service', 'allow:\n  - any -> orders: any\n', '4:5 error any-unreachable'],
  ['an unknown tier', `tiers: [low]\nservices:\n  web: {tier: lwo}\nallow:\n  - web -> orders: any\n`, '5:15 error unknown-tier'],
  ['an unknown floor', 'tiers: [{name: low, acceptsFrom: lower}]\nallow:\n  - web -> orders: any\n', '3:9 error unknown-tier'],
  ['a service without tier', 'tiers: [low]\nservices:\n  orders: {}\nallow:\n  - web -> orders: any\n', '5:3 warning unlabelled-service'],
  [
    'a bridge that nobody owns',
    `tiers: [low]\nservices:\n  web: {tier: low, bridge: true}\nallow:\n  - web -> orders: any\n`,
    '5:3 warning bridge-without-owner',
  ],
  [
    'a tier that contradicts the mesh file',
    'tiers: [low, high]\nservices:\n  web: {tier: high}\nallow:\n  - web -> orders: any\n',
    '5:15 error service-mismatch',
  ],
  ['a trust domain that contradicts the mesh file', 'trustDomain: other\nallow:\n  - web -> orders: any\n', '3:1 error service-mismatch'],
  [
    'an identity that contradicts the mesh file',
    'services:\n  web: {id: ns/x/sa/web}\nallow:\n  - web -> orders: any\n',
    '4:3 error service-mismatch',
  ],
  ['an identity that is none', 'services:\n  web: {id: web}\nallow:\n  - web -> orders: any\n', '4:3 error service-mismatch'],
  ['an unknown key', 'alow:\n  - web -> orders: any\n', '3:1 error unknown-key'],
  ['a section of a later version', 'import: [{istio: a.yaml}]\nallow:\n  - web -> orders: any\n', '3:1 warning later-version'],
  ['a gRPC service that is none', 'allow:\n  - web -> orders: grpc a..B/C\n', '4:25 error syntax-error'],
  ['a condition that is none', 'allow:\n  - web -> orders: GET /x if header a\n', '4:27 error syntax-error'],
  ['a long form without callee', 'allow:\n  - {from: web, path: /x}\n', '4:5 error invalid-value'],
  ['an unknown prefix of a name', 'allow:\n  - svc:web -> orders: any\n', '4:5 error syntax-error'],
  ['a SPIFFE id that is none', 'allow:\n  - "id:spiffe://X/y -> orders": any\n', '4:5 error syntax-error'],
  ['words after the path', 'allow:\n  - web -> orders: GET /x /y\n', '4:27 error syntax-error'],
  [
    'a service that is defined twice',
    'services: {web: {}}\nallow:\n  - web -> orders: any\n---\napiVersion: meshctl.dev/v1\nkind: Policy\nservices: {web: {}}\n',
    '9:12 error contradiction',
  ],
] as const) {
  test(`finds ${title}`, () => {
    const found = lint(body);
    assert.ok(found.includes(expected), `wanted ${expected}, found:\n${found.join('\n')}`);
  });
}

test('reports a document that does not say what it is', () => {
  const { findings } = lintPolicy([{ file: 'p.yaml', text: 'allow:\n  - web -> orders: any\n' }], MESH);
  assert.deepEqual(
    findings.map((finding) => finding.rule),
    ['not-a-policy'],
  );
});

for (const [title, text] of [
  ['an empty file', ''],
  ['a file of comments', '# allow everything\n'],
  ['an empty document', '---\n'],
  ['a list', '- a\n'],
  ['a word', 'policy\n'],
] as const) {
  test(`reports ${title}: it is no policy`, () => {
    const { findings } = lintPolicy([{ file: 'p.yaml', text }], MESH);
    assert.deepEqual(
      findings.map((finding) => finding.rule),
      ['not-a-policy'],
    );
  });
}

test('reports broken YAML with line and column', () => {
  const { findings } = lintPolicy([{ file: 'p.yaml', text: `${HEAD}allow:\n  - web -> orders: [GET /a\n  - x: y\n` }], MESH);
  const [finding] = findings;
  assert.equal(finding?.rule, 'syntax-error');
  assert.ok((finding?.place?.line ?? 0) >= 4);
});

test('suggests the name that was meant', () => {
  const { findings } = lintPolicy([{ file: 'p.yaml', text: `${HEAD}allow:\n  - web -> paymnets: any\n` }], MESH);
  assert.match(findings[0]?.what ?? '', /did you mean `payments`\?/);
});

test('takes several documents as one policy', () => {
  const { findings } = lintPolicy(
    [
      { file: 'a.yaml', text: `${HEAD}groups: {g: [web]}\n` },
      { file: 'b.yaml', text: `${HEAD}allow:\n  - g -> orders: any\n` },
    ],
    MESH,
  );
  assert.deepEqual(findings, []);
});

test('judges by the policy alone without a mesh file', () =>
  assert.deepEqual(lint('services: {a: {}, b: {}}\nallow:\n  - a -> b: any\n', undefined), []));
