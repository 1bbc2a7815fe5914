// The record of certificates: it only grows, and no row is changed or taken out unseen.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import type { IssuedRecord } from '../../src/control/record.ts';
import { openOffice } from '../../src/platform/local/office.ts';
import { LocalRecord } from '../../src/platform/local/record.ts';

const issued = (serial: string, change: Partial<IssuedRecord> = {}): IssuedRecord => ({
  serial,
  spiffeId: 'spiffe://t/ns/default/sa/s',
  service: 's',
  instance: 's-0',
  channel: 'proxy',
  kind: 'peer',
  issuedAtMs: 1000,
  notBeforeMs: 500,
  notAfterMs: 10_000,
  issuer: 'peer-1',
  generation: 1,
  ...change,
});

function withRecord(use: (record: LocalRecord, directory: string, raw: () => DatabaseSync) => void): void {
  const directory = mkdtempSync(join(tmpdir(), 'meshctl-record-'));
  const record = new LocalRecord(directory);
  try {
    use(record, directory, () => new DatabaseSync(join(directory, 'record.db')));
  } finally {
    record.close();
    rmSync(directory, { recursive: true });
  }
}

test('the record of issued certificates can only grow', () =>
  withRecord((record, _directory, raw) => {
    record.append(1, { kind: 'issued', issued: issued('a') });
    const other = raw();
    assert.throws(() => other.exec("UPDATE record SET body = '{}'"), /append-only/);
    assert.throws(() => other.exec('DELETE FROM record'), /append-only/);
    other.close();
    assert.throws(() => record.append(2, { kind: 'issued', issued: issued('a') }), /UNIQUE/, 'a serial is never given twice');
    assert.equal(record.newestIssued('s-0')?.serial, 'a');
    assert.equal(record.head().id, 1);
  }));

test('answers by serial, holder and end of life', () =>
  withRecord((record) => {
    record.append(1, { kind: 'issued', issued: issued('a', { notAfterMs: 100 }) });
    record.append(2, { kind: 'issued', issued: issued('b', { notAfterMs: 200 }) });
    record.append(3, { kind: 'issued', issued: issued('c', { instance: '', channel: 'file', notAfterMs: 300 }) });
    assert.equal(record.issued('b')?.notAfterMs, 200);
    assert.equal(record.issued('x'), undefined);
    assert.equal(record.newestIssued('s-0')?.serial, 'b');
    assert.deepEqual(
      record.unexpired(150).map(({ serial }) => serial),
      ['b', 'c'],
    );
    record.append(4, { kind: 'blocked', spiffeId: 'spiffe://t/x' });
    record.append(5, { kind: 'blocked', spiffeId: 'spiffe://t/y' });
    record.append(6, { kind: 'allowed', spiffeId: 'spiffe://t/x' });
    assert.deepEqual(record.blocked(), ['spiffe://t/y']);
  }));

for (const [title, sql, at] of [
  ['a row that says something else', `UPDATE record SET body = replace(body, '"b"', '"z"') WHERE id = 2`, 2],
  ['a time that was moved', 'UPDATE record SET at = at + 1 WHERE id = 3', 3],
  ['a row that was taken out', 'DELETE FROM record WHERE id = 2', 2],
  ['a row of another kind', "UPDATE record SET kind = 'blocked' WHERE id = 1", 1],
  [
    'rows that changed places',
    'UPDATE record SET id = 9 WHERE id = 2; UPDATE record SET id = 2 WHERE id = 3; UPDATE record SET id = 3 WHERE id = 9',
    2,
  ],
] as const)
  test(`whoever goes around the triggers is found out: ${title}`, () =>
    withRecord((record, _directory, raw) => {
      for (const serial of ['a', 'b', 'c', 'd']) record.append(1, { kind: 'issued', issued: issued(serial) });
      assert.equal(record.broken(), undefined);
      const { hash } = record.head();
      const other = raw();
      other.exec(`DROP TRIGGER record_keep_update; DROP TRIGGER record_keep_delete; ${sql}`);
      other.close();
      assert.equal(record.broken(), at);
      assert.equal(record.rowOf(hash), 4);
    }));

test('rows that were cut off at the end show to whoever kept a hash', () =>
  withRecord((record, _directory, raw) => {
    for (const serial of ['a', 'b']) record.append(1, { kind: 'issued', issued: issued(serial) });
    const { hash } = record.head();
    const other = raw();
    other.exec('DROP TRIGGER record_keep_delete; DELETE FROM record WHERE id = 2');
    other.close();
    assert.equal(record.broken(), undefined, 'the chain alone cannot know');
    assert.equal(record.rowOf(hash), undefined);
  }));

test('a record of a later version is refused', () => {
  const directory = mkdtempSync(join(tmpdir(), 'meshctl-record-'));
  const other = new DatabaseSync(join(directory, 'record.db'));
  other.exec('PRAGMA user_version = 99');
  other.close();
  assert.throws(() => new LocalRecord(directory), { code: 'STORE_NEWER' });
  rmSync(directory, { recursive: true });
});

test('the record of an earlier version is taken over, row by row', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'meshctl-record-'));
  const earlier = join(directory, 'control.db');
  const old = new DatabaseSync(earlier);
  old.exec(
    'CREATE TABLE issued (id INTEGER PRIMARY KEY, serial TEXT, spiffe_id TEXT, service TEXT, instance TEXT, channel TEXT, issued_at INTEGER, not_before INTEGER, not_after INTEGER, generation INTEGER)',
  );
  old.exec("INSERT INTO issued VALUES (1, 'aa', 'spiffe://t.mesh/ns/default/sa/web', 'web', 'web-0', 'proxy', 1, 0, 9999999999999, 1)");
  old.exec("INSERT INTO issued VALUES (2, 'bb', 'spiffe://t.mesh/ns/default/sa/web', 'web', '', 'file', 1, 0, 9999999999999, 1)");
  old.close();
  for (const round of [1, 2]) {
    const { office, close } = await openOffice(join(directory, 'ca'), { trustDomain: 't.mesh', earlier });
    assert.deepEqual(
      office.record
        .rows(0, 10)
        .map(({ event }) => (event.kind === 'issued' ? event.issued.serial : event.kind))
        .slice(0, 2),
      ['aa', 'bb'],
      `round ${round}`,
    );
    assert.equal(office.record.newestIssued('web-0')?.serial, 'aa');
    close();
  }
  rmSync(directory, { recursive: true });
});
