// Connections that were judged when they began and live on: raw TCP, and what was upgraded. A change of policy judges those that
// callers opened here again, and the control plane's `cut` ends them by identity or serial.
import type { VerifiedPeer } from '../certs/peer.ts';
import type { Channel } from './net/channel.ts';
import { type Join, type JoinEnd, join } from './net/join.ts';

export interface JoinEntry {
  readonly peer: VerifiedPeer | undefined;
  /** Whether the policy in force still allows it. */
  readonly judge: () => boolean;
}

export class Joins {
  readonly #open = new Map<Join, JoinEntry>();

  /** Joins two channels; an entry makes the pair one of those that are judged again. */
  join(entry: JoinEntry | undefined, a: Channel, b: Channel, onDone: (end: JoinEnd) => void): void {
    let over = false;
    const joined: { pair?: Join } = {};
    const pair = join(a, b, (end) => {
      over = true;
      if (joined.pair !== undefined) this.#open.delete(joined.pair);
      onDone(end);
    });
    joined.pair = pair;
    if (entry !== undefined && !over) this.#open.set(pair, entry);
  }

  get size(): number {
    return this.#open.size;
  }

  /** Ends those that the policy denies now; gives how many. */
  judge(): number {
    return this.#cut('denied', (entry) => !entry.judge());
  }

  /** Ends those of a caller who is meant; gives how many. */
  cut(isMeant: (peer: VerifiedPeer) => boolean): number {
    return this.#cut('revoked', ({ peer }) => peer !== undefined && isMeant(peer));
  }

  #cut(why: 'denied' | 'revoked', meant: (entry: JoinEntry) => boolean): number {
    let count = 0;
    for (const [pair, entry] of [...this.#open]) {
      if (!meant(entry)) continue;
      pair.cut(why);
      count++;
    }
    return count;
  }
}
