// The control plane's process: authority, store and feed behind one unix socket that only its user can open.
//
//   argv   state directory, socket path, trust domain, and the group that may connect when proxies have a user of their own
//
// A connection is a proxy (its first message is `hello`) or an admin (the supervisor, or a command): see mesh/messages.ts.
import { chmodSync, chownSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { Fault, messageOf } from '../../base/fault.ts';
import { encodeFrame, FrameDecoder } from '../../base/frames.ts';
import { runMethod } from '../../control/admin.ts';
import { ProxySession } from '../../control/feed.ts';
import { ControlPlane } from '../../control/plane.ts';
import { type AdminMessage, type FromProxy, PROTOCOL } from '../../mesh/messages.ts';
import { Dialogue } from './dialogue.ts';
import { openOffice } from './office.ts';
import { stateDirAt } from './state-dir.ts';
import { LocalStore } from './store.ts';

/** A proxy that does not read loses its connection, not our memory. */
const MAX_UNREAD_BYTES = 64 * 1024 * 1024;
const FORWARD_TIMEOUT_MS = 60_000;
const TEND_EVERY_MS = 60_000;

async function main(): Promise<void> {
  const [root, socketPath, trustDomain, group] = process.argv.slice(2);
  if (root === undefined || socketPath === undefined || trustDomain === undefined)
    throw new Fault('USAGE', 'usage', 'state directory, socket path and trust domain are wanted');
  process.umask(0o077);
  const state = stateDirAt(root);
  const { office, close: closeOffice } = await openOffice(state.ca, { trustDomain, earlier: join(state.db, 'control.db'), isKept: true });
  let retentionMs = 24 * 3_600_000;
  const store = new LocalStore(state.db, () => retentionMs);
  const plane = new ControlPlane(office, store, Date.now);
  let supervisor: Dialogue | undefined;
  // Lists of revocations are signed anew before they end, and intermediates that nobody needs any more go.
  const tend = (): void => {
    try {
      office.tidy();
      office.lists();
    } catch (error) {
      log(`the authority could not be tended: ${messageOf(error)}`);
    }
  };
  tend();
  setInterval(tend, TEND_EVERY_MS).unref();
  const handle = async (method: string, params: unknown): Promise<unknown> => {
    if (method === 'supervisor.apply') {
      if (supervisor === undefined)
        throw new Fault('SUPERVISOR_GONE', 'unavailable', 'the supervisor of this mesh is not running', {
          hint: 'run `meshctl up`: it takes over',
        });
      return supervisor.ask('apply', params, FORWARD_TIMEOUT_MS);
    }
    try {
      const result = runMethod(plane, method, params);
      if (method === 'mesh.set') retentionMs = plane.mesh.spec.retentionMs;
      return result;
    } catch (error) {
      if (!(error instanceof Fault)) log(`${method} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      throw error;
    }
  };
  const server = createServer((socket) => {
    const decoder = new FrameDecoder();
    let session: ProxySession | undefined;
    let admin: Dialogue | undefined;
    const send = (message: unknown): void => {
      if (socket.writableLength > MAX_UNREAD_BYTES) socket.destroy();
      else if (socket.writable) socket.write(encodeFrame(message));
    };
    const receive = (message: FromProxy | AdminMessage): void => {
      if (session !== undefined) return session.receive(message as FromProxy);
      if (admin !== undefined) return admin.receive(message as AdminMessage);
      if (message.kind === 'hello') {
        session = new ProxySession(plane, { send, close: () => socket.end(), needsToken: (proxyId) => askForToken(supervisor, proxyId) });
        return session.receive(message);
      }
      if (message.kind !== 'admin' || message.protocol > PROTOCOL) {
        socket.destroy();
        return;
      }
      admin = new Dialogue(send, handle);
      if (message.role === 'supervisor') {
        const own = admin;
        supervisor = own;
        socket.once('close', () => {
          if (supervisor === own) supervisor = undefined;
        });
      }
    };
    socket.on('data', (bytes: Buffer) => {
      try {
        for (const message of decoder.push(bytes)) receive(message as FromProxy | AdminMessage);
      } catch (error) {
        log(`a connection is closed: ${messageOf(error)}`);
        socket.destroy();
      }
    });
    socket.on('error', () => undefined);
    socket.once('close', () => {
      session?.closed();
      admin?.end(new Fault('SUPERVISOR_GONE', 'unavailable', 'the supervisor went away'));
      open.delete(socket);
    });
    open.add(socket);
  });
  const open = new Set<Socket>();
  rmSync(socketPath, { force: true });
  server.listen(socketPath, () => {
    // Isolated proxies have a user of their own, whose group may connect; services are not in it.
    if (group !== undefined) chownSync(socketPath, 0, Number(group));
    chmodSync(socketPath, group === undefined ? 0o600 : 0o660);
  });
  process.on('SIGTERM', () => {
    server.close();
    for (const socket of open) socket.destroy();
    store.close();
    closeOffice();
    rmSync(socketPath, { force: true });
    process.exit(0);
  });
  process.on('SIGINT', () => undefined);
  process.on('SIGHUP', () => undefined);
}

// A proxy whose certificate ended during an outage joins again with a fresh token.
function askForToken(supervisor: Dialogue | undefined, proxyId: string): void {
  supervisor
    ?.ask('token', { instance: proxyId }, FORWARD_TIMEOUT_MS)
    .catch((error: unknown) => log(`no join token for ${proxyId}: ${messageOf(error)}`));
}

function log(line: string): void {
  process.stdout.write(`${new Date().toISOString()} ${line}\n`);
}

await main();
