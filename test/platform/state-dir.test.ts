import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import {
  chooseSocketPath,
  locateState,
  makeStateDir,
  readSupervisor,
  register,
  stateDirAt,
  takeLock,
} from '../../src/platform/local/state-dir.ts';
import { writeAtomic } from '../../src/platform/node/files.ts';
import { isAlive, recordOf, startTimeOf } from '../../src/platform/node/proc.ts';

let directory = '';
const saved = { ...process.env };

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'meshctl-state-'));
  process.env['XDG_STATE_HOME'] = join(directory, 'home');
  process.env['MESHCTL_STATE'] = '';
});

afterEach(() => {
  process.env['XDG_STATE_HOME'] = saved['XDG_STATE_HOME'] ?? '';
  process.env['MESHCTL_STATE'] = saved['MESHCTL_STATE'] ?? '';
  process.env['XDG_RUNTIME_DIR'] = saved['XDG_RUNTIME_DIR'] ?? '';
  rmSync(directory, { recursive: true });
});

const made = (name: string) => {
  const state = stateDirAt(join(directory, name));
  makeStateDir(state);
  return state;
};

test('finds the state that is named, then the one of the environment, then the nearest upwards', () => {
  made('a/.meshctl');
  made('b');
  mkdirSync(join(directory, 'a', 'x', 'y'), { recursive: true });
  const deep = join(directory, 'a', 'x', 'y');
  assert.equal(locateState(undefined, deep).state.root, join(directory, 'a', '.meshctl'));
  process.env['MESHCTL_STATE'] = join(directory, 'b');
  assert.equal(locateState(undefined, deep).state.root, join(directory, 'b'));
  assert.equal(locateState('../.meshctl', join(directory, 'a', 'x')).state.root, join(directory, 'a', '.meshctl'));
});

test('falls back to the one mesh that runs, and forgets it when it is gone', () => {
  const state = made('c');
  const leave = register(state, 'mesh', false);
  assert.equal(locateState(undefined, '/').state.root, state.root);
  leave();
  assert.throws(() => locateState(undefined, '/'), { code: 'MESH_NONE', kind: 'unavailable' });
});

test('of several meshes none is guessed; of several demos the newest wins and that is said', () => {
  const leaveA = register(made('a1'), 'a', false);
  const leaveB = register(made('b1'), 'b', false);
  assert.throws(() => locateState(undefined, '/'), { code: 'MESH_AMBIGUOUS' });
  leaveA();
  leaveB();
  register(made('d1'), 'demo', true);
  const newest = made('d2');
  register(newest, 'demo', true);
  const found = locateState(undefined, '/');
  assert.match(found.note ?? '', /2 demos are running/);
});

test('a lock is taken once; one of a dead process is taken over', () => {
  const state = made('l');
  const unlock = takeLock(state);
  assert.throws(() => takeLock(state), { code: 'STATE_LOCKED', kind: 'conflict' });
  unlock();
  writeFileSync(state.lock, JSON.stringify({ pid: process.pid, startTime: 'another' }));
  takeLock(state)();
  writeFileSync(state.lock, '{"pid": 1');
  takeLock(state)();
  assert.ok(!readdirSync(state.root).some((name) => name.startsWith('lock')));
});

test('a record that was cut short is no record', () => {
  const state = made('r');
  writeFileSync(join(state.run, 'supervisor.json'), '{"schemaVersion": 1, "process": {');
  assert.equal(readSupervisor(state), undefined);
});

test('a socket path that is too long moves to a private directory', () => {
  process.env['XDG_RUNTIME_DIR'] = join(directory, 'run');
  const state = made('x'.repeat(120));
  const path = chooseSocketPath(state);
  assert.ok(path.startsWith(join(directory, 'run', 'meshctl')) && Buffer.byteLength(path) <= 108);
  assert.equal((statSync(join(path, '..')).mode & 0o777).toString(8), '700');
});

test('files are written whole, with exactly the mode that was asked for, whatever the umask', () => {
  for (const mask of [0o000, 0o077]) {
    const before = process.umask(mask);
    writeAtomic(join(directory, 'secret'), 'x', 0o600);
    writeAtomic(join(directory, 'public'), 'x', 0o644);
    process.umask(before);
    assert.equal((statSync(join(directory, 'secret')).mode & 0o777).toString(8), '600');
    assert.equal((statSync(join(directory, 'public')).mode & 0o777).toString(8), '644');
  }
  assert.deepEqual(readdirSync(directory).sort(), ['public', 'secret'], 'no temporary file is left');
});

test('a process is known by pid and start time together', () => {
  const own = recordOf(process.pid);
  assert.equal(isAlive(own), true);
  assert.equal(isAlive({ ...own, startTime: `${own.startTime}1` }), false);
  assert.equal(isAlive({ pid: process.pid, startTime: '' }), false);
  assert.equal(startTimeOf(2 ** 22 + 1), undefined);
});
