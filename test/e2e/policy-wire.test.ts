// What proxies decide on the wire against what `policy check` says offline: random policies, real requests; and the forms that only
// part of a request decides.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { makeSpiffeId } from '../../src/mesh/identity.ts';
import { compilePolicy } from '../../src/policy/compile.ts';
import { evaluate } from '../../src/policy/evaluate.ts';
import { lintPolicy } from '../../src/policy/lint.ts';
import { normalizePath } from '../../src/policy/path.ts';
import { call, startApp, TestMesh } from '../support/test-mesh.ts';

const MESH = 'services:\n  a: {command: x, calls: [c]}\n  b: {command: x, calls: [c]}\n  c: {command: x}\n';
const TARGETS = ['/', '/x', '/x/', '/x/y', '//x//y', '/x/../y', '/%78', '/x/y/z?q=/x', '/y', '/x%2fy', '/X', '/x/%2e%2e/y'];

const operation = fc.oneof(
  fc.constantFrom('any', 'tcp', 'any :http', 'any :9'),
  fc
    .tuple(
      fc.constantFrom('GET', 'POST', 'GET|POST', '*'),
      fc.constantFrom('/', '/x', '/x/', '/x/*', '/x/**', '/**', '/*', '/*/y', '/y'),
      fc.constantFrom('', '', ' :http', ' if header x-role=admin'),
    )
    .map((parts) => `${parts[0]} ${parts[1]}${parts[2]}`),
  fc.constant('grpc x'),
);
const who = fc.constantFrom('a', 'b', 'both', 'mesh', 'ns:default', 'ns:other', 'tier:low', 'tier>=mid', 'sa:default/a');
const rule = fc.tuple(who, operation).map(([from, op]) => `  - ${JSON.stringify(`${from} -> c`)}: ${JSON.stringify(op)}\n`);
const policies = fc
  .record({
    tiers: fc.constantFrom('', 'tiers: [low, mid]\n', 'tiers: [low, {name: mid, acceptsFrom: low}]\n'),
    bridge: fc.boolean(),
    allow: fc.array(rule, { maxLength: 5 }),
    deny: fc.array(
      fc
        .tuple(who, fc.constantFrom('any', 'tcp', 'any :http', 'any :9'))
        .map(([from, op]) => `  - ${JSON.stringify(`${from} -> c`)}: ${JSON.stringify(op)}\n`),
      { maxLength: 1 },
    ),
  })
  .map(({ tiers, bridge, allow, deny }) => {
    const tier = (name: string): string => (tiers === '' ? '' : `tier: ${name}, `);
    const rules = tiers === '' ? [...allow, ...deny].filter((each) => !each.includes('tier')) : [...allow, ...deny];
    const part = (key: string, of: readonly string[]): string => {
      const kept = of.filter((each) => rules.includes(each));
      return kept.length === 0 ? '' : `${key}:\n${kept.join('')}`;
    };
    return `${tiers}services:\n  a: {${tier('low')}bridge: ${bridge}, owner: x}\n  b: {${tier('mid')}}\n  c: {${tier('mid')}}\ngroups: {both: [a, b]}\n${part('allow', allow)}${part('deny', deny)}`;
  });

test('the proxies decide as the evaluator does offline, on random policies and requests', async () => {
  await using mesh = await TestMesh.start(MESH, 'allow: []\n');
  await using app = await startApp();
  await mesh.addProxy('c', { appPort: app.port });
  const callers = { a: await mesh.addProxy('a'), b: await mesh.addProxy('b') };
  const samples = fc.sample(policies, { numRuns: 60, seed: Date.now() });
  let judged = 0;
  for (const text of samples) {
    const { document, findings } = lintPolicy([{ file: 'p.yaml', text: `apiVersion: meshctl.dev/v1\nkind: Policy\n${text}` }], mesh.spec);
    // What lint refuses is not applied.
    if (findings.some(({ severity }) => severity === 'error') || judged === 25) continue;
    judged++;
    await mesh.applyPolicy(text);
    const policy = compilePolicy(document, findings, mesh.spec, 1);
    for (const caller of ['a', 'b'] as const) {
      for (const path of TARGETS) {
        const role = path.length % 2 === 0 ? 'admin' : 'user';
        const method = path.length % 3 === 0 ? 'POST' : 'GET';
        const normal = normalizePath(path);
        const expected =
          'refused' in normal
            ? 400
            : evaluate(policy, {
                  caller: makeSpiffeId(mesh.spec.trustDomain, 'default', caller),
                  callee: makeSpiffeId(mesh.spec.trustDomain, 'default', 'c'),
                  port: { name: 'http', number: app.port },
                  http: { method, path: normal.path, grpc: false, header: (name) => (name === 'x-role' ? [role] : []) },
                  atMs: Date.now(),
                }).verdict === 'allowed'
              ? 200
              : 403;
        const answer = await call(callers[caller].ports.outbound['c'] ?? 0, path, { method, headers: { 'x-role': role } });
        assert.equal(answer.status, expected, `${caller} ${method} ${path} x-role: ${role}\n${text}`);
      }
    }
  }
  assert.ok(judged >= 10, String(judged));
});

test('a header condition sees what the application gets, and a value that comes twice is none', async () => {
  await using mesh = await TestMesh.start(MESH, 'allow:\n  - a -> c: "GET /** if header x-role=admin"\n');
  await using app = await startApp();
  await mesh.addProxy('c', { appPort: app.port });
  const a = await mesh.addProxy('a');
  const status = async (headers: Record<string, string | string[]>): Promise<number> =>
    (await call(a.ports.outbound['c'] ?? 0, '/', { headers: headers as Record<string, string> })).status;
  assert.deepEqual(
    [
      await status({ 'x-role': 'admin' }),
      await status({ 'X-Role': 'admin' }),
      await status({}),
      await status({ 'x-role': 'user' }),
      await status({ 'x-role': ['user', 'admin'] }),
      await status({ 'x-role': ['admin', 'admin'] }),
      await status({ 'x-role': 'admin, user' }),
      // A caller that names the field in `connection` takes it off on the way.
      await status({ 'x-role': 'admin', connection: 'x-role' }),
    ],
    [200, 200, 403, 403, 403, 403, 403, 403],
  );
  assert.equal(app.seen.length, 2);
});

test('a rule that has ended allows nothing more, without a new revision', async () => {
  const until = new Date(Date.now() + 1500).toISOString();
  await using mesh = await TestMesh.start(MESH, `allow:\n  - {from: a, to: c, path: /**, until: "${until}"}\n`);
  await using app = await startApp();
  await mesh.addProxy('c', { appPort: app.port });
  const a = await mesh.addProxy('a');
  const ask = async (): Promise<number> => (await call(a.ports.outbound['c'] ?? 0, '/')).status;
  const statuses = [await ask()];
  while (statuses.at(-1) === 200 && Date.now() < Date.parse(until) + 5000) statuses.push(await ask());
  assert.deepEqual([statuses[0], statuses.at(-1)], [200, 403]);
  assert.ok(Date.now() >= Date.parse(until));
});

test('a policy that breaks its own invariants is not applied', async () => {
  await using mesh = await TestMesh.start(MESH, 'allow:\n  - a -> c: any\n');
  const broken = 'allow:\n  - a -> b: any\n  - b -> c: any\ninvariants:\n  - never: a => c\n';
  const applied = mesh.client.request('policy.apply', {
    files: [{ file: 'p.yaml', text: `apiVersion: meshctl.dev/v1\nkind: Policy\n${broken}` }],
    user: 'test',
    message: '',
  });
  await assert.rejects(applied, { code: 'POLICY_REFUSED' });
  assert.equal((await mesh.client.request('policy.show', {})).revision, 1);
});

test('an encoded slash is a letter for the service that keeps it, at every proxy on the way, and refused for others', async () => {
  const services =
    'ingress: {routes: [{path: /v2, service: registry}, {path: /, service: shop}]}\nservices:\n  front: {command: x, calls: [registry, shop]}\n  registry: {command: x, encodedSlash: keep}\n  shop: {command: x}\n';
  await using mesh = await TestMesh.start(
    services,
    'allow:\n  - front -> registry: GET /v2/*/tags\n  - front -> shop: any\n  - ingress -> registry: GET /v2/*/tags\n  - ingress -> shop: any\n',
  );
  await using registry = await startApp();
  await using shop = await startApp();
  await mesh.addProxy('registry', { appPort: registry.port });
  await mesh.addProxy('shop', { appPort: shop.port });
  const front = await mesh.addProxy('front');
  const door = await mesh.addProxy('ingress', { ingress: true });
  const outside = door.ports.ingress ?? 0;
  for (const [port, path, status] of [
    [front.ports.outbound['registry'] ?? 0, '/v2/library%2fnode/tags', 200],
    [outside, '/v2/library%2Fnode/tags', 200],
    [front.ports.outbound['registry'] ?? 0, '/v2/library/node/tags', 403],
    [front.ports.outbound['registry'] ?? 0, '/v2/..%2fadmin/tags', 400],
    [front.ports.outbound['registry'] ?? 0, '/v2/a%2f..%2fb/tags', 400],
    [front.ports.outbound['shop'] ?? 0, '/v2/library%2fnode/tags', 400],
    [outside, '/other%2fpath', 400],
  ] as const)
    assert.equal((await call(port, path)).status, status, path);
  assert.deepEqual(
    registry.seen.map(({ url }) => url),
    ['/v2/library%2Fnode/tags', '/v2/library%2Fnode/tags'],
  );
  assert.deepEqual(shop.seen, []);
});
