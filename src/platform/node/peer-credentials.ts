// Who is at the other end of a unix socket, as the kernel noted when it connected: getsockopt(SOL_SOCKET, SO_PEERCRED), unix(7). Linux.
import type { Socket } from 'node:net';

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const UCRED_BYTES = 12;

export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
}

type GetSockOpt = (fd: number, level: number, option: number, value: Buffer, length: Buffer) => number;
let getsockopt: GetSockOpt | undefined;

function load(): GetSockOpt {
  const { functions } = process
    .getBuiltinModule('node:ffi')
    .dlopen(null, { getsockopt: { arguments: ['i32', 'i32', 'i32', 'buffer', 'buffer'], return: 'i32' } });
  return functions.getsockopt as unknown as GetSockOpt;
}

/** Undefined where the kernel does not tell. */
export function peerCredentials(socket: Socket): PeerCredentials | undefined {
  // Node has no public way to a socket's descriptor.
  const fd = (socket as unknown as { _handle?: { fd?: number } })._handle?.fd;
  if (process.platform !== 'linux' || fd === undefined || fd < 0) return undefined;
  getsockopt ??= load();
  const value = Buffer.alloc(UCRED_BYTES);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(UCRED_BYTES);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, value, length) !== 0) return undefined;
  return { pid: value.readInt32LE(0), uid: value.readUInt32LE(4) };
}
