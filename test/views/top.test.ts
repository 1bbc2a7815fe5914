// What the keys of `top` do, and what is shown then.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { goldenRows, type Stat, type StatRow } from '../../src/signals/golden.ts';
import { behind, initialState, type Key, levelOf, press, rowsOf, sparkline, type TopState } from '../../src/views/top/state.ts';

const [EMPTY] = goldenRows([{ name: 'web', protocol: 'http' }], [], [], 10) as [StatRow];
const row = (service: string, change: Partial<StatRow> = {}): StatRow => ({ ...EMPTY, service, ...change });
const STAT: Stat = {
  by: 'service',
  view: 'inbound',
  window: { from: '', to: '', seconds: 10 },
  completeness: { proxiesAnswered: 1, proxiesTotal: 1, samplesDropped: 0 },
  rows: [
    row('web', { requestsPerSecond: 5, successPercent: 100 }),
    row('orders', { requestsPerSecond: 50, successPercent: 97 }),
    row('ledger', { requestsPerSecond: 1 }),
  ],
};
const start = initialState('service', 10_000);
const type = (state: TopState, ...keys: (string | NonNullable<Key['name']>)[]): TopState =>
  keys.reduce((now, key) => {
    const isName = key.length > 1;
    const pressed: Key = isName ? { input: '', name: key as NonNullable<Key['name']> } : { input: key };
    const rows = rowsOf(now, STAT);
    return press(now, pressed, rows.length, 2, behind(rows[now.cursor]));
  }, state);
const shown = (state: TopState): string[] => rowsOf(state, STAT).map(({ service }) => service);

test('sorts by the column that was asked for, the worst first, and the other way round', () => {
  assert.deepEqual(shown(start), ['web', 'orders', 'ledger'], 'as they come');
  assert.deepEqual(shown(type(start, 's')), ['ledger', 'orders', 'web'], 'by name');
  assert.deepEqual(shown(type(start, 's', 's')), ['orders', 'web', 'ledger'], 'by requests');
  assert.deepEqual(shown(type(start, 's', 's', 'r')), ['ledger', 'web', 'orders']);
  assert.deepEqual(shown(type(start, 's', 's', 's')), ['orders', 'web', 'ledger'], 'by success; none known comes last');
  assert.equal(type(start, 's', 'S').sort, undefined);
  assert.equal(type(start, 'S').sort, 'IN-FLIGHT');
});

test('filters as you type; letters that are keys elsewhere are letters there', () => {
  const typed = type(start, '/', 'o', 'r');
  assert.deepEqual(shown(typed), ['orders']);
  assert.equal(type(typed, 'q').isOver, false);
  assert.equal(type(typed, 'q').filter, 'orq');
  assert.equal(type(typed, 'backspace').filter, 'o');
  assert.deepEqual(shown(type(typed, 'enter', 'escape')), ['web', 'orders', 'ledger']);
  assert.deepEqual(shown(type(typed, 'escape')), ['web', 'orders', 'ledger']);
});

test('the cursor stays on the rows, whatever the keys', () => {
  assert.equal(type(start, 'k').cursor, 0);
  assert.equal(type(start, 'j', 'j', 'j', 'j').cursor, 2);
  assert.equal(type(start, 'G').cursor, 2);
  assert.equal(type(start, 'G', 'g').cursor, 0);
  assert.equal(type(start, 'pageDown').cursor, 2);
  assert.equal(press(start, { input: 'j' }, 0, 5, undefined).cursor, 0, 'of no rows');
});

test('goes closer step by step, and back', () => {
  const edges = type(start, 'j', 'enter');
  assert.deepEqual(levelOf(edges), { kind: 'rows', by: 'edge', service: 'orders' });
  const edge = row('orders', { peer: 'web' });
  const requests = press(edges, { input: '', name: 'enter' }, 1, 2, behind(edge));
  assert.deepEqual(levelOf(requests), { kind: 'requests', service: 'orders', peer: 'web' });
  const trace = press(requests, { input: '', name: 'enter' }, 1, 2, { kind: 'trace', id: 'abc' });
  assert.deepEqual(levelOf(trace), { kind: 'trace', id: 'abc' });
  assert.deepEqual(
    levelOf(press(trace, { input: '', name: 'enter' }, 9, 2, undefined)),
    { kind: 'trace', id: 'abc' },
    'nothing lies behind it',
  );
  assert.deepEqual(levelOf(type(trace, 'escape', 'escape', 'escape', 'escape')), { kind: 'rows', by: 'service' });
  assert.deepEqual(levelOf(type(trace, '4')), { kind: 'rows', by: 'route' });
  assert.deepEqual(behind(row('web', { peer: '-' })), { kind: 'requests', service: 'web', peer: 'outside' });
  assert.equal(behind(undefined), undefined);
});

test('help takes the next key for itself; pause, window and quit do what they say', () => {
  const help = type(start, '?');
  assert.equal(help.hasHelp, true);
  assert.deepEqual([type(help, 'j').hasHelp, type(help, 'j').cursor], [false, 0]);
  assert.equal(type(start, 'p').isPaused, true);
  assert.deepEqual(
    [1, 2, 3].map((times) => type(start, ...Array<string>(times).fill('w')).windowMs),
    [60_000, 300_000, 10_000],
  );
  assert.equal(type(start, 'q').isOver, true);
  assert.equal(type(start, 'x'), start, 'what is no key changes nothing');
});

test('a sparkline ends with the newest, and a reading that is missing is a blank', () => {
  assert.equal(sparkline([0, 1, 2, undefined, 4], 8), '   ▁▃▅ █');
  assert.equal(sparkline([], 4), '    ');
  assert.equal(sparkline([0, 0], 3), ' ▁▁');
  assert.equal(sparkline([1, 2, 3, 4, 5], 2), '▇█');
});
