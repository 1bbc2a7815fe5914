// A two-way stream of bytes, whatever carries it: a socket, or a stream of a tunnel. Half-close is kept, back-pressure too.

import type { Socket } from 'node:net';
import { countRead } from '../memory.ts';

export interface ChannelEvents {
  onData(bytes: Buffer): void;
  /** The other side has sent everything. */
  onEnd(): void;
  /** There is room again after write() said false. */
  onDrain(): void;
  /** Nothing follows, and everything that was written is out. `broken`: not by a proper end of both sides. */
  onClosed(broken: boolean): void;
}

export interface Channel {
  /** Events come from here on, beginning with what had been read before. */
  start(events: ChannelEvents): void;
  /** False: wait for onDrain. */
  write(bytes: Buffer): boolean;
  end(): void;
  pause(): void;
  resume(): void;
  /** Ends it so that the other end does not take it for a proper end. */
  reset(reason: string): void;
  /** When a certificate on it ends, in epoch milliseconds; Infinity for plain ones. */
  readonly expiresAtMs: number;
}

/** A socket as a channel. `reset` ends the connection below it; `first` was read from it before. */
export function socketChannel(socket: Socket, reset: () => void, first: Buffer | undefined, expiresAtMs: number): Channel {
  return {
    expiresAtMs,
    start(events) {
      socket.on('data', (bytes: Buffer) => {
        countRead(bytes.length);
        events.onData(bytes);
      });
      socket.on('drain', () => events.onDrain());
      socket.on('end', () => events.onEnd());
      socket.on('error', () => events.onClosed(true));
      // A socket that closed before its end was seen is broken.
      socket.on('close', () => events.onClosed(!socket.readableEnded || socket.errored !== null));
      if (first !== undefined && first.length > 0) events.onData(first);
      if (socket.destroyed) events.onClosed(true);
      else socket.resume();
    },
    write: (bytes) => socket.write(bytes),
    end: () => void socket.end(),
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    reset,
  };
}
