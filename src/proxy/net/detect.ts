// What a connection speaks, read off its first bytes: HTTP (1.1 or 2), or anything else, which passes as TCP.
// A client that says nothing for a short while waits for the server to speak first: TCP too.
import type { Socket } from 'node:net';
import { DETECT_MS } from '../codec/limits.ts';

const REQUEST = /^[A-Z][A-Z-]{2,19} [\x21-\x7e]/;
const BEGINNING = /^[A-Z][A-Z-]{0,19} ?$/;

/** `more`: too few bytes to tell. A TLS ClientHello is TCP. */
export function protocolOf(first: Buffer): 'http' | 'tcp' | 'more' {
  const text = first.toString('latin1', 0, 24);
  if (REQUEST.test(text)) return 'http';
  return BEGINNING.test(text) ? 'more' : 'tcp';
}

/** Calls `decide` once, with what was read put back into the paused socket, which flows on as HTTP; not at all when the caller goes before. */
export function detectProtocol(socket: Socket, decide: (protocol: 'http' | 'tcp') => void): void {
  let seen: Buffer = Buffer.alloc(0);
  const settle = (protocol: 'http' | 'tcp'): void => {
    clearTimeout(timer);
    socket.removeListener('data', onData);
    socket.removeListener('end', onEnd);
    socket.removeListener('close', onClose);
    socket.pause();
    if (socket.destroyed) return;
    if (seen.length > 0) socket.unshift(seen);
    decide(protocol);
    if (protocol === 'http') socket.resume();
  };
  const onData = (bytes: Buffer): void => {
    seen = Buffer.concat([seen, bytes]);
    const protocol = protocolOf(seen);
    if (protocol !== 'more') settle(protocol);
  };
  const onEnd = (): void => settle('tcp');
  const onClose = (): void => clearTimeout(timer);
  const timer = setTimeout(() => settle('tcp'), DETECT_MS);
  socket.on('error', () => undefined);
  socket.on('data', onData);
  socket.on('end', onEnd);
  socket.on('close', onClose);
}
