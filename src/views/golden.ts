// A row of golden signals as cells: what `stat`, `top` and the demo's summary print.
import { printBytes } from '../base/bytes.ts';
import { printDuration } from '../base/duration.ts';
import { nameOf } from '../signals/conditions.ts';
import type { Stat, StatRow } from '../signals/golden.ts';
import { type Cell, type Column, renderTable } from './table.ts';
import { type Meaning, SYMBOL } from './theme.ts';

export const GOLDEN_COLUMNS: readonly Column[] = [
  { name: 'NAME' },
  { name: 'READY', align: 'right' },
  { name: 'RPS', align: 'right' },
  { name: 'SUCCESS', align: 'right' },
  { name: 'DENIED/S', align: 'right' },
  { name: 'P50', align: 'right' },
  { name: 'P95', align: 'right' },
  { name: 'P99', align: 'right' },
  { name: 'CPU', align: 'right' },
  { name: 'MEM', align: 'right' },
  { name: 'IN-FLIGHT', align: 'right' },
];

const NONE = '-';

/** `-` where there is no data; never a made-up zero. */
export function goldenCells(row: StatRow): Exclude<Cell, string>[] {
  const plain = (text: string): Exclude<Cell, string> => ({ text, meaning: text === NONE ? 'dim' : 'plain' });
  const time = (ms: number | null): Exclude<Cell, string> => plain(printMs(ms));
  const success = successMeaning(row.successPercent);
  return [
    plain(nameOf(row)),
    row.instances === 0
      ? plain(NONE)
      : { text: `${row.instancesReady}/${row.instances}`, meaning: row.instancesReady < row.instances ? 'warn' : 'plain' },
    plain(`${row.requestsPerSecond.toFixed(1)}${row.protocol === 'tcp' ? 'c' : ''}`),
    {
      text: row.successPercent === null ? NONE : `${success.symbol}${row.successPercent.toFixed(1)}%`,
      meaning: row.successPercent === null ? 'dim' : success.meaning,
    },
    {
      text: row.deniedPerSecond === 0 ? '0' : `${SYMBOL.bad} ${row.deniedPerSecond.toFixed(1)}`,
      meaning: row.deniedPerSecond === 0 ? 'plain' : 'bad',
    },
    time(row.p50Ms),
    time(row.p95Ms),
    time(row.p99Ms),
    plain(row.cpuPercent === null ? NONE : `${row.cpuPercent.toFixed(1)}%`),
    plain(row.memoryBytes === null ? NONE : printBytes(row.memoryBytes)),
    plain(row.inFlight === null ? NONE : String(row.inFlight)),
  ];
}

function successMeaning(percent: number | null): { meaning: Meaning; symbol: string } {
  if (percent === null || percent >= 99) return { meaning: 'good', symbol: '' };
  return percent >= 95 ? { meaning: 'warn', symbol: `${SYMBOL.warn} ` } : { meaning: 'bad', symbol: `${SYMBOL.bad} ` };
}

/** Which view, over which time, how complete: stands under every table of signals. */
export function completenessLine(
  stat: Pick<Stat, 'window' | 'completeness' | 'view'> & { readonly rows: readonly Pick<StatRow, 'protocol'>[] },
): string {
  const { proxiesAnswered, proxiesTotal, samplesDropped } = stat.completeness;
  return `${stat.view} view, ${printDuration(stat.window.seconds * 1000)} until ${stat.window.to.slice(11, 19)} UTC; ${proxiesAnswered} of ${proxiesTotal} proxies answered; ${samplesDropped} spans dropped${stat.rows.some((row) => row.protocol === 'tcp') ? '; c: TCP connections/s' : ''}`;
}

/** What `-o wide` adds: the slowest, bytes, and how full everything is. */
const WIDE_COLUMNS: readonly Column[] = [
  'MAX',
  '4XX/S',
  'IN',
  'OUT',
  'CONNS',
  'QUEUE',
  'CIRCUIT',
  'PROXY-LOOP',
  'PROXY-CPU',
  'PROXY-MEM',
  'CPU-LIMIT',
  'MEM-LIMIT',
].map((name) => ({ name, align: 'right' as const }));

function wideCells(row: StatRow): string[] {
  const percent = (value: number | null): string => (value === null ? NONE : `${value}%`);
  const bytes = (value: number | null): string => (value === null ? NONE : printBytes(value));
  return [
    printMs(row.maxMs),
    String(row.clientErrorsPerSecond),
    `${printBytes(row.receivedBytesPerSecond)}/s`,
    `${printBytes(row.sentBytesPerSecond)}/s`,
    row.openConnections === null ? NONE : String(row.openConnections),
    row.queued === null ? NONE : `${row.queued}/${row.queueLimit ?? 0}`,
    percent(row.circuitPercent),
    percent(row.proxyLoopPercent),
    percent(row.proxyCpuPercent),
    bytes(row.proxyMemoryBytes),
    percent(row.cpuLimitPercent),
    bytes(row.memoryLimitBytes),
  ];
}

/** Milliseconds for people; `-` where there is no data. */
export function printMs(ms: number | null): string {
  return ms === null ? NONE : printDuration(ms);
}

export function goldenTable(stat: Stat, isWide = false): string {
  const columns = isWide ? [...GOLDEN_COLUMNS, ...WIDE_COLUMNS] : GOLDEN_COLUMNS;
  return renderTable(
    columns,
    stat.rows.map((row) => [...goldenCells(row), ...(isWide ? wideCells(row) : [])]),
  );
}
