// The mesh file that `up` means: found, read and checked. Findings go to stderr whole; the fault that follows ends the command.
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { Fault } from '../base/fault.ts';
import { type MeshSpec, parseMeshFile } from '../mesh/spec.ts';
import { renderFindings } from '../views/report/table.ts';
import type { Context } from './context.ts';
import { readBytes } from './read-files.ts';

export interface LoadedMesh {
  /** Absolute. */
  readonly path: string;
  readonly spec: MeshSpec;
}

export function loadMesh(context: Context, named: string | undefined): LoadedMesh {
  const path = named === undefined ? nearestMeshFile(context.cwd) : resolve(context.cwd, named);
  if (path === undefined)
    throw new Fault('MESH_FILE', 'usage', 'there is no mesh.yaml here or above', { hint: '`meshctl init` writes one, or name it with -f' });
  const { spec, findings } = parseMeshFile(named ?? path, readBytes(context, path).toString('utf8'));
  if (spec === undefined) {
    context.note(`${renderFindings(findings)}\n`);
    throw new Fault('MESH_FILE', 'config', `${named ?? path} has ${findings.length === 1 ? 'an error' : `${findings.length} errors`}`);
  }
  return { path, spec };
}

/** The nearest mesh.yaml in the directory or above it. */
export function nearestMeshFile(from: string): string | undefined {
  for (let directory = from; ; directory = dirname(directory)) {
    const candidate = join(directory, 'mesh.yaml');
    if (existsSync(candidate)) return candidate;
    if (directory === dirname(directory)) return undefined;
  }
}
