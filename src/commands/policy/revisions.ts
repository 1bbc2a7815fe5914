// Policy files as they stood at two revisions of a git repository: `main..HEAD`, or `main...HEAD` since the two parted.
import { execFileSync } from 'node:child_process';
import { posix } from 'node:path';
import { codeOf, Fault } from '../../base/fault.ts';
import { type MeshSpec, parseMeshFile } from '../../mesh/spec.ts';
import type { PolicyText } from '../../policy/document.ts';
import { isPolicyFile } from './files.ts';

export interface Revision {
  /** `main:policies`. */
  readonly name: string;
  readonly files: readonly PolicyText[];
  /** Of the nearest mesh.yaml above the first path at that revision. */
  readonly mesh: MeshSpec | undefined;
}

const MAX_BYTES = 64 * 1024 * 1024;

/** Both sides, when `text` is a range of revisions; undefined when it is none. `cwd` is where paths begin. */
export function readRange(cwd: string, text: string, paths: readonly string[]): [Revision, Revision] | undefined {
  const match = /^([^.\s](?:[^\s]*?[^.\s])?)(\.{2,3})([^.\s][^\s]*)?$/.exec(text);
  if (match === null) return undefined;
  const [, left = '', dots = '', right = 'HEAD'] = match;
  if (paths.length === 0)
    throw new Fault('USAGE', 'usage', `\`${text}\` is a range of revisions, and no path says what is compared`, {
      hint: `meshctl policy diff ${text} -- PATH`,
    });
  const after = commitOf(cwd, right);
  const before = dots === '...' ? git(cwd, ['merge-base', commitOf(cwd, left), after]).trim() : commitOf(cwd, left);
  const sides = [read(cwd, before, left, paths), read(cwd, after, right, paths)] as const;
  if (sides.every(({ files }) => files.length === 0))
    throw new Fault('FILE_UNREADABLE', 'usage', `neither ${left} nor ${right} has a policy file in ${paths.join(', ')}`);
  return [sides[0], sides[1]];
}

function commitOf(cwd: string, name: string): string {
  try {
    return git(cwd, ['rev-parse', '--verify', '--quiet', '--end-of-options', `${name}^{commit}`]).trim();
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw new Fault('USAGE', 'usage', `\`${name}\` is no revision of the repository here`, {
      hint: 'in a shallow clone fetch it first (`fetch-depth: 0`)',
    });
  }
}

function read(cwd: string, commit: string, name: string, paths: readonly string[]): Revision {
  const list = git(cwd, ['ls-tree', '-r', '-z', '--name-only', commit, '--', ...paths]);
  const files = list.split('\0').filter((file) => file !== '' && (paths.includes(file) || isPolicyFile(file)));
  const first = files[0];
  return {
    name: `${name}:${paths.join(' ')}`,
    files: files.map((file) => ({ file: `${name}:${file}`, text: git(cwd, ['show', `${commit}:./${file}`]) })),
    mesh: first === undefined ? undefined : meshAbove(cwd, commit, posix.dirname(first)),
  };
}

function meshAbove(cwd: string, commit: string, from: string): MeshSpec | undefined {
  const candidates: string[] = [];
  for (let directory = from; ; directory = posix.dirname(directory)) {
    candidates.push(posix.join(directory, 'mesh.yaml'));
    if (directory === '.' || directory === '/') break;
  }
  const [found] = git(cwd, ['ls-tree', '-z', '--name-only', commit, '--', ...candidates])
    .split('\0')
    .filter((file) => file !== '')
    .sort((a, b) => b.length - a.length);
  return found === undefined ? undefined : parseMeshFile(found, git(cwd, ['show', `${commit}:./${found}`])).spec;
}

function git(cwd: string, args: readonly string[]): string {
  try {
    return execFileSync('git', args, { cwd, encoding: 'utf8', maxBuffer: MAX_BYTES, stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT')
      throw new Fault('USAGE', 'usage', 'ranges of revisions need `git`, which is not on the PATH', { cause });
    throw cause;
  }
}
