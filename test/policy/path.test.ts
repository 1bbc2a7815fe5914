import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { matchPath, normalizePath } from '../../src/policy/path.ts';

function path(target: string): string | undefined {
  const normal = normalizePath(target);
  return 'refused' in normal ? undefined : normal.path;
}

for (const [target, expected] of [
  ['/', '/'],
  ['/admin', '/admin'],
  ['/admin/', '/admin/'],
  ['//admin', '/admin'],
  ['/./admin', '/admin'],
  ['/x/../admin', '/admin'],
  ['/../../admin', '/admin'],
  ['/x/..', '/'],
  ['/x/.', '/x/'],
  ['/%61dmin', '/admin'],
  ['/%41', '/A'],
  ['/a%2Db', '/a-b'],
  ['/a%2eb', '/a.b'],
  ['/x/%2e%2e/admin', '/admin'],
  ['/a%20b', '/a%20b'],
  ['/a%e4b', '/a%E4b'],
  ['/a;p=1/b', '/a;p=1/b'],
  ['/ADMIN', '/ADMIN'],
  ['/a//b///c', '/a/b/c'],
] as const) {
  test(`${target} becomes ${expected}`, () => assert.equal(path(target), expected));
}

for (const target of [
  '',
  'admin',
  '*',
  '/a%',
  '/a%4',
  '/a%zz',
  '/a%00',
  '/a%2fb',
  '/a%2Fb',
  '/a%5cb',
  '/a\\b',
  '/a#b',
  '/a b',
  '/a\tb',
  '/a\u0000',
  '/ä',
  '/a?x=\u0001',
  '/a?#',
]) {
  test(`refuses the target ${JSON.stringify(target)}`, () => assert.equal(path(target), undefined));
}

test('sets the query aside unchanged', () => assert.deepEqual(normalizePath('/a/../b?x=../%2f//y'), { path: '/b', query: '?x=../%2f//y' }));

test('normalising twice changes nothing more', () => {
  const piece = fc.constantFrom('a', '.', '..', '', '%41', '%2e', '%20', 'b;c', '%2E%2e', '~');
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
      const once = path(`/${pieces.join('/')}`);
      if (once !== undefined) assert.equal(path(once), once);
    }),
  );
});

for (const [pattern, yes, no] of [
  ['/a', ['/a'], ['/a/', '/A', '/ab', '/']],
  ['/a/*', ['/a/b', '/a/..x'], ['/a', '/a/', '/a/b/c']],
  ['/a/**', ['/a', '/a/', '/a/b', '/a/b/c'], ['/ab', '/', '/b/a']],
  ['/**', ['/', '/a', '/a/b/'], []],
  ['/*/items', ['/7/items'], ['//items', '/items', '/7/items/', '/7/8/items']],
] as const) {
  test(`${pattern} fits ${yes.join(', ') || 'nothing'} and not ${no.join(', ') || 'else'}`, () => {
    for (const each of yes) assert.ok(matchPath(pattern, each), each);
    for (const each of no) assert.ok(!matchPath(pattern, each), each);
  });
}

for (const [target, expected] of [
  ['/v2/a%2fb/tags', '/v2/a%2Fb/tags'],
  ['/v2/a%2Fb%2Fc', '/v2/a%2Fb%2Fc'],
  ['/v2/%61%2fb', '/v2/a%2Fb'],
  ['/v2/x/../a%2fb', '/v2/a%2Fb'],
  ['/v2/a%252fb', '/v2/a%252fb'],
  ['/v2/a.%2f.b', '/v2/a.%2F.b'],
] as const)
  test(`where an encoded slash is kept, ${target} becomes ${expected}`, () => {
    const normal = normalizePath(target, true);
    assert.equal('path' in normal ? normal.path : undefined, expected);
  });

for (const target of [
  '/v2/..%2fadmin',
  '/v2/a%2f..',
  '/v2/a%2f..%2fb',
  '/v2/.%2fb',
  '/v2/%2e%2e%2fb',
  '/v2/a%2f%2e',
  '%2fa',
  '/a%5cb%2fc',
  '/a%00%2f',
])
  test(`where an encoded slash is kept, ${target} is refused all the same`, () => assert.ok('refused' in normalizePath(target, true)));
