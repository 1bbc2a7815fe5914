// Policies carried to another mesh and back: what is carried decides as before, and nothing that cannot be said opens anything.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { printYaml } from '../../src/base/rewrite.ts';
import { makeSpiffeId, printSpiffeId } from '../../src/mesh/identity.ts';
import { compilePolicy, meshOfPolicy } from '../../src/policy/compile.ts';
import { type Attempt, evaluate } from '../../src/policy/evaluate.ts';
import { type ExportTarget, exportPolicy } from '../../src/policy/export.ts';
import type { ForeignRequest } from '../../src/policy/foreign/request.ts';
import { decideForeign, readForeign } from '../../src/policy/foreign-decision.ts';
import { importForeign } from '../../src/policy/import.ts';
import { lintPolicy } from '../../src/policy/lint.ts';
import { collectNames, ServiceResolver } from '../../src/policy/names.ts';

const HEAD = 'apiVersion: meshctl.dev/v1\nkind: Policy\ntrustDomain: cluster.local\n';
const ACCOUNTS = { web: 'shop', orders: 'shop', pay: 'pay' } as const;
const SERVICES = `services:
  web: {id: ns/shop/sa/web, tier: low, ports: {http: 8080}}
  orders: {id: ns/shop/sa/orders, tier: mid, bridge: BRIDGE, owner: x, ports: {http: 8080, db: 5432}}
  pay: {id: ns/pay/sa/pay, tier: high, ports: {http: 8080}}
`;
const WORKLOADS = Object.entries(ACCOUNTS)
  .map(
    ([name, namespace]) =>
      `apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: ${name}, namespace: ${namespace}}\nspec: {template: {metadata: {labels: {app: ${name}}}, spec: {serviceAccountName: ${name}, containers: [{name: c, image: x}]}}}\n---\n`,
  )
  .join('');

const who = fc.constantFrom('web', 'orders', 'pay', 'mesh', 'ns:shop', 'tier:low', 'tier<high', 'tier>=mid', 'both', 'sa:dev/x');
const operation = fc.oneof(
  fc.constantFrom('any', 'any :8080', 'any :http', 'grpc a.B/C', 'grpc a.B :8080'),
  fc
    .tuple(
      fc.constantFrom('GET', 'POST', 'GET|POST', '*'),
      fc.constantFrom('/', '/a', '/a/*', '/a/**', '/**', '/*/b', '/a/*/c/**', '/a/'),
      fc.constantFrom('', ' :8080', ' :db', ' if header x=y'),
    )
    .map((parts) => `${parts[0]} ${parts[1]}${parts[2]}`),
);
const rule = (to: fc.Arbitrary<string>, op: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .tuple(who, to, fc.array(op, { minLength: 1, maxLength: 2 }))
    .map(([from, whom, ops]) => `  - ${JSON.stringify(`${from} -> ${whom}`)}: ${JSON.stringify(ops)}\n`);
const policies = fc
  .record({
    tiers: fc.constantFrom(
      'tiers: [low, mid, high]\n',
      'tiers: [low, {name: mid, acceptsFrom: low}, {name: high, acceptsFrom: mid}]\n',
      '',
    ),
    bridge: fc.boolean(),
    allow: fc.array(rule(fc.constantFrom('web', 'orders', 'pay', 'ns:shop', 'mesh'), operation), { minLength: 1, maxLength: 5 }),
    deny: fc.array(rule(fc.constantFrom('web', 'orders', 'pay'), fc.constantFrom('any', 'any :8080')), { maxLength: 2 }),
  })
  .map(({ tiers, bridge, allow, deny }) => {
    const services = SERVICES.replace('BRIDGE', String(bridge));
    const kept = (rules: readonly string[]): readonly string[] => (tiers === '' ? rules.filter((each) => !each.includes('tier')) : rules);
    const list = (key: string, rules: readonly string[]): string => (rules.length === 0 ? '' : `${key}:\n${rules.join('')}`);
    return `${HEAD}${tiers}${tiers === '' ? services.replaceAll(/ tier: \w+,/g, '') : services}groups: {both: [web, orders]}\n${list('allow', kept(allow))}${list('deny', kept(deny))}`;
  });

const CALLERS = [
  ['shop', 'web'],
  ['shop', 'orders'],
  ['pay', 'pay'],
  ['dev', 'x'],
  ['shop', 'other'],
] as const;
const REQUESTS = [
  ['GET', '/', {}],
  ['GET', '/a', {}],
  ['POST', '/a/x', { x: 'y' }],
  ['GET', '/a/x/c', {}],
  ['GET', '/a/x/c/d', {}],
  ['GET', '/a/', {}],
  ['PUT', '/z/b', { x: 'z' }],
  ['POST', '/a.B/C', { 'content-type': 'application/grpc' }],
  ['POST', '/a.B/D', { 'content-type': 'application/grpc+proto' }],
  ['POST', '/a.B/C', {}],
] as const;

interface Asked {
  readonly attempt: Attempt;
  readonly request: ForeignRequest;
}

function* questions(): Generator<Asked> {
  for (const [namespace, account] of [...CALLERS, ['', ''] as const])
    for (const [name, home] of Object.entries(ACCOUNTS))
      for (const port of [8080, 5432])
        for (const [method, path, headers] of REQUESTS) {
          const caller = account === '' ? undefined : makeSpiffeId('cluster.local', namespace, account);
          const fields: Readonly<Record<string, string>> = headers;
          yield {
            attempt: {
              caller,
              callee: makeSpiffeId('cluster.local', home, name),
              port: { name: port === 8080 ? 'http' : name === 'orders' ? 'db' : '', number: port },
              http: {
                method,
                path,
                grpc: method === 'POST' && fields['content-type']?.startsWith('application/grpc') === true,
                header: (field) => (fields[field] === undefined ? [] : [fields[field]]),
              },
              atMs: 0,
            },
            request: {
              source: {
                identity: caller === undefined ? undefined : printSpiffeId(caller),
                namespace: caller === undefined ? undefined : namespace,
                serviceAccount: caller === undefined ? undefined : account,
                ip: undefined,
                labels: caller === undefined ? undefined : { app: account },
              },
              destination: {
                workload: name,
                namespace: home,
                labels: { app: name },
                service: name,
                ip: undefined,
                port,
                portName: undefined,
                enforcement: 'sidecar',
              },
              http: { method, path, host: name, headers: fields },
              sni: undefined,
              remoteIp: undefined,
              authorizers: {},
              token: null,
            },
          };
        }
}

const ASKED = [...questions()];

function read(text: string) {
  const { document, findings } = lintPolicy([{ file: 'p.yaml', text }], undefined, { verify: false });
  const mesh = meshOfPolicy(document);
  const names = collectNames(document, mesh);
  const errors = findings.filter(({ severity, rule: id }) => severity === 'error' && id !== 'tier-violation');
  assert.deepEqual(errors, [], text);
  return { document, mesh, names, policy: compilePolicy(document, [], mesh, 1) };
}

function exported(text: string, target: ExportTarget) {
  const { document, mesh, names } = read(text);
  return exportPolicy(target, document, names, new ServiceResolver(names, mesh.trustDomain), mesh, 'app', 0);
}

const foreign = (text: string) => {
  const mesh = readForeign([{ file: 'f.yaml', text }], { pathNormalization: 'MERGE_SLASHES' });
  assert.ok(mesh !== undefined);
  return mesh;
};

test('exported to Istio a policy decides as before, but for what is named as left out, which allows nothing', () => {
  let equal = 0;
  fc.assert(
    fc.property(policies, (text) => {
      const { policy } = read(text);
      const { resources, left } = exported(text, 'istio');
      const mesh = foreign(printYaml(resources));
      for (const { attempt, request } of ASKED) {
        const before = evaluate(policy, attempt).verdict === 'allowed';
        const after = decideForeign(mesh, request).decision === 'allow';
        if (left.length === 0) {
          equal++;
          assert.equal(after, before, JSON.stringify([request, text, resources]));
        } else if (after) assert.ok(before, JSON.stringify([request, text, left]));
      }
    }),
    { numRuns: 150, seed: 11 },
  );
  assert.ok(equal > 10_000, String(equal));
});

test('exported to Istio and imported again, a policy decides as before', () => {
  let equal = 0;
  fc.assert(
    fc.property(policies, (text) => {
      const { policy } = read(text);
      const out = exported(text, 'istio');
      const back = importForeign(foreign(`${WORKLOADS}${printYaml(out.resources)}`));
      if (out.left.length > 0 || back.left.length > 0) return;
      const again = read(back.text).policy;
      for (const { attempt } of ASKED) {
        equal++;
        assert.equal(
          evaluate(again, attempt).verdict,
          evaluate(policy, attempt).verdict,
          JSON.stringify([attempt.http?.path, text, back.text]),
        );
      }
    }),
    { numRuns: 300, seed: 11 },
  );
  assert.ok(equal > 5000, String(equal));
});

test('exported to Linkerd a policy lets nobody in whom it did not', () => {
  let allowed = 0;
  fc.assert(
    fc.property(policies, (text) => {
      const { policy } = read(text);
      const mesh = foreign(printYaml(exported(text, 'linkerd').resources));
      for (const { attempt, request } of ASKED) {
        // Ports that no Server is for are the default inbound policy's business.
        if (request.destination.port === 5432 && request.destination.workload !== 'orders') continue;
        if (decideForeign(mesh, request).decision !== 'allow') continue;
        allowed++;
        assert.equal(evaluate(policy, attempt).verdict, 'allowed', JSON.stringify([request, text]));
      }
    }),
    { numRuns: 150, seed: 11 },
  );
  assert.ok(allowed > 1000, String(allowed));
});

test('what a policy allows, its NetworkPolicies let pass, unless they say that they do not', () => {
  let passed = 0;
  let closed = 0;
  fc.assert(
    fc.property(policies, (text) => {
      const { policy } = read(text);
      const { resources, left } = exported(text, 'kubernetes');
      const mesh = foreign(printYaml(resources));
      for (const { attempt, request } of ASKED) {
        const { decision } = decideForeign(mesh, request);
        if (decision === 'deny') closed++;
        if (left.length > 0 || evaluate(policy, attempt).verdict !== 'allowed') continue;
        // A `deny` of one port takes its callers out of every port, and pods that nobody named have no labels to be told by.
        if (text.includes('deny:') || text.includes('sa:dev/x') || request.source.serviceAccount === 'other') continue;
        passed++;
        assert.notEqual(decision, 'deny', JSON.stringify([request, text]));
      }
    }),
    { numRuns: 150, seed: 11 },
  );
  assert.ok(passed > 500 && closed > 500, `${passed} ${closed}`);
});

const policy = (spec: string): string =>
  `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: pay}\nspec: ${spec}\n`;
const imported = (text: string) => importForeign(foreign(WORKLOADS + text));
const SELECT = 'selector: {matchLabels: {app: pay}}';

for (const [title, spec, expected] of [
  [
    'a principal and a path',
    `{${SELECT}, rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}], to: [{operation: {methods: [POST], paths: [/charge]}}]}]}`,
    'web -> pay: POST /charge',
  ],
  ['a namespace', `{${SELECT}, rules: [{from: [{source: {namespaces: [shop]}}]}]}`, 'ns:shop -> pay: any'],
  [
    'a namespace as a pattern of principals',
    `{${SELECT}, rules: [{from: [{source: {principals: ["cluster.local/ns/shop/*"]}}]}]}`,
    'ns:shop -> pay: any',
  ],
  ['an account that runs nowhere here', `{${SELECT}, rules: [{from: [{source: {serviceAccounts: [dev/cli]}}]}]}`, 'cli -> pay: any'],
  [
    'another trust domain',
    `{${SELECT}, rules: [{from: [{source: {principals: [partner.org/ns/a/sa/b]}}]}]}`,
    'id:spiffe://partner.org/ns/a/sa/b -> pay: any',
  ],
  [
    'a template of one segment',
    `{${SELECT}, rules: [{from: [{source: {namespaces: [shop]}}], to: [{operation: {paths: ["/a/{*}/b"]}}]}]}`,
    'ns:shop -> pay: "* /a/*/b"',
  ],
  [
    'a port',
    `{${SELECT}, rules: [{from: [{source: {namespaces: [shop]}}], to: [{operation: {ports: ["8080"]}}]}]}`,
    'ns:shop -> pay: any :8080',
  ],
  [
    'a header',
    `{${SELECT}, rules: [{from: [{source: {namespaces: [shop]}}], when: [{key: "request.headers[x-a]", values: [b]}]}]}`,
    'ns:shop -> pay: "* /** if header x-a=b"',
  ],
  ['a policy of the namespace', '{rules: [{from: [{source: {namespaces: [shop]}}]}]}', 'ns:shop -> ns:pay: any'],
  ['a condition about the source', `{${SELECT}, rules: [{when: [{key: source.namespace, values: [shop]}]}]}`, 'ns:shop -> pay: any'],
  ['a prefix', `{${SELECT}, rules: [{from: [{source: {namespaces: [shop]}}], to: [{operation: {paths: ["/a*"]}}]}]}`, 'prefix: /a'],
] as const)
  test(`import: ${title}: ${expected}`, () => {
    const { text, left } = imported(policy(spec));
    assert.deepEqual(left, []);
    assert.ok(text.includes(expected), text);
    read(text);
  });

for (const [title, spec] of [
  ['a principal that is excluded', `{${SELECT}, rules: [{from: [{source: {notPrincipals: [cluster.local/ns/shop/sa/web]}}]}]}`],
  ['a path that is excluded', `{${SELECT}, rules: [{to: [{operation: {notPaths: [/admin]}}]}]}`],
  ['two fields of one source', `{${SELECT}, rules: [{from: [{source: {namespaces: [shop], ipBlocks: [10.0.0.0/8]}}]}]}`],
  ['an address', `{${SELECT}, rules: [{from: [{source: {ipBlocks: [10.0.0.0/8]}}]}]}`],
  ['a token', `{${SELECT}, rules: [{from: [{source: {requestPrincipals: ["*"]}}]}]}`],
  ['a host', `{${SELECT}, rules: [{to: [{operation: {hosts: [a.b]}}]}]}`],
  ['a suffix of a path', `{${SELECT}, rules: [{to: [{operation: {paths: ["*.php"]}}]}]}`],
  ['a suffix of a principal', `{${SELECT}, rules: [{from: [{source: {principals: ["*/sa/web"]}}]}]}`],
  ['a template that goes on after a segment', `{${SELECT}, rules: [{to: [{operation: {paths: ["/a/{*}/{**}"]}}]}]}`],
  ['a DENY of a path', `{${SELECT}, action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]}`],
  ['a DENY of everybody but some', `{${SELECT}, action: DENY, rules: [{from: [{source: {notNamespaces: [shop]}}]}]}`],
  ['an external authorizer', `{${SELECT}, action: CUSTOM, provider: {name: opa}, rules: [{}]}`],
  ['workloads that are not among the files', '{selector: {matchLabels: {app: gone}}, rules: [{}]}'],
  ['a method that is none', `{${SELECT}, rules: [{to: [{operation: {methods: ["G*"]}}]}]}`],
  ['a header by a pattern', `{${SELECT}, rules: [{when: [{key: "request.headers[x]", values: ["a*"]}]}]}`],
  ['a claim', `{${SELECT}, rules: [{when: [{key: "request.auth.claims[a]", values: [b]}]}]}`],
] as const)
  test(`import: ${title} is named with its place, and allows nothing`, () => {
    const { text, left } = imported(policy(spec));
    assert.ok(left.length > 0 && left.every(({ place, what }) => /^f\.yaml:\d+:\d+$/.test(place) && what !== ''), JSON.stringify(left));
    const { policy: native } = read(text);
    for (const { attempt } of ASKED)
      if (attempt.callee.service === 'pay' && !text.includes('-> pay: any')) assert.notEqual(evaluate(native, attempt).verdict, 'allowed');
  });

test('import: a workload that nothing covers stays open, and the notes say so', () => {
  const { text, notes } = imported(policy(`{${SELECT}}`));
  assert.match(text, /mesh -> web: any #/);
  assert.doesNotMatch(text, /-> pay/);
  assert.ok(notes.some((note) => note.includes('no ALLOW policy covers shop/web')));
});

test('import: pods of one account that a policy tells apart cannot be told apart', () => {
  const twin = WORKLOADS.replace(
    'name: web, namespace: shop}\nspec: {template: {metadata: {labels: {app: web}}, spec: {serviceAccountName: web',
    'name: web, namespace: pay}\nspec: {template: {metadata: {labels: {app: twin}}, spec: {serviceAccountName: pay',
  );
  assert.notEqual(twin, WORKLOADS);
  const { left } = importForeign(foreign(twin + policy(`{${SELECT}, rules: [{}]}`)));
  assert.ok(left.some(({ what }) => what.includes('same service account')));
});

test('import: Linkerd and Kuma, each with what they say of ports and routes', () => {
  const linkerd = `apiVersion: policy.linkerd.io/v1beta3\nkind: Server\nmetadata: {name: pay, namespace: pay}\nspec: {podSelector: {matchLabels: {app: pay}}, port: 8080}\n---\napiVersion: policy.linkerd.io/v1beta3\nkind: HTTPRoute\nmetadata: {name: r, namespace: pay}\nspec: {parentRefs: [{kind: Server, name: pay}], rules: [{matches: [{path: {type: PathPrefix, value: /api}, method: GET}]}]}\n---\napiVersion: policy.linkerd.io/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: pay}\nspec: {targetRef: {kind: HTTPRoute, name: r}, requiredAuthenticationRefs: [{kind: ServiceAccount, name: web, namespace: shop}]}\n`;
  const one = imported(linkerd);
  assert.deepEqual(one.left, []);
  assert.match(one.text, /web -> pay: GET \/api\/\*\* :8080 #/);
  const kuma = `apiVersion: kuma.io/v1alpha1\nkind: MeshTrafficPermission\nmetadata: {name: k, namespace: kuma-system}\nspec: {targetRef: {kind: Dataplane, labels: {app: pay}, sectionName: http}, rules: [{default: {allow: [{spiffeID: {type: Prefix, value: "spiffe://cluster.local/ns/shop/"}}], deny: [{spiffeID: {type: Exact, value: "spiffe://cluster.local/ns/shop/sa/web"}}]}}]}\n`;
  const two = imported(kuma);
  assert.deepEqual(two.left, []);
  assert.match(two.text, /ns:shop -> pay: any :http #[\s\S]*deny:\n {2}- web -> pay: any :http #/);
});
