// Copies bytes between two sockets until both sides have ended: back-pressure by pause and resume, half-close kept.
import type { Socket } from 'node:net';
import { callAt } from '../clock.ts';

/** A connection, and how to end it so that the other end does not take it for a proper end (below TLS only the TCP socket can be reset). */
export interface Resettable {
  readonly socket: Socket;
  reset(): void;
}

/**
 * Both sockets are closed when either ends, and reset when either fails, or at `expiresAtMs` (epoch milliseconds).
 * `onDone` is called once with the bytes that went from `a` to `b` and back.
 */
export function joinSockets(
  { socket: a, reset: resetA }: Resettable,
  { socket: b, reset: resetB }: Resettable,
  expiresAtMs: number,
  onDone: (aToB: number, bToA: number, expired: boolean) => void,
): void {
  const counts = [0, 0];
  let done = false;
  let expired = false;
  let open = 2;
  const finish = (broken: boolean): void => {
    if (done) return;
    done = true;
    cancel();
    if (broken) {
      resetA();
      resetB();
    } else {
      a.destroy();
      b.destroy();
    }
    onDone(counts[0] ?? 0, counts[1] ?? 0, expired);
  };
  const cancel = callAt(expiresAtMs, () => {
    expired = true;
    finish(true);
  });
  const copy = (from: Socket, to: Socket, index: number): void => {
    from.on('data', (bytes: Buffer) => {
      counts[index] = (counts[index] ?? 0) + bytes.length;
      if (!to.write(bytes)) from.pause();
    });
    to.on('drain', () => from.resume());
    from.on('end', () => {
      to.end();
      open--;
    });
    from.on('error', () => finish(true));
    from.on('close', () => {
      // A socket that closed before its end was seen is broken; one whose both directions ended is done.
      const broken = !from.readableEnded || from.errored !== null;
      if (open === 0 || broken) finish(broken);
    });
  };
  copy(a, b, 0);
  copy(b, a, 1);
  a.resume();
  b.resume();
}
