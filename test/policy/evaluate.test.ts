// Verdicts of the one evaluator, from policy text to decision.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeSpiffeId, parseSpiffeId, type SpiffeId } from '../../src/mesh/identity.ts';
import { type MeshSpec, parseMeshFile } from '../../src/mesh/spec.ts';
import { audited, compilePolicy } from '../../src/policy/compile.ts';
import { type Decision, evaluate, policyFor } from '../../src/policy/evaluate.ts';
import { lintPolicy } from '../../src/policy/lint.ts';
import { normalizePath } from '../../src/policy/path.ts';

const MESH = parseMeshFile(
  'mesh.yaml',
  `apiVersion: meshctl.dev/v1
kind: Mesh
name: t
services:
  web: {command: x}
  orders: {command: x}
  payments: {command: x}
  reviews: {command: x}
  db: {command: x, ports: {sql: {protocol: tcp}}}
`,
).spec as MeshSpec;

function policy(body: string) {
  const { document, findings } = lintPolicy([{ file: 'p.yaml', text: `apiVersion: meshctl.dev/v1\nkind: Policy\n${body}` }], MESH);
  return compilePolicy(document, findings, MESH, 7);
}

function id(name: string): SpiffeId | undefined {
  if (name === 'nobody') return undefined;
  return name.startsWith('spiffe:') ? parseSpiffeId(name) : makeSpiffeId('t.local', 'default', name);
}

function judge(body: string, caller: string, callee: string, request: string): Decision {
  const [method = '', target = ''] = request.split(' ');
  const normal = method === 'tcp' ? undefined : normalizePath(target);
  assert.ok(normal === undefined || 'path' in normal);
  return evaluate(policy(body), {
    caller: id(caller),
    callee: id(callee) as SpiffeId,
    port: { name: callee === 'db' ? 'sql' : 'http', number: callee === 'db' ? 5432 : 8080 },
    http: normal === undefined ? undefined : { method, path: normal.path, grpc: false, header: () => [] },
    atMs: 0,
  });
}

const SIMPLE = 'allow:\n  - web -> orders: [GET /orders/*, POST /orders]\n  - orders -> db: tcp\n';
const TIERS = `tiers: [{name: low}, {name: mid, acceptsFrom: low}, high]
services:
  web: {tier: low}
  orders: {tier: mid, bridge: true, owner: x}
  payments: {tier: high}
  reviews: {tier: low}
  db: {tier: high}
allow:
  - mesh -> payments: POST /charge
  - web -> orders: any
  - orders -> payments: any
  - web -> reviews: any
`;

for (const [title, body, caller, callee, request] of [
  ['an exact path and method', SIMPLE, 'web', 'orders', 'POST /orders'],
  ['one segment for *', SIMPLE, 'web', 'orders', 'GET /orders/7'],
  ['another spelling of an allowed path', SIMPLE, 'web', 'orders', 'GET //orders/./7'],
  ['tcp where tcp is granted', SIMPLE, 'orders', 'db', 'tcp'],
  ['any of a verified identity for `mesh`', 'allow:\n  - mesh -> web: any\n', 'reviews', 'web', 'GET /'],
  ['a group member', 'groups: {readers: [web, reviews]}\nallow:\n  - readers -> db: tcp :5432\n', 'reviews', 'db', 'tcp'],
  ['a port by its name', 'allow:\n  - web -> db: tcp :sql\n', 'web', 'db', 'tcp'],
  ['a namespace', 'allow:\n  - ns:default -> web: any\n', 'orders', 'web', 'GET /'],
  [
    'one identity of another trust domain',
    'allow:\n  - id:spiffe://other.org/ns/a/sa/b -> web: any\n',
    'spiffe://other.org/ns/a/sa/b',
    'web',
    'GET /',
  ],
  ['every method for `*`', 'allow:\n  - web -> orders: "* /x"\n', 'web', 'orders', 'PURGE /x'],
  ['two methods in one rule', 'allow:\n  - web -> orders: GET|HEAD /x\n', 'web', 'orders', 'HEAD /x'],
  ['a call into a bridge from below', TIERS, 'web', 'orders', 'GET /'],
  ['a call of a bridge upwards', TIERS, 'orders', 'payments', 'POST /charge'],
  ['a call within a tier', TIERS, 'web', 'reviews', 'GET /'],
  ['callers from outside at an ingress without a rule about them', SIMPLE, 'nobody', 'ingress', 'GET /'],
  [
    'callers from outside where `any -> ingress` says so',
    'allow:\n  - any -> ingress: GET /public/**\n',
    'nobody',
    'ingress',
    'GET /public/x',
  ],
  ['everything unmatched under audit', 'default: audit\n', 'web', 'orders', 'GET /'],
] as const) {
  test(`allows ${title}`, () => assert.equal(judge(body, caller, callee, request).verdict, 'allowed'));
}

for (const [title, body, caller, callee, request, stage] of [
  ['a caller that no rule names', SIMPLE, 'reviews', 'orders', 'GET /orders/7', 'default'],
  ['another method', SIMPLE, 'web', 'orders', 'DELETE /orders/7', 'default'],
  ['HEAD where GET is allowed', SIMPLE, 'web', 'orders', 'HEAD /orders/7', 'default'],
  ['a deeper path than *', SIMPLE, 'web', 'orders', 'GET /orders/7/items', 'default'],
  ['an empty segment for *', SIMPLE, 'web', 'orders', 'GET /orders/', 'default'],
  ['another case of the path', SIMPLE, 'web', 'orders', 'POST /Orders', 'default'],
  ['a path that climbs out of an allowed one', SIMPLE, 'web', 'orders', 'GET /orders/../admin', 'default'],
  ['the reverse direction', SIMPLE, 'orders', 'web', 'GET /', 'default'],
  ['HTTP where only tcp is granted', 'allow:\n  - web -> orders: tcp\n', 'web', 'orders', 'GET /', 'default'],
  ['tcp where only HTTP is granted', 'allow:\n  - web -> db: GET /**\n', 'web', 'db', 'tcp', 'default'],
  ['another port', 'allow:\n  - web -> db: tcp :3306\n', 'web', 'db', 'tcp', 'default'],
  ['no identity', 'allow:\n  - mesh -> web: any\n', 'nobody', 'web', 'GET /', 'identity'],
  ['no identity even under audit', 'default: audit\n', 'nobody', 'web', 'GET /', 'identity'],
  [
    'another trust domain where `mesh` is granted',
    'allow:\n  - mesh -> web: any\n',
    'spiffe://other.org/ns/default/sa/orders',
    'web',
    'GET /',
    'default',
  ],
  ['the same names in another trust domain', SIMPLE, 'spiffe://other.org/ns/default/sa/web', 'orders', 'POST /orders', 'default'],
  ['the same service in another namespace', SIMPLE, 'spiffe://t.local/ns/dev/sa/web', 'orders', 'POST /orders', 'default'],
  ['a foreign path that ends like a service', SIMPLE, 'spiffe://t.local/x/ns/default/sa/web', 'orders', 'POST /orders', 'default'],
  ['a call upwards, even with an allow rule', TIERS, 'web', 'payments', 'POST /charge', 'tier'],
  [
    'a foreign trust domain below every floor',
    `${TIERS}  - td:other.org -> payments: any\n`,
    'spiffe://other.org/ns/a/sa/b',
    'payments',
    'POST /charge',
    'tier',
  ],
  ['an unknown identity of the mesh at a high tier', TIERS, 'spiffe://t.local/ns/dev/sa/x', 'payments', 'POST /charge', 'tier'],
  ['what deny names, even with an allow rule', `${SIMPLE}deny:\n  - web -> orders: any\n`, 'web', 'orders', 'POST /orders', 'deny'],
  ['what deny names, even under audit', 'default: audit\ndeny:\n  - web -> orders: any\n', 'web', 'orders', 'GET /', 'deny'],
  ['a call upwards, even under audit', `default: audit\n${TIERS}`, 'reviews', 'payments', 'GET /', 'tier'],
  [
    'outside callers beyond what `any -> ingress` says',
    'allow:\n  - any -> ingress: GET /public/**\n',
    'nobody',
    'ingress',
    'GET /private',
    'default',
  ],
  ['everything under a policy with a syntax error', `${SIMPLE}  - web orders: any\n`, 'web', 'orders', 'POST /orders', 'unreadable'],
  ['everything under a policy with an unknown service', `${SIMPLE}  - wbe -> orders: any\n`, 'web', 'orders', 'POST /orders', 'unreadable'],
  ['everything under a policy of another trust domain', `trustDomain: other.org\n${SIMPLE}`, 'web', 'orders', 'POST /orders', 'unreadable'],
] as const) {
  test(`denies ${title}`, () => {
    const decision = judge(body, caller, callee, request);
    assert.equal(decision.verdict, 'denied');
    assert.equal(decision.stage, stage);
  });
}

test('names the rule that decided, its place and the revision', () => {
  const decision = judge(SIMPLE, 'web', 'orders', 'POST /orders');
  assert.deepEqual([decision.rule, decision.place, decision.revision], ['web -> orders: [GET /orders/*, POST /orders]', 'p.yaml:4', 7]);
});

test('names the tiers of a call that the floor refuses', () => {
  assert.equal(judge(TIERS, 'web', 'payments', 'POST /charge').rule, 'tier floor: high accepts from high, caller is low');
});

test('an exact service entry beats a namespace entry, which beats any', () => {
  const body =
    'tiers: [low, mid, high]\nservices:\n  all: {id: ns/*/sa/*, tier: low}\n  ours: {id: ns/default/sa/*, tier: mid}\n  payments: {tier: high}\nallow:\n  - mesh -> mesh: any\n';
  assert.equal(judge(body, 'payments', 'payments', 'GET /').verdict, 'allowed');
  assert.equal(judge(body, 'spiffe://t.local/ns/default/sa/other', 'payments', 'GET /').stage, 'tier');
  assert.equal(judge(body, 'spiffe://t.local/ns/dev/sa/other', 'spiffe://t.local/ns/default/sa/other2', 'GET /').stage, 'tier');
});

test('the slice for one callee gives the same verdicts as the whole', () => {
  const whole = policy(TIERS);
  for (const callee of ['web', 'orders', 'payments', 'reviews', 'db']) {
    const slice = policyFor(whole, `spiffe://t.local/ns/default/sa/${callee}`);
    for (const caller of ['web', 'orders', 'payments', 'reviews', 'spiffe://other.org/ns/a/sa/b', 'nobody']) {
      for (const path of ['/', '/charge']) {
        const attempt = {
          caller: id(caller),
          callee: id(callee) as SpiffeId,
          port: { name: 'http', number: 1 },
          http: { method: 'POST', path, grpc: false, header: () => [] },
          atMs: 0,
        };
        assert.deepEqual(evaluate(slice, attempt), evaluate(whole, attempt), `${caller} -> ${callee} ${path}`);
      }
    }
  }
});

for (const [title, mode, callerName, calleeName, expected] of [
  ['what no rule allows passes and is reported', 'default', 'orders', 'web', ['allowed', true, 'default']],
  ['a floor holds', 'default', 'web', 'payments', ['denied', false, 'tier']],
  ['missing identity is refused', 'default', 'nobody', 'web', ['denied', false, 'identity']],
  ['a floor only reports where all of it is audited', 'all', 'web', 'payments', ['allowed', true, 'tier']],
  ['missing identity is refused even where all of it is audited', 'all', 'nobody', 'payments', ['denied', false, 'identity']],
  ['what a rule allows is nothing to report', 'all', 'web', 'orders', ['allowed', false, 'allow']],
] as const)
  test(`audit: ${title}`, () => {
    const {
      verdict,
      audited: isAudited,
      stage,
    } = evaluate(audited(policy(TIERS), mode), {
      caller: id(callerName),
      callee: id(calleeName) as SpiffeId,
      port: { name: 'http', number: 8080 },
      http: { method: 'GET', path: '/x', grpc: false, header: () => [] },
      atMs: 0,
    });
    assert.deepEqual([verdict, isAudited, stage], expected);
  });

test('audit never opens a policy that cannot be read', () => {
  const broken = audited(policy('allow:\n  - web -> nobody: any\n'), 'all');
  assert.notEqual(broken.unreadable, undefined);
  assert.equal(broken.auditsAll, undefined);
});
