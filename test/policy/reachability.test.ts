// What is proved over every identity and every path, against concrete requests of identities and paths that nobody named.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Who } from '../../src/mesh/authorization.ts';
import { makeSpiffeId, parseSpiffeId, printSpiffeId, type SpiffeId } from '../../src/mesh/identity.ts';
import { pathsOf } from '../../src/policy/atoms.ts';
import { compilePolicy, meshOfPolicy } from '../../src/policy/compile.ts';
import { diffPolicies } from '../../src/policy/diff.ts';
import { evaluate } from '../../src/policy/evaluate.ts';
import type { IdentityClass } from '../../src/policy/identities.ts';
import { lintPolicy } from '../../src/policy/lint.ts';
import { collectNames } from '../../src/policy/names.ts';
import { matchPath, normalizePath } from '../../src/policy/path.ts';
import { printRequest, Reachability } from '../../src/policy/reachability.ts';
import { type Verification, verify } from '../../src/policy/verify.ts';
import { attempts, operation, PATTERNS, policies } from '../support/policies.ts';

/** Identities that no rule of the random policies names, among those that they do. */
const anyId = fc.oneof(
  fc
    .tuple(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('x', 'y', 'z', 'ingress'))
    .map(([ns, name]) => makeSpiffeId('t.local', ns, name)),
  fc
    .constantFrom('spiffe://other.org/ns/a/sa/x', 'spiffe://other.org/q', 'spiffe://third.org/ns/a/sa/x', 'spiffe://t.local/q')
    .map((text) => parseSpiffeId(text) as SpiffeId),
);

/** The class that stands for an identity: itself when it is written out somewhere, else the widest that has its namespace or name. */
function classOf(classes: readonly IdentityClass[], id: SpiffeId | undefined): IdentityClass {
  const find = (text: string): IdentityClass | undefined =>
    classes.find((each) => each.id !== undefined && printSpiffeId(each.id) === text);
  if (id === undefined) return classes.find((each) => each.id === undefined) as IdentityClass;
  const { trustDomain, namespace, service } = id;
  const at = (ns: string | undefined, name: string | undefined) => find(`spiffe://${trustDomain}/ns/${ns}/sa/${name}`);
  const own = trustDomain === 't.local';
  const found =
    find(printSpiffeId(id)) ??
    (own && namespace !== undefined
      ? (at(namespace, 'any-other') ?? at('any-other', service) ?? at('any-other', 'any-other'))
      : find(`spiffe://${trustDomain}/any-other`)) ??
    find('spiffe://any-other.invalid/any-other');
  return found as IdentityClass;
}

test('whatever any identity may do, the class that stands for it may do too, and every edge has a request that is allowed', () => {
  const asked = fc.tuple(attempts, fc.option(anyId, { nil: undefined }), anyId);
  fc.assert(
    fc.property(policies, fc.array(asked, { minLength: 1, maxLength: 12 }), (policy, all) => {
      const reach = new Reachability(policy, 100);
      for (const [attempt, caller, callee] of all) {
        const concrete = { ...attempt, caller, callee, atMs: 100 };
        const from = classOf(reach.classes, caller);
        const to = classOf(reach.classes, callee);
        if (callee.trustDomain !== 't.local') continue;
        // The class decides as each of its members.
        assert.equal(
          evaluate(policy, { ...concrete, caller: from.id, callee: to.id as SpiffeId }).verdict,
          evaluate(policy, concrete).verdict,
        );
        const edge = reach.edge(from, to);
        if (evaluate(policy, concrete).verdict === 'allowed') assert.ok(edge !== undefined, `${from.label} -> ${to.label}`);
        if (edge !== undefined) assert.equal(edge.decision.verdict, 'allowed');
      }
    }),
    { numRuns: 1000 },
  );
});

test('a request that is judged differently shows in the diff, and whatever shows is judged differently', () => {
  const asked = fc.tuple(attempts, fc.option(anyId, { nil: undefined }), anyId);
  const changed = fc
    .tuple(policies, policies, fc.boolean())
    .map(([a, b, small]) => (small ? ([a, { ...a, allow: b.allow }] as const) : ([a, b] as const)));
  fc.assert(
    fc.property(changed, fc.array(asked, { minLength: 1, maxLength: 10 }), ([before, after], all) => {
      const { widened, narrowed, classes, isExact } = diffPolicies(before, after, [], 100);
      assert.ok(isExact);
      for (const { before: was, after: is } of widened) assert.deepEqual([was.verdict === 'allowed', is.verdict], [false, 'allowed']);
      for (const { before: was, after: is } of narrowed) assert.deepEqual([was.verdict, is.verdict === 'allowed'], ['allowed', false]);
      for (const [attempt, caller, callee] of all) {
        if (callee.trustDomain !== 't.local') continue;
        const concrete = { ...attempt, caller, callee, atMs: 100 };
        const [was, is] = [before, after].map((policy) => evaluate(policy, concrete).verdict === 'allowed');
        const from = classOf(classes, caller);
        const to = classOf(classes, callee);
        const shows = (was ? narrowed : widened).some((change) => change.from === from && change.to === to);
        if (was !== is) assert.ok(shows, `${from.label} -> ${to.label} ${JSON.stringify(concrete.http)}`);
      }
    }),
    { numRuns: 300 },
  );
});

test('for every path that an operation covers there is one in the list that no pattern tells apart from it', () => {
  const segment = fc.constantFrom('a', 'b', 'c', 'ab', 'any', 'x.Svc', 'Get', '');
  const path = fc.array(segment, { minLength: 1, maxLength: 5 }).map((segments) => {
    const normal = normalizePath(`/${segments.join('/')}`);
    return 'path' in normal ? normal.path : '/';
  });
  const others = fc.array(
    operation.filter((each) => each.kind === 'http'),
    { maxLength: 6 },
  );
  fc.assert(
    fc.property(fc.constantFrom(...PATTERNS), others, path, (pattern, patterns, concrete) => {
      const http = patterns.flatMap((each) => (each.kind === 'http' ? [each] : []));
      const fits = (text: string) =>
        JSON.stringify(http.map((each) => (each.isPrefix ? text.startsWith(each.path) : matchPath(each.path, text))));
      const list = pathsOf(pattern, false, http) ?? [];
      for (const each of list) assert.ok(matchPath(pattern, each), each);
      if (!matchPath(pattern, concrete)) return;
      assert.ok(
        list.some((each) => fits(each) === fits(concrete)),
        `${concrete} in ${list.join(' ')}`,
      );
    }),
    { numRuns: 2000 },
  );
});

function judge(body: string): Verification[] {
  const text = `apiVersion: meshctl.dev/v1\nkind: Policy\ntrustDomain: t.local\nservices: {web: {}, cart: {}, broker: {bridge: true, owner: x}, pay: {}, ledger: {}}\n${body}`;
  const { document, findings } = lintPolicy([{ file: 'p.yaml', text }], undefined, { verify: false });
  assert.deepEqual(
    findings.filter(({ severity }) => severity === 'error'),
    [],
  );
  const mesh = meshOfPolicy(document);
  const policy = compilePolicy(document, [], mesh, 1);
  return verify({ policy, names: collectNames(document, mesh), invariants: document.invariants, ports: [], atMs: 0 });
}

const path = ({ hops }: Verification): string =>
  hops.map(({ from, to, request }) => `${from.label}>${to.label} ${printRequest(request)}`).join(', ');

for (const [title, body, verdict, hops] of [
  [
    'a chain of two hops',
    'allow: [{web -> cart: GET /a}, {cart -> pay: "POST /b/*"}]\ninvariants: [{never: web => pay}]',
    'violated',
    'web>cart GET /a, cart>pay POST /b/x',
  ],
  ['the same as one hop', 'allow: [{web -> cart: GET /a}, {cart -> pay: POST /b}]\ninvariants: [{never: web -> pay}]', 'holds', ''],
  [
    'a chain longer than `within`',
    'allow: [{web -> cart: any}, {cart -> pay: any}]\ninvariants: [{never: web => pay, within: 1}]',
    'holds',
    '',
  ],
  [
    'a chain as long as `within`',
    'allow: [{web -> cart: any}, {cart -> pay: any}]\ninvariants: [{never: web => pay, within: 2}]',
    'violated',
    'web>cart GET /, cart>pay GET /',
  ],
  ['a chain through a bridge', 'allow: [{web -> broker: any}, {broker -> pay: any}]\ninvariants: [{never: web => pay}]', 'holds', ''],
  [
    'a chain that goes round the bridge',
    'allow: [{web -> broker: any}, {broker -> pay: any}, {web -> cart: tcp}, {cart -> pay: tcp}]\ninvariants: [{never: web => pay}]',
    'violated',
    'web>cart tcp, cart>pay tcp',
  ],
  ['a bridge as its beginning', 'allow: [{broker -> pay: any}]\ninvariants: [{never: broker => pay}]', 'holds', ''],
  ['a bridge as its one hop', 'allow: [{broker -> pay: any}]\ninvariants: [{never: broker -> pay}]', 'violated', 'broker>pay GET /'],
  ['a bridge as its end', 'allow: [{web -> broker: any}]\ninvariants: [{never: web => broker}]', 'violated', 'web>broker GET /'],
  [
    'a service that nobody has named yet',
    'allow: [{"ns:dev -> pay": any}]\ninvariants: [{never: "ns:dev => pay"}]',
    'violated',
    'any other of ns:dev>pay GET /',
  ],
  [
    'a hop over a service that nobody has named yet',
    'allow: [{"web -> ns:dev": any}, {"ns:dev -> pay": any}]\ninvariants: [{never: web => pay}]',
    'violated',
    'web>any other of ns:dev GET /, any other of ns:dev>pay GET /',
  ],
  [
    'a foreign trust domain',
    'allow: [{"td:other.org -> pay": GET /x}]\ninvariants: [{never: "td:other.org => pay"}]',
    'violated',
    'any other of td:other.org>pay GET /x',
  ],
  ['no identity at all, at the ingress', 'invariants: [{identity: {requiredFor: ingress}}]', 'violated', 'no identity>ingress GET /'],
  ['no identity anywhere else', 'allow: [{"mesh -> mesh": any}]\ninvariants: [{identity: {requiredFor: pay}}]', 'holds', ''],
  [
    'a deny that closes the only port',
    'allow: [{web -> pay: tcp :5432}]\ndeny: [{web -> pay: any :5432}]\ninvariants: [{never: web -> pay}]',
    'holds',
    '',
  ],
  [
    'a deny that closes one of two ports',
    'allow: [{web -> pay: [tcp :5432, tcp :5433]}]\ndeny: [{web -> pay: any :5432}]\ninvariants: [{never: web -> pay}]',
    'violated',
    'web>pay tcp :5433',
  ],
  ['a rule that has ended', 'allow: [{from: web, to: pay, path: /x, until: 1969-01-01}]\ninvariants: [{never: web -> pay}]', 'holds', ''],
  [
    'the list of direct callers',
    'allow: [{web -> pay: any}, {cart -> pay: any}]\ninvariants: [{only: {callers: [web], of: pay}}]',
    'violated',
    'cart>pay GET /',
  ],
  [
    'the list of direct callers, all of them',
    'allow: [{web -> pay: any}, {cart -> pay: any}]\ninvariants: [{only: {callers: [web, cart], of: pay}}]',
    'holds',
    '',
  ],
  ['a path that must pass and does', 'allow: [{web -> pay: "GET /a/*"}]\ninvariants: [{must: {web -> pay: GET /a/b}}]', 'holds', ''],
  [
    'paths that must pass, all but one of them',
    'allow: [{web -> pay: "GET /a/*"}]\ninvariants: [{must: {web -> pay: "GET /a/**"}}]',
    'violated',
    'web>pay GET /a',
  ],
  [
    'paths that must pass, by two rules together',
    'allow: [{web -> pay: ["GET /a", "GET /a/", "GET /a/*", "GET /a/*/**"]}]\ninvariants: [{must: {web -> pay: "GET /a/**"}}]',
    'holds',
    '',
  ],
  [
    'a method that must pass besides others',
    'allow: [{web -> pay: "GET|POST /a"}]\ninvariants: [{must: {web -> pay: "* /a"}}]',
    'violated',
    'web>pay PUT /a',
  ],
  [
    'what must pass, and is denied on one port',
    'allow: [{web -> pay: any}]\ndeny: [{web -> pay: any :9}]\ninvariants: [{must: {web -> pay: GET /a}}]',
    'violated',
    'web>pay GET /a :9',
  ],
  ['gRPC that must pass', 'allow: [{web -> pay: grpc a.B}]\ninvariants: [{must: {web -> pay: grpc a.B/C}}]', 'holds', ''],
  [
    'HTTP that must pass where only gRPC does',
    'allow: [{web -> pay: grpc a.B}]\ninvariants: [{must: {web -> pay: POST /a.B/C}}]',
    'violated',
    'web>pay POST /a.B/C',
  ],
  [
    'what must pass under a condition that is not given',
    'allow: [{web -> pay: "GET /a if header x=1"}]\ninvariants: [{must: {web -> pay: GET /a}}]',
    'violated',
    'web>pay GET /a',
  ],
  [
    'a blast radius within its bound',
    'allow: [{web -> broker: any}, {broker -> pay: any}]\ninvariants: [{reach: {from: web, atMost: 1}}]',
    'holds',
    '',
  ],
] as const) {
  test(`${title}: ${verdict}`, () => {
    const [first] = judge(`${body}\n`) as [Verification];
    assert.deepEqual([first.verdict, path(first)], [verdict, hops]);
  });
}

test('the cut is the fewest edges: one that every path passes rather than the many around it', () => {
  const [first] = judge(
    'allow: [{web -> cart: any}, {web -> ledger: any}, {ledger -> cart: any}, {cart -> pay: GET /x}, {name: again, from: cart, to: pay, path: /y}]\ninvariants: [{never: web => pay}]\n',
  ) as [Verification];
  assert.deepEqual(
    first.cut.map(({ from, to, rules }) => [from, to, rules.map(({ rule }) => rule)]),
    [['cart', 'pay', ['cart -> pay: GET /x', 'again']]],
  );
});

for (const [title, invariant, what] of [['a name that nobody knows', '{never: nobody => pay}', /`nobody` is not known/]] as const) {
  test(`${title} is no verdict`, () => {
    const [first] = judge(`invariants: [${invariant}]\n`) as [Verification];
    assert.deepEqual([first.verdict, what.test(first.what)], ['unknown', true]);
  });
}

for (const [title, invariant, what] of [
  ['a kind that is none', '{always: web -> pay}', /no invariant/],
  ['an edge that is none', '{never: web pay}', /caller -> callee/],
  ['`within` with one hop', '{never: web -> pay, within: 2}', /`within` is for `=>`/],
  ['a key that nobody knows', '{never: web => pay, wy: x}', /unknown key `wy`/],
  ['two promises in one', '{must: {web -> pay: any, cart -> pay: any}}', /holds one/],
  ['an operation that is none', '{must: {web -> pay: get /}}', /no HTTP method/],
] as const) {
  test(`refuses ${title}`, () => {
    const text = `apiVersion: meshctl.dev/v1\nkind: Policy\nservices: {web: {}, pay: {}}\ninvariants: [${invariant}]\n`;
    const { findings } = lintPolicy([{ file: 'p.yaml', text }], undefined);
    assert.match(findings.map((finding) => finding.what).join('\n'), what);
  });
}

test('a class for every identity that a question asks about', () => {
  const who: Who = { kind: 'namespace', namespace: 'new' };
  const { document } = lintPolicy([{ file: 'p.yaml', text: 'apiVersion: meshctl.dev/v1\nkind: Policy\n' }], undefined);
  const policy = compilePolicy(document, [], meshOfPolicy(document), 1);
  assert.ok(new Reachability(policy, 0, [who]).classes.some(({ label }) => label === 'any other of ns:new'));
});
