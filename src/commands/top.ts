// `meshctl top`: a live screen on a terminal; elsewhere, or when asked, readings one after the other; recorded and shown again.
import { appendFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Fault, messageOf } from '../base/fault.ts';
import { STAT_KINDS, type Stat, type StatKind } from '../signals/golden.ts';
import { completenessLine, goldenTable } from '../views/golden.ts';
import type { Context, Input, Run } from './context.ts';
import { documentLine } from './document.ts';
import { durationOption, flag, numberOption, outputOption, textArgument, textOption, withMesh } from './input.ts';
import { readBytes } from './read-files.ts';
import { DEFAULT_WINDOW_MS } from './stat.ts';
import { sourceOf } from './top-source.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const intervalMs = Math.max(100, durationOption(input, 'interval', 'interval') ?? 1000);
  const windowMs = Math.max(1000, durationOption(input, 'window', 'window') ?? DEFAULT_WINDOW_MS);
  const by = kindOption(input);
  const service = textArgument(input, 0);
  const count = flag(input, 'once') ? 1 : numberOption(input, 'count', 'count', 1, 1_000_000);
  const live = context.isTerminal && textOption(input, 'output') === undefined && count === undefined;
  const record = recorder(context, textOption(input, 'record'));
  const start = { by, windowMs, intervalMs, interrupted: context.interrupted, ...(service === undefined ? {} : { service }) };
  const replayed = textOption(input, 'replay');
  if (replayed !== undefined) {
    const read = replay(context, replayed);
    if (!live) return readings(context, format, intervalMs, count, read);
    const { showTop } = await import('../views/top/screen.ts');
    await showTop({
      ...start,
      title: `replay of ${replayed}`,
      source: {
        read: () => read(),
        tap: () => ({ stop: () => undefined }),
        trace: () => Promise.reject(new Error('a recording holds no traces')),
      },
    });
    return 0;
  }
  return withMesh(context, input, async (mesh) => {
    if (!live)
      return readings(context, format, intervalMs, count, async () =>
        record(await mesh.request('stat', { by, windowMs, ...(service === undefined ? {} : { service }) })),
      );
    const status = await mesh.request('status', null);
    const { showTop } = await import('../views/top/screen.ts');
    await showTop({
      ...start,
      title: `mesh ${status.name}${status.ingressUrl === null ? '' : `  ingress ${status.ingressUrl}`}`,
      source: sourceOf(mesh, record),
    });
    return 0;
  });
};

function kindOption(input: Input): StatKind {
  const text = textOption(input, 'by') ?? 'service';
  const found = STAT_KINDS.find((each) => each === text);
  if (found === undefined) throw new Fault('USAGE', 'usage', `\`--by ${text}\` is not known: ${STAT_KINDS.join(', ')} are`);
  return found;
}

/** Readings one after the other, until there are enough, the recording ends, or an interrupt. */
async function readings(
  context: Context,
  format: 'table' | 'json',
  intervalMs: number,
  count: number | undefined,
  read: () => Promise<Stat>,
): Promise<number> {
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
      if (error instanceof EndOfRecording) return 0;
      // A reading that is missed because control starts again is said, not fatal, as long as others follow.
      if (count === 1 || !(error instanceof Fault) || error.code !== 'MESH_STARTING') throw error;
      context.note(`meshctl: ${error.message}\n`);
    }
  }
  return 0;
}

class EndOfRecording extends Error {}

/** Each reading as one line of JSON; a file that is there is begun anew. */
function recorder(context: Context, name: string | undefined): (stat: Stat) => Stat {
  if (name === undefined) return (stat) => stat;
  const path = resolve(context.cwd, name);
  try {
    writeFileSync(path, '');
  } catch (cause) {
    throw new Fault('FILE_UNWRITABLE', 'usage', `cannot write ${path}: ${messageOf(cause)}`, { cause });
  }
  return (stat) => {
    appendFileSync(path, documentLine('Stat', stat));
    return stat;
  };
}

function replay(context: Context, name: string): () => Promise<Stat> {
  const lines = readBytes(context, name)
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '');
  const stats = lines.map((line, i): Stat => {
    const parsed: unknown = parse(line);
    const reading = Object(parsed) as { kind?: unknown; rows?: unknown; window?: unknown; completeness?: unknown };
    if (reading.kind !== 'Stat' || !Array.isArray(reading.rows) || !reading.window || !reading.completeness)
      throw new Fault('FILE_UNREADABLE', 'usage', `\`${name}\` is no recording of \`top\`: line ${i + 1} is no reading`, {
        hint: '`top --record FILE` writes one',
      });
    return parsed as Stat;
  });
  if (stats.length === 0) throw new Fault('FILE_UNREADABLE', 'usage', `\`${name}\` holds no reading`);
  let next = 0;
  return () => {
    const stat = stats[next++];
    return stat === undefined ? Promise.reject(new EndOfRecording('the recording has ended')) : Promise.resolve(stat);
  };
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
