// The way from a command to the control plane of the embedded mesh that is meant, or to an authority without one.
import { resolve } from 'node:path';
import { Fault } from '../../base/fault.ts';
import { type CertsMethod, type CertsMethods, runCertsMethod } from '../../control/certs.ts';
import { isAlive } from '../node/proc.ts';
import { AdminClient } from './admin-client.ts';
import { openOffice } from './office.ts';
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

interface AuthorityConnection {
  request<M extends CertsMethod>(method: M, params: CertsMethods[M]['params']): Promise<CertsMethods[M]['result']>;
  close(): void;
}

/** The authority in `dir`; else that of the mesh that is meant: through its control plane while it runs, else from its directory. */
export async function connectAuthority(
  dir: string | undefined,
  explicit: string | undefined,
  cwd: string,
  note: (text: string) => void,
): Promise<AuthorityConnection> {
  if (dir !== undefined) return openDirectory(resolve(cwd, dir));
  const located = locateState(explicit, cwd);
  const record = readSupervisor(located.state);
  if (record !== undefined && isAlive(record.process)) return connectLocal(located.state.root, cwd, note);
  if (located.note !== undefined) note(located.note);
  return openDirectory(located.state.ca);
}

async function openDirectory(directory: string): Promise<AuthorityConnection> {
  const { office, close } = await openOffice(directory);
  return {
    request: async <M extends CertsMethod>(method: M, params: CertsMethods[M]['params']): Promise<CertsMethods[M]['result']> =>
      runCertsMethod({ office, mesh: undefined }, method, params) as CertsMethods[M]['result'] | Promise<CertsMethods[M]['result']>,
    close,
  };
}
