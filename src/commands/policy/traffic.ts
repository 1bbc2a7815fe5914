// Traffic that the running mesh recorded, for commands that judge or learn from it.

import { printDuration } from '../../base/duration.ts';
import { Fault } from '../../base/fault.ts';
import type { Traffic } from '../../control/traffic.ts';
import { parseSpiffeId } from '../../mesh/identity.ts';
import type { Context, Input } from '../context.ts';
import { durationOption, withMesh } from '../input.ts';

const DEFAULT_SINCE_MS = 24 * 3600 * 1000;

/** Everything since `--since`. Throws TRAFFIC_NONE when nothing was recorded. */
export async function readTraffic(context: Context, input: Input): Promise<Traffic> {
  const sinceMs = durationOption(input, 'since', 'since') ?? DEFAULT_SINCE_MS;
  const traffic = await withMesh(context, input, (mesh) => mesh.request('policy.traffic', { sinceMs: context.now() - sinceMs }));
  if (traffic.requests === 0)
    throw new Fault('TRAFFIC_NONE', 'not-found', `no request was recorded in the last ${printDuration(sinceMs)}`, {
      hint: 'send some through the mesh, or look further back with --since',
    });
  return traffic;
}

/** `1234 requests from … to …`, and what is not among them. */
export function describeTraffic({ requests, overflow, fromMs, toMs, ratio }: Traffic): string {
  const day = (ms: number | null): string => new Date(ms ?? 0).toISOString().slice(0, 19);
  const sampled = ratio < 1 ? `; a sample: ${ratio * 100} % of traces are kept` : '';
  const lost = overflow > 0 ? `; ${overflow} more were too different to be kept apart` : '';
  return `${requests} requests from ${day(fromMs)} to ${day(toMs)} UTC${sampled}${lost}`;
}

/** Callers and callees as people name them, by the mesh's own names where it has them. */
export function shortId(printed: string | null, trustDomain: string, namespace: string): string {
  if (printed === null) return 'no identity';
  const id = parseSpiffeId(printed);
  return id?.trustDomain === trustDomain && id.namespace === namespace && id.service !== undefined ? id.service : printed;
}
