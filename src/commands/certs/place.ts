// Which directory an authority is made or brought back in: `--dir`, `--state`, else `.meshctl/ca` beside the nearest mesh file.
import { dirname, join, resolve } from 'node:path';
import { locateState, STATE_NAME, stateDirAt } from '../../platform/local/state-dir.ts';
import type { Context, Input } from '../context.ts';
import { stateOption, textOption } from '../input.ts';
import { loadMesh, nearestMeshFile } from '../mesh-file.ts';

export interface Place {
  readonly directory: string;
  /** As the mesh file says. */
  readonly trustDomain: string | undefined;
}

export function placeOf(context: Context, input: Input): Place {
  const dir = textOption(input, 'dir');
  if (dir !== undefined) return { directory: resolve(context.cwd, dir), trustDomain: undefined };
  const state = stateOption(input);
  if (state !== undefined) return { directory: stateDirAt(resolve(context.cwd, state)).ca, trustDomain: undefined };
  const mesh = nearestMeshFile(context.cwd);
  if (mesh !== undefined)
    return { directory: stateDirAt(join(dirname(mesh), STATE_NAME)).ca, trustDomain: loadMesh(context, mesh).spec.trustDomain };
  try {
    return { directory: locateState(undefined, context.cwd).state.ca, trustDomain: undefined };
  } catch {
    return { directory: join(context.cwd, STATE_NAME, 'ca'), trustDomain: undefined };
  }
}
