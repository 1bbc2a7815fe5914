// Where a connection that the kernel redirected to this proxy was meant to go (Linux, nftables or iptables `redirect`).
// getsockopt(fd, SOL_IP, SO_ORIGINAL_DST): linux/netfilter_ipv4.h. The library is looked up on the first use only.
import type { Socket } from 'node:net';

const SOL_IP = 0;
const SO_ORIGINAL_DST = 80;
const AF_INET = 2;
const SOCKADDR_BYTES = 16;

type GetSockOpt = (fd: number, level: number, option: number, value: Buffer, length: Buffer) => number;
let getsockopt: GetSockOpt | undefined;

// Loaded when it is needed: most proxies capture nothing.
function load(): GetSockOpt {
  const { functions } = process
    .getBuiltinModule('node:ffi')
    .dlopen(null, { getsockopt: { arguments: ['i32', 'i32', 'i32', 'buffer', 'buffer'], return: 'i32' } });
  return functions.getsockopt as unknown as GetSockOpt;
}

/** IPv4 `address:port`; undefined for a connection that nobody redirected, and where the kernel knows no such thing. */
export function originalDestination(socket: Socket): { readonly host: string; readonly port: number } | undefined {
  // Node has no public way to a socket's descriptor.
  const fd = (socket as unknown as { _handle?: { fd?: number } })._handle?.fd;
  if (process.platform !== 'linux' || fd === undefined || fd < 0) return undefined;
  getsockopt ??= load();
  const value = Buffer.alloc(SOCKADDR_BYTES);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(SOCKADDR_BYTES);
  if (getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, value, length) !== 0 || value.readUInt16LE(0) !== AF_INET) return undefined;
  const destination = { host: [...value.subarray(4, 8)].join('.'), port: value.readUInt16BE(2) };
  // Without a redirect the kernel answers with where the connection went: here.
  return destination.host === socket.localAddress && destination.port === socket.localPort ? undefined : destination;
}
