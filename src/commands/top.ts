// `meshctl top`: a live screen on a terminal; elsewhere, or when asked, readings one after the other.
import { Fault } from '../base/fault.ts';
import type { Stat } from '../signals/golden.ts';
import { completenessLine, goldenTable } from '../views/golden.ts';
import type { Run } from './context.ts';
import { documentLine } from './document.ts';
import { durationOption, flag, numberOption, outputOption, textOption, withMesh } from './input.ts';
import { DEFAULT_WINDOW_MS } from './stat.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const intervalMs = Math.max(100, durationOption(input, 'interval', 'interval') ?? 1000);
  const windowMs = Math.max(1000, durationOption(input, 'window', 'window') ?? DEFAULT_WINDOW_MS);
  const count = flag(input, 'once') ? 1 : numberOption(input, 'count', 'count', 1, 1_000_000);
  const live = context.isTerminal && textOption(input, 'output') === undefined && count === undefined;
  return withMesh(context, input, async (mesh) => {
    const read = (): Promise<Stat> => mesh.request('stat', { windowMs });
    if (live) {
      const status = await mesh.request('status', null);
      const { showTop } = await import('../views/top/screen.ts');
      await showTop({
        title: `mesh ${status.name}${status.ingressUrl === null ? '' : `  ingress ${status.ingressUrl}`}`,
        intervalMs,
        read,
        interrupted: context.interrupted,
      });
      return 0;
    }
    let stopped = false;
    const stop = context.interrupted.then(() => {
      stopped = true;
    });
    for (let i = 0; !stopped && i < (count ?? Number.POSITIVE_INFINITY); i++) {
      if (i > 0) await Promise.race([new Promise((done) => setTimeout(done, intervalMs)), stop]);
      if (stopped) break;
      try {
        const stat = await read();
        context.print(
          format === 'json'
            ? documentLine('Stat', stat)
            : `${i > 0 ? '\n' : ''}${stat.window.to}\n${goldenTable(stat)}${completenessLine(stat)}\n`,
        );
      } catch (error) {
        // A reading that is missed because control starts again is said, not fatal, as long as others follow.
        if (count === 1 || !(error instanceof Fault) || error.code !== 'MESH_STARTING') throw error;
        context.note(`meshctl: ${error.message}\n`);
      }
    }
    return 0;
  });
};
