// One chunk of a chunked body, as one write to the kernel.
import type { Socket } from 'node:net';
import { chunkHead } from '../codec/h1/encode.ts';

/** False: the socket wants a pause until it drains. */
export function writeChunk(socket: Socket, bytes: Buffer): boolean {
  socket.cork();
  socket.write(chunkHead(bytes.length), 'latin1');
  socket.write(bytes);
  const room = socket.write('\r\n');
  socket.uncork();
  return room;
}
