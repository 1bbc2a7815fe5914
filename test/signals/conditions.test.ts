import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_ROUTES, Routes, templateOf } from '../../src/proxy/route/template.ts';
import { budgets, failing, parseCondition } from '../../src/signals/conditions.ts';
import { goldenRows, type Stat, type StatRow } from '../../src/signals/golden.ts';

const [EMPTY] = goldenRows([{ name: 'web', protocol: 'http' }], [], [], 10) as [StatRow];
const row = (change: Partial<StatRow>): StatRow => ({
  ...EMPTY,
  requestsPerSecond: 10,
  successPercent: 99,
  p99Ms: 250,
  memoryBytes: 2 ** 30,
  ...change,
});
const stat = (...rows: StatRow[]): Stat => ({
  by: 'service',
  view: 'inbound',
  window: { from: '', to: '', seconds: 10 },
  completeness: { proxiesAnswered: 1, proxiesTotal: 1, samplesDropped: 0 },
  rows,
});

for (const [text, met] of [
  ['success<99.5%', true],
  ['success<99%', false],
  ['success<=99', true],
  ['p99>200ms', true],
  ['p99>0.3s', false],
  ['rps>=10', true],
  ['rps > 10/s', false],
  ['memory>512MiB', true],
  ['memory>1GiB', false],
  ['p95>1ms', undefined],
] as const)
  test(`${text} is ${met === undefined ? 'unknown' : met ? 'met' : 'not met'}`, () =>
    assert.equal(parseCondition(text)?.meets(row({})), met));

for (const text of ['', 'success', 'success=99', 'sucess<99', 'p99>200', 'p99>fast', 'p99>>2ms', 'success<99.5%; rm', 'rps>1e9x'])
  test(`\`${text}\` is no condition${text === 'p99>200' ? ' … but of milliseconds' : ''}`, () => {
    const condition = parseCondition(text);
    // A bare number is one of the field's own unit.
    if (text === 'p99>200') assert.equal(condition?.meets(row({})), true);
    else assert.equal(condition, undefined);
  });

test('says where a condition is met and where there is nothing to tell by', () => {
  const condition = parseCondition('success<99.5%');
  assert.ok(condition);
  assert.deepEqual(
    failing(stat(row({}), row({ service: 'a', successPercent: 100 }), row({ service: 'b', successPercent: null })), [condition]),
    [
      { condition: 'success<99.5%', row: 'web', verdict: 'met' },
      { condition: 'success<99.5%', row: 'b', verdict: 'unknown' },
    ],
  );
});

test('a budget is what the objective allows, and burns as much faster as failures come', () => {
  const [budget] = budgets(99.9, [
    { window: '6h', stat: stat(row({ successPercent: 99.95 })) },
    { window: '5m', stat: stat(row({ successPercent: 98.56 })) },
  ]);
  assert.equal(budget?.budgetLeftPercent, 50);
  assert.deepEqual(budget?.burnRates, [
    { window: '6h', rate: 0.5 },
    { window: '5m', rate: 14.4 },
  ]);
  assert.equal(budgets(99.9, [{ window: '1h', stat: stat(row({ successPercent: null })) }])[0]?.budgetLeftPercent, null);
});

for (const [path, template] of [
  ['/', '/'],
  ['/orders/48213', '/orders/{id}'],
  ['/orders/ord-48213/items/7', '/orders/{id}/items/{id}'],
  ['/v1/users', '/v1/users'],
  ['/oauth2/token', '/oauth2/token'],
  ['/u/3f2a7c1e-8a44-4f0e-9a53-0c7a4a6f9d10', '/u/{id}'],
  ['/blob/9f3cab12de', '/blob/{id}'],
  ['/deadbeef', '/deadbeef'],
  [`/t/${'x'.repeat(60)}`, '/t/{id}'],
  ['/a/b/c/d/e/f/g/h/i/j', '/a/b/c/d/e/f/g/**'],
] as const)
  test(`${path} is of the route ${template}`, () => assert.equal(templateOf(path), template));

test('a service whose paths look like nothing has few routes all the same', () => {
  const routes = new Routes();
  const seen = new Set<string>();
  const word = (n: number): string => [...String(n)].map((digit) => 'abcdefghij'[Number(digit)]).join('');
  for (let i = 0; i < 10_000; i++) seen.add(routes.of('GET', `/page/${word(i)}`));
  assert.ok(seen.size <= MAX_ROUTES + 1, `${seen.size} routes`);
  assert.equal(routes.of('BREW', '/x').split(' ')[0] === 'BREW', false, 'a method that nobody knows is no label');
});
