// `success<99.5%`, `p99>200ms`: a condition that a row of signals meets or not; and objectives with their budget.
import { parseDuration } from '../base/duration.ts';
import type { Stat, StatRow } from './golden.ts';

export interface Condition {
  readonly text: string;
  /** True: it is met; undefined: there is no data to tell. */
  readonly meets: (row: StatRow) => boolean | undefined;
}

type Read = (row: StatRow) => number | null;

const FIELDS: Readonly<Record<string, Read>> = {
  success: (row) => row.successPercent,
  rps: (row) => row.requestsPerSecond,
  denied: (row) => row.deniedPerSecond,
  p50: (row) => row.p50Ms,
  p95: (row) => row.p95Ms,
  p99: (row) => row.p99Ms,
  max: (row) => row.maxMs,
  cpu: (row) => row.cpuPercent,
  memory: (row) => row.memoryBytes,
  inflight: (row) => row.inFlight,
  queued: (row) => row.queued,
  circuit: (row) => row.circuitPercent,
  ready: (row) => (row.instances === 0 ? null : (row.instancesReady / row.instances) * 100),
};
export const CONDITION_FIELDS = Object.keys(FIELDS);

const UNITS: Readonly<Record<string, number>> = { '': 1, '%': 1, B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, '/s': 1 };

/** Undefined when the text is none. */
export function parseCondition(text: string): Condition | undefined {
  const match = /^\s*([a-z0-9]+)\s*(<=|>=|<|>)\s*([0-9.]+)\s*([A-Za-z%/]*)\s*$/.exec(text);
  const read = FIELDS[match?.[1] ?? ''];
  if (match === null || read === undefined) return undefined;
  const [, , operator = '', digits = '', unit = ''] = match;
  const duration = parseDuration(`${digits}${unit}`);
  const factor = UNITS[unit];
  const wanted = factor !== undefined ? Number(digits) * factor : duration;
  if (wanted === undefined || Number.isNaN(wanted)) return undefined;
  return {
    text: text.trim(),
    meets: (row) => {
      const value = read(row);
      if (value === null) return undefined;
      return operator === '<' ? value < wanted : operator === '<=' ? value <= wanted : operator === '>' ? value > wanted : value >= wanted;
    },
  };
}

export interface Failing {
  readonly condition: string;
  readonly row: string;
  readonly verdict: 'met' | 'unknown';
}

/** Where a condition is met, and where there was no data to tell. */
export function failing(stat: Stat, conditions: readonly Condition[]): Failing[] {
  return conditions.flatMap((condition) =>
    stat.rows.flatMap((row): Failing[] => {
      const met = condition.meets(row);
      if (met === false) return [];
      return [{ condition: condition.text, row: nameOf(row), verdict: met === true ? 'met' : 'unknown' }];
    }),
  );
}

/** What people call a row. */
export function nameOf({ service, instance, peer, route }: StatRow): string {
  if (peer !== undefined) return `${peer === '-' ? 'outside' : peer} -> ${service}`;
  return [instance ?? service, ...(route === undefined ? [] : [route])].join(' ');
}

export interface Budget {
  readonly service: string;
  readonly objectivePercent: number;
  readonly successPercent: number | null;
  /** Share of the failures that the objective allows over the window which is still left, in percent; below 0 it is overspent. */
  readonly budgetLeftPercent: number | null;
  /** How many times faster than the objective allows failures come, by window. */
  readonly burnRates: readonly { readonly window: string; readonly rate: number | null }[];
}

/** The error budget of each service: the first window is the objective's, the others tell how fast it is spent now. */
export function budgets(objectivePercent: number, windows: readonly { readonly window: string; readonly stat: Stat }[]): Budget[] {
  const allowed = 100 - objectivePercent;
  const rate = (row: StatRow | undefined): number | null =>
    row === undefined || row.successPercent === null ? null : Math.round(((100 - row.successPercent) / allowed) * 100) / 100;
  return (windows[0]?.stat.rows ?? []).map((row) => {
    const spent = rate(row);
    return {
      service: row.service,
      objectivePercent,
      successPercent: row.successPercent,
      budgetLeftPercent: spent === null ? null : Math.round((1 - spent) * 1000) / 10,
      burnRates: windows.map(({ window, stat }) => ({ window, rate: rate(stat.rows.find((each) => each.service === row.service)) })),
    };
  });
}
