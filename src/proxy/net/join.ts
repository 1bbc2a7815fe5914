// Copies bytes between two sockets until both sides have ended: back-pressure by pause and resume, half-close kept.
import type { Socket } from 'node:net';

// setTimeout counts in 31 bits.
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Both sockets are closed when either fails, or at `expiresAtMs` (epoch milliseconds).
 * `onDone` is called once with the bytes that went from `a` to `b` and back.
 */
export function joinSockets(
  a: Socket,
  b: Socket,
  expiresAtMs: number,
  onDone: (aToB: number, bToA: number, expired: boolean) => void,
): void {
  const counts = [0, 0];
  let done = false;
  let expired = false;
  let open = 2;
  const finish = (): void => {
    if (done) return;
    done = true;
    clearTimeout(timer);
    a.destroy();
    b.destroy();
    onDone(counts[0] ?? 0, counts[1] ?? 0, expired);
  };
  const cut = (): void => {
    if (Date.now() < expiresAtMs) {
      timer = setTimeout(cut, Math.min(MAX_TIMER_MS, expiresAtMs - Date.now()));
      return;
    }
    expired = true;
    finish();
  };
  let timer: NodeJS.Timeout | undefined;
  if (Number.isFinite(expiresAtMs)) timer = setTimeout(cut, Math.min(MAX_TIMER_MS, Math.max(0, expiresAtMs - Date.now())));
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
    from.on('error', finish);
    from.on('close', () => {
      // A socket that closed before its end was seen is broken; one whose both directions ended is done.
      if (open === 0 || !from.readableEnded || from.errored !== null) finish();
    });
  };
  copy(a, b, 0);
  copy(b, a, 1);
  a.resume();
  b.resume();
}
