// What the keys of `top` do: a value in, a value out. The screen draws it, and reads what it asks for.

import { nameOf } from '../../signals/conditions.ts';
import type { Stat, StatKind, StatRow } from '../../signals/golden.ts';

export interface Key {
  /** What was typed; empty for keys without a letter. */
  readonly input: string;
  readonly name?: 'up' | 'down' | 'pageUp' | 'pageDown' | 'enter' | 'escape' | 'backspace' | 'home' | 'end';
}

/** One level of looking closer. */
export type Level =
  | { readonly kind: 'rows'; readonly by: StatKind; readonly service?: string; readonly peer?: string }
  /** Live requests that arrive at a service. */
  | { readonly kind: 'requests'; readonly service: string; readonly peer?: string }
  | { readonly kind: 'trace'; readonly id: string };

export interface TopState {
  readonly levels: readonly [Level, ...Level[]];
  readonly sort: SortColumn | undefined;
  readonly isAscending: boolean;
  readonly filter: string;
  readonly isTyping: boolean;
  readonly isPaused: boolean;
  readonly hasHelp: boolean;
  readonly windowMs: number;
  readonly cursor: number;
  readonly isOver: boolean;
}

export const WINDOWS_MS = [10_000, 60_000, 300_000];
const KINDS: Readonly<Record<string, StatKind>> = { '1': 'service', '2': 'instance', '3': 'edge', '4': 'route', '5': 'caller' };

/** Columns that can be sorted by, in the order in which `s` goes through them. */
export const SORTS = {
  NAME: (row: StatRow): string | number => nameOf(row),
  RPS: (row: StatRow): number => row.requestsPerSecond,
  SUCCESS: (row: StatRow): number => row.successPercent ?? Number.POSITIVE_INFINITY,
  'DENIED/S': (row: StatRow): number => row.deniedPerSecond,
  P50: (row: StatRow): number => row.p50Ms ?? -1,
  P95: (row: StatRow): number => row.p95Ms ?? -1,
  P99: (row: StatRow): number => row.p99Ms ?? -1,
  CPU: (row: StatRow): number => row.cpuPercent ?? -1,
  MEM: (row: StatRow): number => row.memoryBytes ?? -1,
  'IN-FLIGHT': (row: StatRow): number => row.inFlight ?? -1,
} as const;
export type SortColumn = keyof typeof SORTS;
const SORT_NAMES = Object.keys(SORTS) as SortColumn[];
/** The worst comes first: few successes, and the beginning of the alphabet. */
const ASCENDING: ReadonlySet<SortColumn> = new Set(['NAME', 'SUCCESS']);

export const HELP: readonly (readonly [string, string])[] = [
  ['1 2 3 4 5', 'rows by service, instance, edge, route, caller'],
  ['↑ ↓ j k PgUp PgDn g G', 'move'],
  ['Enter', 'closer: a service, its callers, live requests, one trace'],
  ['Esc', 'back'],
  ['s S r', 'next column to sort by, the one before, the other way round'],
  ['/', 'filter as you type; Esc clears it'],
  ['w', 'window: 10 s, 1 min, 5 min'],
  ['p or space', 'pause'],
  ['?', 'this'],
  ['q', 'quit'],
];

export function initialState(by: StatKind, windowMs: number, service?: string): TopState {
  return {
    levels: [{ kind: 'rows', by, ...(service === undefined ? {} : { service }) }],
    sort: undefined,
    isAscending: true,
    filter: '',
    isTyping: false,
    isPaused: false,
    hasHelp: false,
    windowMs,
    cursor: 0,
    isOver: false,
  };
}

export function levelOf({ levels }: TopState): Level {
  return levels[levels.length - 1] ?? levels[0];
}

/** Rows as they are shown: filtered, and sorted where a column was chosen. */
export function rowsOf(state: TopState, stat: Stat | undefined): readonly StatRow[] {
  const wanted = state.filter.toLowerCase();
  const rows = (stat?.rows ?? []).filter((row) => nameOf(row).toLowerCase().includes(wanted));
  const { sort } = state;
  if (sort === undefined) return rows;
  const read = SORTS[sort];
  const sign = state.isAscending ? 1 : -1;
  return [...rows].sort((a, b) => {
    const [x, y] = [read(a), read(b)];
    return (x < y ? -1 : x > y ? 1 : nameOf(a) < nameOf(b) ? -1 : 1) * (x === y ? 1 : sign);
  });
}

/** `count` is how many lines the level has, `page` how many are seen; `chosen` is what Enter looks closer at. */
export function press(state: TopState, key: Key, count: number, page: number, chosen: Level | undefined): TopState {
  if (state.isTyping) return type(state, key);
  const { input, name } = key;
  if (input === 'q') return { ...state, isOver: true };
  if (input === '?') return { ...state, hasHelp: !state.hasHelp };
  if (state.hasHelp) return { ...state, hasHelp: false };
  const kind = KINDS[input];
  if (kind !== undefined) return { ...state, levels: [{ kind: 'rows', by: kind }], cursor: 0 };
  if (input === 'p' || input === ' ') return { ...state, isPaused: !state.isPaused };
  if (input === '/') return { ...state, isTyping: true };
  if (input === 'w') {
    const next = WINDOWS_MS[(WINDOWS_MS.indexOf(state.windowMs) + 1) % WINDOWS_MS.length] ?? state.windowMs;
    return { ...state, windowMs: next };
  }
  if (input === 's') return sortBy(state, 1);
  if (input === 'S') return sortBy(state, -1);
  if (input === 'r') return { ...state, isAscending: !state.isAscending };
  if (name === 'escape') return back(state);
  if (name === 'enter') return chosen === undefined ? state : { ...state, levels: [...state.levels, chosen], cursor: 0, filter: '' };
  const to = moved(state.cursor, key, count, page);
  return to === state.cursor ? state : { ...state, cursor: to };
}

function moved(cursor: number, { input, name }: Key, count: number, page: number): number {
  const last = Math.max(0, count - 1);
  const at = Math.min(cursor, last);
  if (name === 'down' || input === 'j') return Math.min(last, at + 1);
  if (name === 'up' || input === 'k') return Math.max(0, at - 1);
  if (name === 'pageDown') return Math.min(last, at + page);
  if (name === 'pageUp') return Math.max(0, at - page);
  if (name === 'home' || input === 'g') return 0;
  if (name === 'end' || input === 'G') return last;
  return at;
}

function type(state: TopState, { input, name }: Key): TopState {
  if (name === 'escape') return { ...state, isTyping: false, filter: '', cursor: 0 };
  if (name === 'enter') return { ...state, isTyping: false };
  if (name === 'backspace') return { ...state, filter: state.filter.slice(0, -1), cursor: 0 };
  const letters = [...input].filter((letter) => letter >= ' ' && letter !== '\u007f').join('');
  return letters === '' ? state : { ...state, filter: state.filter + letters, cursor: 0 };
}

function sortBy(state: TopState, step: 1 | -1): TopState {
  const at = state.sort === undefined ? (step > 0 ? -1 : SORT_NAMES.length) : SORT_NAMES.indexOf(state.sort);
  const sort = SORT_NAMES[at + step];
  return { ...state, sort, isAscending: sort === undefined || ASCENDING.has(sort) };
}

/** One level up; at the top a filter goes first. */
function back(state: TopState): TopState {
  const [first, ...rest] = state.levels;
  if (rest.length === 0) return state.filter === '' ? state : { ...state, filter: '', cursor: 0 };
  return { ...state, levels: [first, ...rest.slice(0, -1)], cursor: 0, filter: '' };
}

/** What lies behind a row: a service's callers, an edge's requests. */
export function behind(row: StatRow | undefined): Level | undefined {
  if (row === undefined) return undefined;
  if (row.peer !== undefined) return { kind: 'requests', service: row.service, peer: row.peer === '-' ? 'outside' : row.peer };
  if (row.route !== undefined || row.instance !== undefined) return { kind: 'requests', service: row.service };
  return { kind: 'rows', by: 'edge', service: row.service };
}

const BARS = '▁▂▃▄▅▆▇█';

/** The last values as bars, oldest first; a blank where there was no reading. */
export function sparkline(values: readonly (number | undefined)[], width: number): string {
  const shown = values.slice(-width);
  const top = Math.max(...shown.map((value) => value ?? 0));
  const bars = shown.map((value) =>
    value === undefined ? ' ' : top === 0 ? BARS[0] : BARS[Math.min(BARS.length - 1, Math.floor((value / top) * (BARS.length - 1) + 0.5))],
  );
  return bars.join('').padStart(width);
}
