// `meshctl down`: ends the supervisor, which ends everything else; where the supervisor died, ends what it left.
import { rmSync } from 'node:fs';
import { Fault } from '../base/fault.ts';
import { endLeftovers, locateState, readSupervisor } from '../platform/local/state-dir.ts';
import { endProcess, isAlive } from '../platform/node/proc.ts';
import type { Run } from './context.ts';
import { stateOption } from './input.ts';

const SUPERVISOR_GRACE_MS = 30_000;
const CHILD_GRACE_MS = 5000;

export const run: Run = async (context, input) => {
  const { state, note } = locateState(stateOption(input), context.cwd);
  if (note !== undefined) context.note(`meshctl: ${note}\n`);
  const record = readSupervisor(state);
  const running = record !== undefined && isAlive(record.process);
  if (running) await endProcess(record.process, false, SUPERVISOR_GRACE_MS);
  const left = await endLeftovers(state, CHILD_GRACE_MS);
  if (!running && left === 0) throw new Fault('MESH_NONE', 'unavailable', `the mesh of ${state.root} is not running`);
  if (left > 0) rmSync(state.run, { recursive: true, force: true });
  context.print(`mesh/${record?.meshName ?? 'unknown'} stopped\n`);
  return 0;
};
