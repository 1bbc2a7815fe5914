// `meshctl trace ID`
import { Fault } from '../base/fault.ts';
import type { Trace } from '../traces/assemble.ts';
import { renderWaterfall } from '../views/trace/waterfall.ts';
import type { MeshConnection, Run } from './context.ts';
import { document } from './document.ts';
import { outputOption, textArgument, withMesh } from './input.ts';

const MIN_PREFIX = 8;
/** A request that has just ended: its spans are on their way for this long. */
const LATE_SPANS_MS = 1000;
const LOOK_EVERY_MS = 100;

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const id = (textArgument(input, 0) ?? '').trim().toLowerCase();
  if (id.length < MIN_PREFIX)
    throw new Fault('USAGE', 'usage', `\`${id}\` is too short: at least ${MIN_PREFIX} characters of a request id or trace id are wanted`, {
      hint: 'take the x-request-id of an answer from the ingress',
    });
  if (!/^[\x21-\x7e]{8,128}$/.test(id)) throw new Fault('USAGE', 'usage', `\`${id}\` is neither a request id nor a trace id`);
  const trace = await withMesh(context, input, (mesh) => findTrace(mesh, id));
  context.print(format === 'json' ? document('Trace', trace) : renderWaterfall(trace, context.columns));
  return 0;
};

/** The trace once it is whole, or as it is after the wait for late spans. Throws TRACE_UNKNOWN, TRACE_AMBIGUOUS. */
export async function findTrace(mesh: MeshConnection, id: string): Promise<Trace> {
  const end = Date.now() + LATE_SPANS_MS;
  for (;;) {
    const last = Date.now() >= end;
    try {
      const found = await mesh.request('trace.get', { id });
      if ('candidates' in found) {
        throw new Fault(
          'TRACE_AMBIGUOUS',
          'ambiguous',
          `several requests begin with \`${id}\`: ${found.candidates.map((each) => each.requestId || each.traceId).join(', ')}`,
          { hint: 'give more of the id' },
        );
      }
      if (last || isWhole(found.trace)) return found.trace;
    } catch (error) {
      if (last || !(error instanceof Fault) || error.code !== 'TRACE_UNKNOWN') throw error;
    }
    await new Promise((done) => setTimeout(done, LOOK_EVERY_MS));
  }
}

// Every call that was answered shows its callee, and nobody's parent is missing.
function isWhole(trace: Trace): boolean {
  return trace.complete && trace.hops[0]?.from === 'outside' && trace.hops.every((hop) => hop.instance !== null || hop.refusal !== null);
}

/** The newest trace that shows more than one hop, or the newest with a denial; for summaries. */
export async function recentTrace(mesh: MeshConnection, denied: boolean, wanted: (trace: Trace) => boolean): Promise<Trace | undefined> {
  const matches = await mesh.request('trace.recent', { denied, limit: 50 });
  let best: Trace | undefined;
  for (const match of matches) {
    const found = await mesh.request('trace.get', { id: match.traceId });
    if ('candidates' in found) continue;
    if (wanted(found.trace)) return found.trace;
    best ??= found.trace;
  }
  return best;
}
