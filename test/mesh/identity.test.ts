import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeSpiffeId, parseSpiffeId, printSpiffeId } from '../../src/mesh/identity.ts';

test('reads namespace and service of an id of this mesh', () => {
  assert.deepEqual(parseSpiffeId('spiffe://shop.local/ns/default/sa/web'), makeSpiffeId('shop.local', 'default', 'web'));
});

test('prints what it read', () => assert.equal(printSpiffeId(makeSpiffeId('a.b', 'n', 's')), 'spiffe://a.b/ns/n/sa/s'));

test('reads a foreign path without a service', () => {
  assert.equal(parseSpiffeId('spiffe://other.org/workload/7')?.service, undefined);
  assert.equal(parseSpiffeId('spiffe://other.org/ns/a/sa/b/c')?.service, undefined);
});

for (const text of [
  '',
  'shop.local/ns/default/sa/web',
  'SPIFFE://shop.local/ns/default/sa/web',
  'spiffe://Shop.local/ns/default/sa/web',
  'spiffe://shop.local',
  'spiffe://shop.local/',
  'spiffe:///ns/default/sa/web',
  'spiffe://shop.local:443/ns/default/sa/web',
  'spiffe://user@shop.local/ns/default/sa/web',
  'spiffe://shop.local/ns/default/sa/web/',
  'spiffe://shop.local/ns//sa/web',
  'spiffe://shop.local/ns/../sa/web',
  'spiffe://shop.local/ns/./sa/web',
  'spiffe://shop.local/ns/default/sa/w%65b',
  'spiffe://shop.local/ns/default/sa/web?x=1',
  'spiffe://shop.local/ns/default/sa/web#x',
  'spiffe://shop.local/ns/default/sa/wéb',
  'spiffe://shop.local/ns/default/sa/web\u0000',
  `spiffe://shop.local/${'a'.repeat(2100)}`,
  `spiffe://${'a'.repeat(256)}/x`,
]) {
  test(`refuses ${JSON.stringify(text.slice(0, 60))} as an id`, () => assert.equal(parseSpiffeId(text), undefined));
}
