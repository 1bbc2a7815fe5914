// Who looks at live requests through the control plane: each look is told to the proxies again and again while somebody reads it.
import { Fault } from '../base/fault.ts';
import type { TapEvent, TapFilter } from '../mesh/tap.ts';
import type { ControlPlane } from './plane.ts';

interface Look {
  readonly filter: TapFilter;
  readonly perSecond: number;
  toldAtMs: number;
  readAtMs: number;
  events: TapEvent[];
  dropped: number;
  wake: () => void;
}

const TELL_EVERY_MS = 2000;
const HELD_MS = 6000;
const WAIT_MS = 1000;
/** What waits for a reader who is slow. */
const MAX_WAITING = 10_000;

export class Taps {
  readonly #looks = new Map<number, Look>();
  /** Not from 1: a look of an earlier process is not taken for one of this. */
  #next = Math.floor(Math.random() * 2 ** 31);

  open(plane: ControlPlane, filter: TapFilter, perSecond: number): number {
    const id = this.#next++;
    const now = plane.now();
    const look: Look = { filter, perSecond, toldAtMs: 0, readAtMs: now, events: [], dropped: 0, wake: () => undefined };
    this.#looks.set(id, look);
    this.#tell(plane, id, look, now);
    return id;
  }

  close(plane: ControlPlane, id: number): void {
    this.#looks.delete(id);
    for (const session of plane.sessions.values()) session.tell({ kind: 'untap', tap: id });
  }

  push(id: number, events: readonly TapEvent[], dropped: number): void {
    const look = this.#looks.get(id);
    if (look === undefined) return;
    const room = MAX_WAITING - look.events.length;
    look.events.push(...events.slice(0, room));
    look.dropped += dropped + Math.max(0, events.length - room);
    look.wake();
  }

  /** Waits a moment for something to show. */
  async read(plane: ControlPlane, id: number): Promise<{ events: TapEvent[]; dropped: number; proxies: number }> {
    const look = this.#looks.get(id);
    if (look === undefined)
      throw new Fault('TAP_GONE', 'not-found', 'nobody looked for too long, so this look has ended', { hint: 'begin again' });
    const now = plane.now();
    look.readAtMs = now;
    for (const [other, { readAtMs }] of this.#looks) if (now - readAtMs > HELD_MS) this.#looks.delete(other);
    if (now - look.toldAtMs >= TELL_EVERY_MS) this.#tell(plane, id, look, now);
    if (look.events.length === 0)
      await new Promise<void>((done) => {
        const timer = setTimeout(done, WAIT_MS);
        look.wake = () => {
          clearTimeout(timer);
          done();
        };
      });
    const { events, dropped } = look;
    look.events = [];
    look.dropped = 0;
    return { events, dropped, proxies: plane.sessions.size };
  }

  #tell(plane: ControlPlane, id: number, look: Look, now: number): void {
    look.toldAtMs = now;
    for (const session of plane.sessions.values())
      if (look.filter.service === undefined || session.service === look.filter.service)
        session.tell({ kind: 'tap', tap: id, filter: look.filter, perSecond: look.perSecond, forMs: HELD_MS });
  }
}
