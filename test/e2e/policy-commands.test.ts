// `policy check`, `explain`, `verify`, `test` and `graph` as a user runs them: documents, exit codes, and what is refused.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { LAUNCHER, Workplace } from '../support/cli.ts';

const POLICY = `apiVersion: meshctl.dev/v1
kind: Policy
trustDomain: prod.example.com
tiers:
  - edge
  - {name: low, acceptsFrom: edge}
  - {name: standard, acceptsFrom: low}
  - high
services:
  ingress: {tier: edge}
  web: {id: ns/shop/sa/web, tier: low}
  checkout: {id: ns/shop/sa/checkout, tier: standard, bridge: true, owner: team-pay}
  payments: {id: ns/pay/sa/payments, tier: high}
allow:
  - ingress -> web: GET /**
  - web -> checkout: POST /checkout
  - checkout -> payments: grpc pay.v1.Payments/Charge
invariants:
  - never: tier<high => payments
    why: PCI, ticket 12
`;
const TESTS = `apiVersion: meshctl.dev/v1
kind: PolicyTest
tests:
  - name: only checkout charges
    request: {to: payments, grpc: pay.v1.Payments/Charge}
    allow: [checkout]
    deny: [web, ingress, ns:dev, any]
  - name: spellings of a path
    request: {from: web, to: checkout, method: POST}
    paths: {allow: [/checkout, //checkout, /x/../checkout, /%63heckout], deny: [/checkout/, /Checkout, /a%2fb]}
  - name: the floor decides
    request: {from: web, to: payments, method: GET, path: /}
    expect: deny
    by: tier
`;

const place = new Workplace();
before(() => {
  place.write('policy.yaml', POLICY);
  place.write('tests/pay.yaml', TESTS);
  place.write(
    'leaky.yaml',
    POLICY.replace('web -> checkout: POST /checkout', 'web -> checkout: POST /checkout\n  - web -> payments: GET /metrics').replace(
      '- high\n',
      '- {name: high, acceptsFrom: edge}\n',
    ),
  );
});
after(() => place[Symbol.asyncDispose]());

const WITH = ['--policy', 'policy.yaml'];

for (const [title, args, code, out] of [
  [
    'a call that is allowed',
    ['check', 'web', 'checkout', '--method', 'POST', '--path', '//checkout'],
    0,
    /√ allowed.*\n.*allow: web -> checkout: POST \/checkout \(policy\.yaml:16\)/,
  ],
  [
    'a call that is denied',
    ['check', 'web', 'payments', '--method', 'GET', '--path', '/'],
    1,
    /× denied.*\n.*tier floor: high accepts from high, caller is low/,
  ],
  ['a call of which too little is said', ['check', 'web', 'checkout'], 2, /\? cannot tell.*\n.*depends on method and path/],
  ['a call that is denied whatever else is said', ['check', 'web', 'payments'], 1, /× denied/],
  ['a call without identity', ['check', 'none', 'checkout', '--method', 'POST', '--path', '/checkout'], 1, /no identity/],
  ['a gRPC call', ['check', 'checkout', 'payments', '--grpc', 'pay.v1.Payments/Charge'], 0, /√ allowed/],
  ['another gRPC call', ['check', 'checkout', 'payments', '--grpc', 'pay.v1.Payments/Refund'], 1, /default: deny/],
  ['a TCP connection', ['check', 'checkout', 'payments:5432', '--tcp'], 1, /default: deny/],
  [
    'a service of a namespace that nobody has named',
    ['check', 'ns:dev', 'checkout', '--method', 'POST', '--path', '/checkout'],
    1,
    /default: deny/,
  ],
  [
    'an identity that is written out',
    ['check', 'id:spiffe://prod.example.com/ns/shop/sa/web', 'checkout', '--method', 'POST', '--path', '/checkout'],
    0,
    /√ allowed/,
  ],
  [
    'a denial, explained',
    ['explain', 'web', 'checkout', '--method', 'GET', '--path', '/checkout'],
    1,
    /nearest: web -> checkout: POST \/checkout {2}policy\.yaml:16\n.*its method is POST, here it is GET\n\n.*allowed by: {2}- web -> checkout: GET \/checkout/,
  ],
  [
    'a floor, explained',
    ['explain', 'web', 'payments', '--method', 'GET', '--path', '/'],
    1,
    /× tier {6}tier floor.*\n.*deny {6}not reached/,
  ],
  [
    'a grant, explained',
    ['explain', 'ingress', 'web', '--method', 'GET', '--path', '/x'],
    0,
    /√ allow {5}ingress -> web: GET \/\*\* {2}policy\.yaml:15/,
  ],
] as const) {
  test(`${title}: exit ${code}`, async () => {
    const result = await place.run(['policy', ...args, ...WITH]);
    assert.equal(result.code, code, result.stderr);
    assert.match(result.stdout, out);
  });
}

for (const [title, args, err] of [
  ['a caller that nobody knows', ['check', 'nobody', 'web'], /`nobody` is no caller/],
  ['a callee that nobody knows', ['check', 'web', 'nobody'], /`nobody` is no callee/],
  ['a method in lower case', ['check', 'web', 'checkout', '--method', 'post'], /upper case/],
  ['a path that a proxy refuses', ['check', 'web', 'checkout', '--path', '/a%2fb'], /escape/],
  ['a path that is none', ['check', 'web', 'checkout', '--path', 'a'], /start with/],
  ['a header without value', ['check', 'web', 'checkout', '--header', 'x'], /NAME=VALUE/],
  ['TCP with a path', ['check', 'web', 'checkout', '--tcp', '--path', '/'], /neither method nor path/],
  ['gRPC with a path', ['check', 'web', 'checkout', '--grpc', 'a.B/C', '--path', '/'], /stands alone/],
  ['gRPC without method', ['check', 'web', 'checkout', '--grpc', 'a.B'], /stands alone/],
  ['another format', ['check', 'web', 'checkout', '-o', 'xml'], /not known here/],
  ['one name only', ['explain', 'web'], /missing required argument|argument/],
] as const) {
  test(`${title} is a usage error, with nothing on stdout`, async () => {
    const result = await place.run(['policy', ...args, ...WITH]);
    assert.deepEqual([result.code, result.stdout], [2, '']);
    assert.match(result.stderr, err);
  });
}

test('no policy anywhere, and one with errors, are exit 2 with a word', async () => {
  const none = await place.run(['policy', 'check', 'web', 'checkout']);
  assert.deepEqual([none.code, none.stdout], [2, '']);
  assert.match(none.stderr, /no policy to ask.*\n.*--policy/);
  place.write('broken.yaml', POLICY.replace('web -> checkout:', 'web -> chekout:'));
  const broken = await place.run(['policy', 'check', 'web', 'checkout', '--policy', 'broken.yaml']);
  assert.deepEqual([broken.code, broken.stdout], [2, '']);
  assert.match(broken.stderr, /unknown-service.*\n.*chekout.*`checkout`/);
});

test('the decision and its explanation are documents', async () => {
  const result = await place.run(['policy', 'explain', 'web', 'checkout', '--method', 'GET', '--path', '/checkout', ...WITH, '-o', 'json']);
  const { kind, verdict, request, nearest, grant, steps } = JSON.parse(result.stdout) as Record<string, unknown>;
  assert.deepEqual(
    [kind, verdict, request],
    ['PolicyExplanation', 'denied', { protocol: 'http', method: 'GET', path: '/checkout', port: null }],
  );
  assert.deepEqual(nearest, {
    rule: 'web -> checkout: POST /checkout',
    place: 'policy.yaml:16',
    field: 'method',
    wanted: 'POST',
    given: 'GET',
  });
  assert.equal(grant, 'web -> checkout: GET /checkout');
  assert.deepEqual(
    (steps as { stage: string; outcome: string }[]).map(({ stage, outcome }) => `${stage} ${outcome}`),
    ['identity passed', 'tier passed', 'deny passed', 'allow passed', 'default decided'],
  );
});

test('invariants that hold are exit 0, one that does not is exit 1 with its path and the way to mend it', async () => {
  const good = await place.run(['policy', 'verify', 'policy.yaml']);
  assert.deepEqual([good.code, good.stdout.split('\n').at(-2)], [0, '1 invariants: 1 hold, 0 violated']);
  const bad = await place.run(['policy', 'verify', 'leaky.yaml']);
  assert.equal(bad.code, 1);
  assert.match(
    bad.stdout,
    /× never: tier<high => payments {2}leaky\.yaml:20:5\n.*web reaches payments\n.*why: PCI, ticket 12\n.*web -> payments {2}GET \/metrics\n.*leaky\.yaml:17\n.*would hold without\n.*web -> payments: web -> payments: GET \/metrics \(leaky\.yaml:17\)/,
  );
  const linted = await place.run(['policy', 'lint', 'leaky.yaml']);
  assert.equal(linted.code, 1);
  assert.match(linted.stdout, /leaky\.yaml:20:5 {2}× error {2}invariant-violated/);
});

test('tests in a directory of their own run against the policy: TAP, coverage, JUnit, and exit 1 when one fails', async () => {
  const good = await place.run(['policy', 'test', 'policy.yaml', 'tests', '--coverage']);
  assert.equal(good.code, 0, good.stdout);
  assert.match(
    good.stdout,
    /^TAP version 14\n1\.\.3\nok 1 - only checkout charges\n[\s\S]*# 3 passed, 0 failed\n# 1 grants that no test touched:\n# {3}policy\.yaml:15 {2}ingress -> web: GET \/\*\*\n$/,
  );
  place.write('wrong.yaml', TESTS.replace('deny: [web, ', 'deny: [').replace('allow: [checkout]', 'allow: [checkout, web]'));
  const bad = await place.run(['policy', 'test', 'policy.yaml', 'wrong.yaml']);
  assert.equal(bad.code, 1);
  assert.match(
    bad.stdout,
    /not ok 1 - only checkout charges\n {2}---\n {2}at: wrong\.yaml:4:5\n {2}failures:\n {4}- "web -> payments .*expected allowed, is denied: tier floor/,
  );
  const junit = await place.run(['policy', 'test', 'policy.yaml', 'wrong.yaml', '-o', 'junit']);
  assert.match(
    junit.stdout,
    /<testsuite name="policy\.yaml wrong\.yaml" tests="3" failures="1">[\s\S]*<failure message="web -&gt; payments/,
  );
  const none = await place.run(['policy', 'test', 'policy.yaml']);
  assert.deepEqual([none.code, none.stdout], [2, '']);
  assert.match(none.stderr, /has no tests/);
});

test('a test that expects the wrong verdict, the wrong rule or nothing at all does not pass', async () => {
  for (const [text, what] of [
    ['{name: a, request: {from: web, to: payments, method: GET, path: /}, expect: allow}', /expected allowed, is denied/],
    ['{name: a, request: {from: web, to: payments, method: GET, path: /}, expect: deny, by: default}', /denied as expected, but by tier/],
    ['{name: a, request: {from: web, to: checkout, method: POST}, paths: {deny: [/checkout]}}', /expected denied, is allowed/],
    ['{name: a, request: {from: web, to: checkout}, expect: allow}', /expected allowed, is unknown/],
    ['{name: a, request: {to: checkout}, deny: [nobody]}', /`nobody` is not known/],
  ] as const) {
    place.write('one.yaml', `apiVersion: meshctl.dev/v1\nkind: PolicyTest\ntests: [${text}]\n`);
    const result = await place.run(['policy', 'test', 'policy.yaml', 'one.yaml']);
    assert.equal(result.code, 1, text);
    assert.match(result.stdout, what);
  }
  for (const [text, what] of [
    ['{name: a, request: {to: checkout}}', /expects nothing/],
    ['{name: a, request: {to: checkout}, expect: deny}', /who calls/],
    ['{name: a, request: {to: checkout, tcp: true, path: /}, deny: [web]}', /neither method nor path/],
    ['{name: a, request: {to: checkout}, denied: [web]}', /unknown key `denied`/],
  ] as const) {
    place.write('one.yaml', `apiVersion: meshctl.dev/v1\nkind: PolicyTest\ntests: [${text}]\n`);
    const result = await place.run(['policy', 'test', 'policy.yaml', 'one.yaml']);
    assert.deepEqual([result.code, result.stdout], [2, ''], text);
    assert.match(result.stderr, what);
  }
});

test('the graph shows who may call whom, and what a service that was taken over could reach', async () => {
  const all = await place.run(['policy', 'graph', ...WITH]);
  assert.match(all.stdout, /web +checkout \(bridge\) +standard +POST \/checkout +policy\.yaml:16/);
  const json = JSON.parse((await place.run(['policy', 'graph', '--from', 'web', ...WITH, '-o', 'json'])).stdout) as {
    blastRadius: unknown;
    edges: { from: string; to: string }[];
  };
  assert.deepEqual(json.blastRadius, { stoppingAtBridges: 1, throughBridges: 2 });
  assert.deepEqual(
    json.edges.map(({ from, to }) => `${from} ${to}`),
    ['web checkout', 'checkout payments'],
  );
  assert.match(
    (await place.run(['policy', 'graph', ...WITH, '-o', 'dot'])).stdout,
    /^digraph policy \{[\s\S]*"web" -> "checkout" \[label="POST \/checkout"\];/,
  );
  assert.match((await place.run(['policy', 'graph', ...WITH, '-o', 'mermaid'])).stdout, /^flowchart LR\n[\s\S]*\["checkout"\]/);
  assert.equal((await place.run(['policy', 'graph', '--from', 'nobody', ...WITH])).code, 1);
});

test('a diff shows what widened and what narrowed, each with a request, and fails a pipeline when it is asked to', async () => {
  place.write('wider.yaml', POLICY.replace('POST /checkout', '"POST|PUT /checkout"').replace('  - ingress -> web: GET /**\n', ''));
  const result = await place.run(['policy', 'diff', 'policy.yaml', 'wider.yaml', '--fail-if', 'widened']);
  assert.equal(result.code, 1, result.stderr);
  assert.match(
    result.stdout,
    /\+ widened {3}web -> checkout {2}PUT \/checkout\n.*now allowed by web -> checkout: POST\|PUT \/checkout \(wider\.yaml:15\); before denied by default: deny/,
  );
  assert.match(result.stdout, /- narrowed {2}ingress -> web {2}GET \//);
  assert.match(result.stdout, /1 widened, 1 narrowed\n$/);
  const same = await place.run(['policy', 'diff', 'policy.yaml', 'policy.yaml', '--fail-if', 'changed']);
  assert.deepEqual([same.code, same.stdout], [0, '0 widened, 0 narrowed\n']);
  assert.equal((await place.run(['policy', 'diff', 'policy.yaml', 'wider.yaml'])).code, 0);
  assert.match(
    (await place.run(['policy', 'diff', 'policy.yaml', 'wider.yaml', '-o', 'markdown'])).stdout,
    /^### Allowed now, and was not\n\n\| caller \|/,
  );
});

for (const [title, args, err] of [
  ['one side only', ['policy.yaml'], /1 are named/],
  ['a file that is not there', ['policy.yaml', 'none.yaml'], /no such file/],
  ['a threshold that is none', ['policy.yaml', 'policy.yaml', '--fail-if', 'wider'], /widened, narrowed, changed/],
] as const) {
  test(`a diff of ${title} is a usage error`, async () => {
    const result = await place.run(['policy', 'diff', ...args]);
    assert.deepEqual([result.code, result.stdout], [2, '']);
    assert.match(result.stderr, err);
  });
}

test('files of other meshes are judged by their own schema, beside native ones', async () => {
  place.write(
    'k8s/istio.yaml',
    'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: a}\nspec: {action: DENY}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: s}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\n',
  );
  const result = await place.run(['policy', 'lint', 'policy.yaml', 'k8s']);
  assert.equal(result.code, 1);
  assert.match(result.stdout, /k8s\/istio\.yaml:4:\d+ {2}× error {2}istio-schema\n.*never triggered/s);
  assert.match(result.stdout, /1 policies of other meshes judged by their own schema\nskipped: 1 Secret\n$/);
  const asked = await place.run(['policy', 'check', 'web', 'checkout', '--policy', 'k8s']);
  assert.deepEqual([asked.code, asked.stdout], [2, '']);
  assert.match(asked.stderr, /istio-schema/);
});

test('patterns are files, one that fits none is a usage error', async () => {
  place.write('globs/a/one.yaml', POLICY);
  const found = await place.run(['policy', 'lint', 'globs/**/*.yaml']);
  assert.equal(found.code, 0, found.stdout);
  const none = await place.run(['policy', 'lint', 'globs/**/*.json']);
  assert.deepEqual([none.code, none.stdout], [2, '']);
  assert.match(none.stderr, /no file fits/);
  const nothing = await place.run(['policy', 'lint']);
  assert.deepEqual([nothing.code, nothing.stdout], [2, '']);
});

test('lint: what is asked for, what is shown, what is known, what is mended', async () => {
  const body = POLICY.replace('allow:\n', 'allow:\n  - any -> checkout: GET /x\n');
  assert.notEqual(body, POLICY);
  place.write('lint/p.yaml', body);
  const lint = (...args: string[]) => place.run(['policy', 'lint', 'lint/p.yaml', ...args]);
  assert.match((await lint('--rule', 'any-unreachable')).stdout, /any-unreachable[\s\S]*1 error, 0 warnings/);
  assert.equal((await lint('--rule', 'unused-service')).code, 0);
  assert.doesNotMatch((await lint('--rule', 'any-unreachable,unused-service', '--show', 'error')).stdout, /unused-service/);
  for (const args of [
    ['--rule', 'nothing'],
    ['--show', 'all'],
    ['--fail-on', 'never'],
    ['--mesh-version', 'new'],
    ['--baseline', 'lint/p.yaml'],
    ['--baseline', 'none.json'],
    ['-o', 'html'],
  ]) {
    const wrong = await lint(...args);
    assert.deepEqual([wrong.code, wrong.stdout], [2, ''], args.join(' '));
  }
  assert.equal((await lint('--write-baseline', 'lint/base.json')).code, 0);
  const known = await lint('--baseline', 'lint/base.json');
  assert.equal(known.code, 0);
  assert.match(known.stdout, /0 errors, 0 warnings.*\n.*known from the baseline/);
  const mended = await lint('--fix', '--rule', 'any-unreachable');
  assert.deepEqual([mended.code, mended.stderr], [0, '1 fixed in 1 file\n']);
  assert.match((await place.run(['policy', 'fmt', '--check', 'lint/p.yaml'])).stderr, /of 1 would change/);
  const again = await lint('--rule', 'any-unreachable');
  assert.equal(again.code, 0);
});

test('tests that are watched run again when a file changes, and end with Ctrl-C', async () => {
  place.write('watched/policy.yaml', POLICY);
  place.write('watched/tests.yaml', TESTS);
  const child = spawn(process.execPath, [LAUNCHER, 'policy', 'test', 'watched', '--watch'], { cwd: place.directory, env: place.env });
  let text = '';
  let wake: () => void = () => undefined;
  const collect = (part: Buffer): void => {
    text += part.toString();
    wake();
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const until = async (says: RegExp): Promise<void> => {
    while (!says.test(text))
      await new Promise<void>((done) => {
        wake = done;
      });
    text = '';
  };
  await until(/# 3 passed, 0 failed[\s\S]*waiting for a change/);
  place.write('watched/tests.yaml', TESTS.replace('deny: [web, ', 'deny: [').replace('allow: [checkout]', 'allow: [checkout, web]'));
  await until(/# 2 passed, 1 failed[\s\S]*waiting for a change/);
  place.write('watched/tests.yaml', 'tests: [');
  await until(/has an error[\s\S]*waiting for a change/);
  const ended = once(child, 'exit');
  child.kill('SIGINT');
  assert.deepEqual((await ended)[0], 0);
});

test('check and test know which service keeps an encoded slash', async () => {
  place.write(
    'slash/mesh.yaml',
    'apiVersion: meshctl.dev/v1\nkind: Mesh\nname: s\nservices: {web: {command: x}, registry: {command: x, encodedSlash: keep}, shop: {command: x}}\n',
  );
  place.write(
    'slash/policy.yaml',
    'apiVersion: meshctl.dev/v1\nkind: Policy\nallow:\n  - web -> registry: GET /v2/*/tags\n  - web -> shop: GET /v2/*/tags\ntests:\n  - name: kept\n    request: {from: web, to: registry, method: GET}\n    paths: {allow: [/v2/a%2fb/tags], deny: [/v2/a/b/tags, /v2/..%2fb/tags]}\n  - name: refused\n    request: {from: web, to: shop, method: GET}\n    paths: {deny: [/v2/a%2fb/tags]}\n',
  );
  const tested = await place.run(['policy', 'test', 'slash/policy.yaml']);
  assert.equal(tested.code, 0, tested.stdout + tested.stderr);
  const check = (to: string) =>
    place.run(['policy', 'check', 'web', to, '--method', 'GET', '--path', '/v2/a%2fb/tags', '--policy', 'slash/policy.yaml']);
  assert.equal((await check('registry')).code, 0);
  assert.equal((await check('shop')).code, 2);
});
