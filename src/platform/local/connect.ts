// The way from a command to the control plane of the embedded mesh that is meant.
import { Fault } from '../../base/fault.ts';
import { isAlive } from '../node/proc.ts';
import { AdminClient } from './admin-client.ts';
import { locateState, readSupervisor } from './state-dir.ts';

/** Control may be starting again: it is tried for this long. */
const RETRY_MS = 2000;

export async function connectLocal(explicit: string | undefined, cwd: string, note: (text: string) => void): Promise<AdminClient> {
  const located = locateState(explicit, cwd);
  if (located.note !== undefined) note(located.note);
  const record = readSupervisor(located.state);
  if (record === undefined)
    throw new Fault('MESH_NONE', 'unavailable', `the mesh of ${located.state.root} is not running`, { hint: '`meshctl up` starts it' });
  const end = Date.now() + RETRY_MS;
  for (;;) {
    try {
      return await AdminClient.open(record.socketPath, 'cli');
    } catch (error) {
      if (!isAlive(record.process)) {
        throw new Fault(
          'MESH_NONE',
          'unavailable',
          `the mesh of ${located.state.root} is not running: its supervisor (pid ${record.process.pid}) ended without stopping it`,
          { cause: error, hint: '`meshctl up` starts it again and ends what was left; `meshctl down` only ends it' },
        );
      }
      if (Date.now() >= end) throw error;
      await new Promise((done) => setTimeout(done, 50));
    }
  }
}
