// Where the live screen of `top` gets its rows, live requests and traces.
import { Fault } from '../base/fault.ts';
import type { TapEvent } from '../mesh/tap.ts';
import type { Stat } from '../signals/golden.ts';
import type { TopSource } from '../views/top/screen.ts';
import { renderWaterfall } from '../views/trace/waterfall.ts';
import type { MeshConnection } from './context.ts';

const TAP_PER_SECOND = 50;
const AGAIN_MS = 1000;

/** What the live screen reads, from a mesh. */
export function sourceOf(mesh: MeshConnection, record: (stat: Stat) => Stat): TopSource {
  return {
    read: async (query) => record(await mesh.request('stat', query)),
    tap: (filter, onEvents) => {
      let over = false;
      void follow(mesh, filter, onEvents, () => over);
      return {
        stop: () => {
          over = true;
        },
      };
    },
    trace: async (id, columns) => {
      const found = await mesh.request('trace.get', { id });
      return 'candidates' in found ? 'several requests begin with this id' : renderWaterfall(found.trace, columns);
    },
  };
}

/** Hands on what is seen until it is over; begins again when control did. Meanwhile the screen says that it is waiting. */
async function follow(
  mesh: MeshConnection,
  filter: { service: string; from?: string },
  onEvents: (events: readonly TapEvent[]) => void,
  isOver: () => boolean,
): Promise<void> {
  while (!isOver()) {
    try {
      const { id } = await mesh.request('tap.open', { filter, perSecond: TAP_PER_SECOND });
      while (!isOver()) {
        const { events } = await mesh.request('tap.read', { id });
        if (!isOver() && events.length > 0) onEvents(events);
      }
      await mesh.request('tap.close', { id });
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      await new Promise((done) => setTimeout(done, AGAIN_MS));
    }
  }
}
