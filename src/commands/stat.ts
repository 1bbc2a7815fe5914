// `meshctl stat [KIND[/NAME]]`: golden signals over a window, now or then, alone or beside another.
import { parseDuration } from '../base/duration.ts';
import { Fault } from '../base/fault.ts';
import type { StatQuery } from '../control/signals.ts';
import {
  type Budget,
  budgets,
  CONDITION_FIELDS,
  type Condition,
  type Failing,
  failing,
  nameOf,
  parseCondition,
} from '../signals/conditions.ts';
import { STAT_KINDS, type Stat, type StatKind, type StatRow } from '../signals/golden.ts';
import { completenessLine, goldenTable } from '../views/golden.ts';
import { type Cell, renderTable } from '../views/table.ts';
import { paint, SYMBOL } from '../views/theme.ts';
import type { Context, Input, MeshConnection, Run } from './context.ts';
import { document } from './document.ts';
import { durationOption, outputOption, repeatedOption, textArgument, textOption, withMesh } from './input.ts';

export const DEFAULT_WINDOW_MS = 10_000;
const OBJECTIVE_WINDOWS = ['1h', '30m', '5m'];

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'wide', 'json']);
  const query = readQuery(context, input);
  const conditions = readConditions(input);
  const objective = objectiveOption(input);
  const compare = textOption(input, 'compare');
  return withMesh(context, input, async (mesh) => {
    if (objective !== undefined) return report(context, mesh, query, objective, format);
    const stat = await mesh.request('stat', query);
    const before =
      compare === undefined
        ? undefined
        : await mesh.request('stat', { ...query, windowMs: stat.window.seconds * 1000, toMs: momentOf(context, compare, 'compare') });
    const failed = failing(stat, conditions);
    if (format === 'json')
      context.print(
        document('Stat', { ...stat, ...(before === undefined ? {} : { before }), ...(conditions.length === 0 ? {} : { failing: failed }) }),
      );
    else {
      context.print(before === undefined ? goldenTable(stat, format === 'wide') : comparison(before, stat));
      context.print(`${paint('dim', completenessLine(stat))}\n${failedText(failed)}`);
    }
    return codeOf(stat, conditions, failed);
  });
};

/** 1 when a condition is met anywhere; 2 when there was no data at all to tell. */
export function codeOf({ rows }: Stat, conditions: readonly Condition[], failed: readonly Failing[]): number {
  if (failed.some(({ verdict }) => verdict === 'met')) return 1;
  return conditions.length > 0 && (rows.length === 0 || failed.length === rows.length * conditions.length) ? 2 : 0;
}

export function failedText(failed: readonly Failing[]): string {
  return failed
    .filter(({ verdict }) => verdict === 'met')
    .map(({ condition, row }) => `${SYMBOL.bad} ${row}: ${condition}\n`)
    .join('');
}

export function readConditions(input: Input, name = 'failIf', flagName = 'fail-if'): Condition[] {
  return repeatedOption(input, name).map((text) => {
    const condition = parseCondition(text);
    if (condition !== undefined) return condition;
    throw new Fault('USAGE', 'usage', `\`--${flagName} ${text}\` is no condition`, {
      hint: `write FIELD<VALUE or FIELD>VALUE: \`success<99.5%\`, \`p99>200ms\`, \`memory>512MiB\`; fields are ${CONDITION_FIELDS.join(', ')}`,
    });
  });
}

/** `service/web`, `edges`, `route`, or a service's name alone. */
export function readQuery(context: Context, input: Input): StatQuery {
  const [first = '', name] = (textArgument(input, 0) ?? '').split('/');
  const kind = STAT_KINDS.find((each) => each === first || `${each}s` === first);
  if (name !== undefined && kind === undefined)
    throw new Fault('USAGE', 'usage', `\`${first}\` is no kind of row: ${STAT_KINDS.join(', ')} are`, {
      hint: 'a service is named alone, or as service/NAME',
    });
  const callee = textOption(input, 'to');
  const caller = textOption(input, 'from');
  const service = name ?? (kind === undefined && first !== '' ? first : callee);
  const by: StatKind = kind ?? (caller === undefined ? 'service' : 'edge');
  const windowMs = Math.max(1000, durationOption(input, 'window', 'window') ?? DEFAULT_WINDOW_MS);
  const since = textOption(input, 'since');
  const until = textOption(input, 'until');
  const toMs = until === undefined ? undefined : momentOf(context, until, 'until');
  const fromMs = since === undefined ? undefined : momentOf(context, since, 'since');
  const span = fromMs === undefined ? windowMs : (toMs ?? context.now()) - fromMs;
  if (span < 1000) throw new Fault('USAGE', 'usage', 'the window ends before it has lasted a second');
  return {
    windowMs: span,
    by,
    ...(toMs === undefined ? {} : { toMs }),
    ...(service === undefined || service === '' ? {} : { service }),
    ...(caller === undefined ? {} : { peer: caller }),
  };
}

/** `10m` and `10m-ago` are so long ago; else RFC 3339, or `14:03` of today. */
function momentOf(context: Context, text: string, flagName: string): number {
  const ago = parseDuration(text.replace(/-ago$/, ''));
  if (ago !== undefined) return context.now() - ago;
  const clock = /^(\d{1,2}):(\d{2})$/.exec(text);
  if (clock !== null && Number(clock[1]) < 24 && Number(clock[2]) < 60)
    return new Date(context.now()).setHours(Number(clock[1]), Number(clock[2]), 0, 0);
  const at = /^\d{4}-\d{2}-\d{2}T/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at))
    throw new Fault('USAGE', 'usage', `\`--${flagName} ${text}\` is no time`, { hint: 'write `10m-ago`, `14:03` or 2026-11-21T14:03:00Z' });
  return at;
}

function comparison(before: Stat, after: Stat): string {
  const cell = (old: number | null | undefined, now: number | null | undefined, unit: string, isLessBetter: boolean): Cell => {
    if (now === null || now === undefined) return { text: '-', meaning: 'dim' };
    const text = `${now}${unit}`;
    if (old === null || old === undefined) return { text: `${text} (new)`, meaning: 'plain' };
    const change = old === 0 ? (now === 0 ? 0 : Number.POSITIVE_INFINITY) : ((now - old) / Math.abs(old)) * 100;
    if (Math.abs(change) < 0.5) return text;
    const isWorse = change > 0 === isLessBetter;
    const shown = Number.isFinite(change) ? `${change > 0 ? '+' : ''}${change.toFixed(0)}%` : 'new';
    return { text: `${text} (${shown})`, meaning: isWorse && Math.abs(change) >= 10 ? 'bad' : 'plain' };
  };
  const gone = before.rows.filter((row) => !after.rows.some((each) => nameOf(each) === nameOf(row)));
  const table = renderTable(
    [{ name: 'NAME' }, ...['RPS', 'SUCCESS', 'P50', 'P95', 'P99', 'DENIED/S'].map((name) => ({ name, align: 'right' as const }))],
    after.rows.map((row) => {
      const old: StatRow | undefined = before.rows.find((each) => nameOf(each) === nameOf(row));
      return [
        nameOf(row),
        cell(old?.requestsPerSecond, row.requestsPerSecond, '', false),
        cell(old?.successPercent, row.successPercent, '%', false),
        cell(old?.p50Ms, row.p50Ms, 'ms', true),
        cell(old?.p95Ms, row.p95Ms, 'ms', true),
        cell(old?.p99Ms, row.p99Ms, 'ms', true),
        cell(old?.deniedPerSecond, row.deniedPerSecond, '', true),
      ];
    }),
  );
  return `${table}compared with ${before.window.from} to ${before.window.to}${gone.length === 0 ? '' : `; gone since: ${gone.map(nameOf).join(', ')}`}\n`;
}

export function objectiveOption(input: Input): number | undefined {
  const text = textOption(input, 'objective');
  if (text === undefined) return undefined;
  const percent = /^\d+(?:\.\d+)?%?$/.test(text) ? Number(text.replace('%', '')) : Number.NaN;
  if (!(percent > 0 && percent < 100))
    throw new Fault('USAGE', 'usage', `\`--objective ${text}\`: a share of requests below 100% is wanted, such as 99.9%`);
  return percent;
}

/** Error budget left over the window, and burn rates over it and shorter ones. Exit 1 when a budget is overspent. */
async function report(context: Context, mesh: MeshConnection, query: StatQuery, objective: number, format: string): Promise<number> {
  const lengths = [query.windowMs, ...OBJECTIVE_WINDOWS.map((text) => parseDuration(text) ?? 0).filter((ms) => ms < query.windowMs)];
  const windows = await Promise.all(
    lengths.map(async (windowMs) => ({
      window: `${Math.round(windowMs / 1000)}s`,
      stat: await mesh.request('stat', { ...query, by: 'service', windowMs }),
    })),
  );
  const rows: Budget[] = budgets(objective, windows);
  if (format === 'json') context.print(document('ErrorBudget', { window: windows[0]?.stat.window, items: rows }));
  else
    context.print(
      renderTable(
        [
          { name: 'SERVICE' },
          { name: 'OBJECTIVE', align: 'right' },
          { name: 'SUCCESS', align: 'right' },
          { name: 'BUDGET-LEFT', align: 'right' },
          ...windows.map(({ window }) => ({ name: `BURN-${window}`, align: 'right' as const })),
        ],
        rows.map((row) => [
          row.service,
          `${objective}%`,
          row.successPercent === null ? '-' : `${row.successPercent}%`,
          row.budgetLeftPercent === null
            ? '-'
            : { text: `${row.budgetLeftPercent}%`, meaning: row.budgetLeftPercent < 0 ? 'bad' : 'plain' },
          ...row.burnRates.map(({ rate }): Cell => (rate === null ? '-' : { text: `${rate}x`, meaning: rate > 1 ? 'bad' : 'plain' })),
        ]),
      ),
    );
  return rows.some(({ budgetLeftPercent }) => budgetLeftPercent !== null && budgetLeftPercent < 0) ? 1 : 0;
}
