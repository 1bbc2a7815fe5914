// The same policy written otherwise: short and long form, one shape; and paths that were seen as patterns. Comments stay, meaning stays.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { mapLists, replaceList } from '../../src/base/rewrite.ts';
import { parsePolicy } from '../../src/policy/document.ts';
import { canonical, mergeShort, toLong, toShort } from '../../src/policy/forms.ts';
import { foldPaths } from '../../src/policy/learn.ts';
import { matchPath } from '../../src/policy/path.ts';

const HEAD = 'apiVersion: meshctl.dev/v1\nkind: Policy\n';
const KEYS = ['allow', 'deny'];
const long = (text: string): string => mapLists(text, KEYS, { replace: toLong });
const short = (text: string): string => mapLists(text, KEYS, { replace: toShort, merge: mergeShort });
const format = (text: string): string => mapLists(text, KEYS, { replace: canonical });
/** What the rules say, whatever their form: one entry an operation. */
const meaning = (text: string): string[] => {
  const { document, findings } = parsePolicy([{ file: 'p', text }]);
  assert.deepEqual(findings, [], text);
  return [...document.allow, ...document.deny].flatMap(({ from, to, operations, untilMs, audit, owner }) =>
    operations.map((operation) => JSON.stringify([from, to, operation, untilMs, audit, owner])),
  );
};

const TEXT = `# head
${HEAD}services: {web: {}, orders: {}}
# before the list
allow:
  # before a rule
  - web->orders:   [GET /orders/*,  "POST /orders"]   # behind a rule

  - orders -> web: tcp :5432
  # a name
  - {from: web, to: orders, prefix: /a, name: pre}
  - {from: web, to: orders, path: /b, methods: [GET], until: 2999-01-01}
deny: # all of it
  - orders -> web: any
# foot
`;

test('formatting keeps every comment and the meaning, and does nothing twice', () => {
  const once = format(TEXT);
  for (const comment of ['# head', '# before the list', '# before a rule', '# behind a rule', '# a name', '# all of it', '# foot'])
    assert.equal(once.split(comment).length, 2, comment);
  assert.match(once, /- web -> orders: \[GET \/orders\/\*, POST \/orders\] # behind a rule\n/);
  assert.deepEqual(meaning(once), meaning(TEXT));
  assert.equal(format(once), once);
});

test('the long form and back is the formatted text', () => {
  assert.equal(short(long(TEXT)), format(TEXT));
  assert.match(long(TEXT), /- from: web # behind a rule\n {4}to: orders\n {4}methods: \[GET\]\n {4}path: \/orders\/\*\n/);
});

const name = fc.constantFrom('web', 'orders', 'ns:shop', 'sa:a/b', 'tier>=high', 'mesh', 'id:spiffe://x.y/ns/a/sa/b', 'td:x.y');
const path = fc.constantFrom('/', '/a', '/a/*', '/a/**', '/*/b', '/a/', '/a%20b');
const operation = fc.oneof(
  fc.constantFrom('any', 'tcp', 'any :80', 'tcp :db', 'grpc a.B', 'grpc a.B/C :9000'),
  fc
    .tuple(fc.constantFrom('GET', 'GET|POST', '*'), path, fc.constantFrom('', ' :80', ' if header a=b', ' :http if header a=b'))
    .map((parts) => `${parts[0]} ${parts[1]}${parts[2]}`),
);
const rules = fc.array(fc.tuple(name, name, fc.array(operation, { minLength: 1, maxLength: 3 })), { minLength: 1, maxLength: 4 });

test('whatever the rules are, every form says the same', () => {
  fc.assert(
    fc.property(rules, (all) => {
      const items = all.map(([from, to, operations]) => ({ value: { [`${from} -> ${to}`]: operations } }));
      const text = replaceList(HEAD, 'allow', items);
      for (const other of [format(text), long(text), short(text), short(long(text)), long(short(text))])
        assert.deepEqual(meaning(other), meaning(text));
      assert.equal(long(short(long(text))), long(text));
    }),
    { numRuns: 500 },
  );
});

test('what is no rule, and what an anchor holds, stays as it is', () => {
  for (const body of [
    'allow:\n  - web -> orders\n',
    'allow:\n  - {a: b, c: d}\n',
    'allow: all\n',
    'allow:\n  - 7\n',
    'allow:\n  - &x\n    web -> orders: any\n  - *x\n',
  ])
    for (const change of [format, long, short]) assert.equal(change(HEAD + body), HEAD + body);
  assert.throws(() => format('a: [1'));
});

test('a list is replaced where it stands, and in no second document', () => {
  const text = `${HEAD}tiers: [low] # one\nallow:\n  - a -> b: any # old\n---\n${HEAD}# two\nallow:\n  - b -> a: any\n`;
  const result = replaceList(text, 'allow', [{ value: { 'c -> d': ['GET /x', 'POST /x'] }, comment: '7 seen' }]);
  assert.match(result, /tiers: \[low\] # one\nallow:\n {2}- c -> d: \[GET \/x, POST \/x\] # 7 seen\n---\n/);
  assert.doesNotMatch(result, /a -> b|b -> a/);
});

for (const [paths, folded] of [
  [
    ['/orders/1', '/orders/2'],
    ['/orders/*', '/orders/*'],
  ],
  [['/a/0192f3c1-aaaa-bbbb-cccc-0123456789ab/b'], ['/a/*/b']],
  [
    ['/blob/deadbeef01', '/blob/cafe'],
    ['/blob/*', '/blob/cafe'],
  ],
  [
    ['/', '/health', '/a/'],
    ['/', '/health', '/a/'],
  ],
  [
    ['/v1/users', '/v2/users'],
    ['/v1/users', '/v2/users'],
  ],
  [['/a*b/c'], ['/*/c']],
] as const)
  test(`${paths.join(' and ')} become ${folded.join(' and ')}`, () => assert.deepEqual(foldPaths(paths), folded));

test('where a beginning goes on in many ways, that is a value; every path still fits its pattern', () => {
  const words = 'abcdefghijkl'.split('').map((letter) => `/user/${letter.repeat(3)}/profile`);
  assert.deepEqual(new Set(foldPaths([...words, '/other/x'])), new Set(['/user/*/profile', '/other/x']));
  fc.assert(
    fc.property(
      fc.array(
        fc.array(fc.constantFrom('a', 'b', '1', 'x*', '', 'c-d', '12345678'), { maxLength: 4 }).map((parts) => `/${parts.join('/')}`),
        { maxLength: 30 },
      ),
      (paths) => {
        // Paths are normalised before they are recorded: no empty segment but the last.
        const normal = paths.map((each) => each.replace(/\/{2,}/g, '/'));
        foldPaths(normal).forEach((pattern, i) => {
          assert.ok(matchPath(pattern, normal[i] as string), `${pattern} ${normal[i]}`);
        });
      },
    ),
  );
});
