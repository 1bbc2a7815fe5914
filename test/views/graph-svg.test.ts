// The picture of a policy: every service in the band of its tier, every edge with its requests, and nothing in a name that is markup.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type GraphEdge, renderGraphSvg } from '../../src/views/graph-svg.ts';

const edge = (from: string, to: string, fromTier: string | undefined, toTier: string | undefined, bridge = false): GraphEdge => ({
  from,
  to,
  fromTier,
  toTier,
  bridge,
  text: 'GET /x',
});
const EDGES = [
  edge('web', 'orders', 'low', 'mid', true),
  edge('orders', 'payments', 'mid', 'high'),
  edge('orders', 'stock', 'mid', 'mid'),
  edge('payments', 'web', 'high', 'low'),
];

test('tiers are bands, least trusted on top, and each service stands in its own', () => {
  const svg = renderGraphSvg(EDGES, ['low', 'mid', 'high']);
  const tiers = [...svg.matchAll(/<text class="tier"[^>]*>([^<]*)</g)].map(([, text]) => text);
  assert.deepEqual(tiers, ['low', 'mid', 'high']);
  const y = (name: string): number =>
    Number(new RegExp(`<rect class="node" x="[\\d.]+" y="([\\d.]+)"[^>]*/><text[^>]*>${name}<`).exec(svg)?.[1]);
  assert.ok(y('web') < y('orders') && y('orders') === y('stock') && y('stock') < y('payments'));
  assert.equal(svg.match(/class="edge"/g)?.length, EDGES.length);
  assert.equal(svg.match(/class="ring"/g)?.length, 1);
  assert.match(svg, /<title>web -&gt; orders: GET \/x<\/title>/);
});

test('services without tiers stand in one band, and an empty policy is a picture too', () => {
  assert.equal(renderGraphSvg([edge('a', 'b', undefined, undefined)], []).match(/<rect class="band/g)?.length, 1);
  assert.match(renderGraphSvg([], []), /^<svg [\s\S]*<\/svg>\n$/);
});

test('nothing in a name is markup, and no band overlaps another', () => {
  const svg = renderGraphSvg([edge('<script>alert(1)</script>', '"&\u001b', 'x"y', undefined)], ['x"y']);
  assert.doesNotMatch(svg, /<script|&(?!amp;|lt;|gt;|quot;|#39;)/);
  assert.ok(!svg.includes('\u001b'));
});
