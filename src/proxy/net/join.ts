// Copies bytes between two channels until both sides have ended: back-pressure by pause and resume, half-close kept.
import { callAt } from '../clock.ts';
import type { Channel, ChannelEvents } from './channel.ts';

/** How a joined pair came to its end. */
export interface JoinEnd {
  readonly aToB: number;
  readonly bToA: number;
  /** Why it was cut, if it was. */
  readonly cut: 'identity_expired' | 'revoked' | 'denied' | undefined;
}

export interface Join {
  /** Ends both, as broken; `why` is what is recorded. */
  cut(why: 'revoked' | 'denied'): void;
}

/**
 * Done when both channels have closed; both are reset when either fails, or when a certificate on one of them ends.
 * `onDone` is called once.
 */
export function join(a: Channel, b: Channel, onDone: (end: JoinEnd) => void): Join {
  let aToB = 0;
  let bToA = 0;
  let open = 2;
  let done = false;
  let cut: JoinEnd['cut'];
  const finish = (broken: boolean): void => {
    if (done) return;
    done = true;
    cancel();
    if (broken) for (const channel of [a, b]) channel.reset(cut ?? 'upstream_reset');
    onDone({ aToB, bToA, cut });
  };
  const cancel = callAt(Math.min(a.expiresAtMs, b.expiresAtMs), () => {
    cut = 'identity_expired';
    finish(true);
  });
  const copy = (from: Channel, to: Channel, count: (bytes: number) => void): ChannelEvents => ({
    onData: (bytes) => {
      count(bytes.length);
      if (!to.write(bytes)) from.pause();
    },
    onDrain: () => to.resume(),
    onEnd: () => to.end(),
    // Each closes by itself when its last byte is out, however long the other end takes to read.
    onClosed: (broken) => {
      open--;
      if (open === 0 || broken) finish(broken);
    },
  });
  a.start(
    copy(a, b, (bytes) => {
      aToB += bytes;
    }),
  );
  if (!done)
    b.start(
      copy(b, a, (bytes) => {
        bToA += bytes;
      }),
    );
  return {
    cut: (why) => {
      cut = why;
      finish(true);
    },
  };
}
