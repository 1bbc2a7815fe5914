// The live screen of `top`, drawn by ink on the alternate screen: rows of golden signals, and what lies behind them.
// What the keys do is in state.ts. Only what is seen is drawn.
// Written with createElement, so that the source runs without a compiler (docs/decisions/0003).
import { Box, type Key as InkKey, render, Text, useApp, useInput } from 'ink';
import { createElement as h, type ReactElement, useEffect, useReducer, useRef, useState } from 'react';
import { messageOf } from '../../base/fault.ts';
import { printable } from '../../base/printable.ts';
import type { TapEvent } from '../../mesh/tap.ts';
import { nameOf } from '../../signals/conditions.ts';
import type { Stat, StatKind, StatRow } from '../../signals/golden.ts';
import { completenessLine, GOLDEN_COLUMNS, goldenCells } from '../golden.ts';
import { tapCells } from '../tap.ts';
import type { Meaning } from '../theme.ts';
import { behind, HELP, initialState, type Key, type Level, levelOf, press, rowsOf, sparkline, type TopState } from './state.ts';

export interface TopSource {
  readonly read: (query: { by: StatKind; windowMs: number; service?: string; peer?: string }) => Promise<Stat>;
  /** Live requests, newest last, until `stop`. */
  readonly tap: (
    filter: { service: string; from?: string },
    onEvents: (events: readonly TapEvent[]) => void,
  ) => { readonly stop: () => void };
  /** A trace as lines. */
  readonly trace: (id: string, columns: number) => Promise<string>;
}

export interface TopOptions {
  readonly title: string;
  readonly by: StatKind;
  readonly service?: string;
  readonly windowMs: number;
  readonly intervalMs: number;
  readonly source: TopSource;
  readonly interrupted: Promise<unknown>;
}

const ENTER_ALTERNATE = '\u001b[?1049h\u001b[H';
const LEAVE_ALTERNATE = '\u001b[?1049l';
/** Lines of the screen that are not rows. */
const FRAME_LINES = 6;
const GAP = 2;
const SPARK = 16;
/** Live requests that are kept to scroll through. */
const MAX_EVENTS = 500;
/** A row that is gone keeps its sparkline for so many readings. */
const MAX_TRENDS = 2000;

/** Shows the screen until q, Ctrl-C or an interrupt. The terminal is as it was afterwards. */
export async function showTop(options: TopOptions): Promise<void> {
  process.stdout.write(ENTER_ALTERNATE);
  try {
    const screen = render(h(Top, options), { exitOnCtrlC: true, patchConsole: false });
    void options.interrupted.then(() => screen.unmount());
    await screen.waitUntilExit();
  } finally {
    process.stdout.write(LEAVE_ALTERNATE);
  }
}

interface Press {
  readonly key: Key;
  readonly count: number;
  readonly page: number;
  readonly level: Level;
  readonly behind: (cursor: number) => Level | undefined;
}

/** Of several keys at once each goes by what those before it did: the row under the cursor is the one of now. */
function reduce(state: TopState, { key, count, page, level, behind: of }: Press): TopState {
  const cursor = Math.min(state.cursor, Math.max(0, count - 1));
  return press(state, key, count, page, levelOf(state) === level ? of(cursor) : undefined);
}

function Top({ title, by, service, windowMs, intervalMs, source }: TopOptions): ReactElement {
  const { exit } = useApp();
  const size = useSize();
  const [state, dispatch] = useReducer(reduce, undefined, () => initialState(by, windowMs, service));
  const level = levelOf(state);
  const { stat, problem, trends } = useReadings(level, state, source, intervalMs);
  const events = useTap(level, state.isPaused, source);
  const lines = useTrace(level, source, size.columns);
  const page = Math.max(1, size.rows - FRAME_LINES);
  const rows = rowsOf(state, stat);
  const wanted = state.filter.toLowerCase();
  const requests = events.filter(
    (event) =>
      wanted === '' || `${event.from ?? ''} ${event.method ?? ''} ${event.path ?? ''} ${event.status ?? ''}`.toLowerCase().includes(wanted),
  );
  const count = level.kind === 'rows' ? rows.length : level.kind === 'requests' ? requests.length : lines.length;
  const cursor = Math.min(state.cursor, Math.max(0, count - 1));
  const levelBehind = (at: number): Level | undefined =>
    level.kind === 'rows' ? behind(rows[at]) : level.kind === 'requests' ? traceOf(requests[at]) : undefined;
  useInput((input, key) => {
    for (const each of keysOf(input, key)) dispatch({ key: each, count, page, level, behind: levelBehind });
  });
  useEffect(() => {
    if (state.isOver) exit();
  }, [state.isOver, exit]);
  const start = Math.max(0, Math.min(cursor - Math.floor(page / 2), count - page));
  const shown = { start, end: Math.min(count, start + page), cursor };
  return h(
    Box,
    { flexDirection: 'column', height: size.rows - 1 },
    h(Text, { wrap: 'truncate' }, h(Text, { bold: true }, 'meshctl top'), `  ${printable(title)}`),
    h(Text, { wrap: 'truncate' }, statusLine(state)),
    state.hasHelp
      ? h(Help)
      : level.kind === 'rows'
        ? h(Rows, { rows: rows.slice(shown.start, shown.end), selected: cursor - shown.start, trends, state })
        : level.kind === 'requests'
          ? h(Requests, { events: requests.slice(shown.start, shown.end), selected: cursor - shown.start })
          : h(Lines, { lines: lines.slice(shown.start, shown.end) }),
    h(Box, { flexGrow: 1 }),
    problem === undefined ? null : h(Text, { color: 'red', wrap: 'truncate' }, `× ${printable(problem)}`),
    h(Text, { dimColor: true, wrap: 'truncate' }, footer(level, stat)),
    h(
      Text,
      { dimColor: true, wrap: 'truncate' },
      `? keys   q quit   Enter closer   Esc back   / filter   s sort${count > page ? `   ${shown.start + 1}-${shown.end} of ${count}` : ''}`,
    ),
  );
}

function traceOf(event: TapEvent | undefined): Level | undefined {
  const id = event?.requestId ?? event?.traceId;
  return id === null || id === undefined ? undefined : { kind: 'trace', id };
}

function crumbs({ levels }: TopState): string {
  return levels
    .map((level) => {
      if (level.kind === 'trace') return `trace ${level.id.slice(0, 8)}`;
      if (level.kind === 'requests') return `requests ${level.peer === undefined ? '' : `${level.peer} -> `}${level.service}`;
      return level.service === undefined ? `by ${level.by}` : `callers of ${level.service}`;
    })
    .join(' › ');
}

/** Where one is and what is set: a line of its own, so that a long title does not hide it. */
function statusLine(state: TopState): string {
  const { filter, isTyping, sort, isAscending, windowMs, isPaused } = state;
  const parts = [...(isPaused ? ['PAUSED'] : []), printable(crumbs(state)), `window ${windowMs / 1000}s`];
  if (sort !== undefined) parts.push(`sorted by ${sort} ${isAscending ? '↑' : '↓'}`);
  if (filter !== '' || isTyping) parts.push(`filter: ${printable(filter)}${isTyping ? '█' : ''}`);
  return parts.join('   ');
}

function footer(level: Level, stat: Stat | undefined): string {
  if (level.kind === 'requests') return 'live requests as they end, at most 50 a second and proxy; Enter opens the trace';
  if (level.kind === 'trace') return 'one request over all services';
  return stat === undefined ? 'waiting for the first reading' : completenessLine(stat);
}

interface Readings {
  readonly stat: Stat | undefined;
  readonly problem: string | undefined;
  readonly trends: ReadonlyMap<string, readonly (number | undefined)[]>;
}

/** One reading an interval while rows are looked at; requests per second of each row are kept for its sparkline. */
function useReadings(level: Level, { isPaused, windowMs }: TopState, source: TopSource, intervalMs: number): Readings {
  const [stat, setStat] = useState<Stat | undefined>(undefined);
  const [problem, setProblem] = useState<string | undefined>(undefined);
  const trends = useRef(new Map<string, (number | undefined)[]>());
  useEffect(() => {
    if (isPaused || level.kind !== 'rows') return undefined;
    let timer: NodeJS.Timeout | undefined;
    let over = false;
    const tick = async (): Promise<void> => {
      try {
        const { by, service, peer } = level;
        const next = await source.read({
          by,
          windowMs,
          ...(service === undefined ? {} : { service }),
          ...(peer === undefined ? {} : { peer }),
        });
        if (!over) {
          remember(trends.current, next);
          setStat(next);
          setProblem(undefined);
        }
      } catch (error) {
        if (!over) setProblem(messageOf(error));
      }
      if (!over) timer = setTimeout(() => void tick(), intervalMs);
    };
    setStat(undefined);
    void tick();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [isPaused, level, windowMs, source, intervalMs]);
  return { stat, problem, trends: trends.current };
}

function remember(trends: Map<string, (number | undefined)[]>, stat: Stat): void {
  const now = new Map(stat.rows.map((row) => [`${stat.by} ${nameOf(row)}`, row.requestsPerSecond + row.deniedPerSecond]));
  for (const [name, values] of trends) {
    if (!name.startsWith(`${stat.by} `) || now.has(name)) continue;
    values.push(undefined);
    if (values.slice(-SPARK).every((value) => value === undefined)) trends.delete(name);
  }
  for (const [name, value] of now) {
    const values = trends.get(name) ?? [];
    values.push(value);
    if (values.length > SPARK) values.shift();
    if (trends.size < MAX_TRENDS) trends.set(name, values);
  }
}

function useTap(level: Level, isPaused: boolean, source: TopSource): readonly TapEvent[] {
  const [held, setHeld] = useState<{ readonly level: Level | undefined; readonly events: readonly TapEvent[] }>({
    level: undefined,
    events: [],
  });
  useEffect(() => {
    if (level.kind !== 'requests' || isPaused) return undefined;
    const { service, peer } = level;
    const { stop } = source.tap({ service, ...(peer === undefined ? {} : { from: peer }) }, (more) =>
      setHeld((before) => ({
        level,
        events: [...more.toReversed(), ...(before.level === level ? before.events : [])].slice(0, MAX_EVENTS),
      })),
    );
    return stop;
  }, [level, isPaused, source]);
  // What was seen elsewhere is not shown here.
  return held.level === level ? held.events : [];
}

function useTrace(level: Level, source: TopSource, columns: number): readonly string[] {
  const [lines, setLines] = useState<readonly string[]>([]);
  const id = level.kind === 'trace' ? level.id : undefined;
  useEffect(() => {
    if (id === undefined) return undefined;
    let over = false;
    setLines(['…']);
    source.trace(id, columns).then(
      (text) => over || setLines(text.split('\n')),
      (error: unknown) => over || setLines([`× ${messageOf(error)}`]),
    );
    return () => {
      over = true;
    };
  }, [id, source, columns]);
  return id === undefined ? [] : lines;
}

function Help(): ReactElement {
  return h(Box, { flexDirection: 'column' }, ...HELP.map(([keys, what]) => h(Text, { key: keys }, `  ${keys.padEnd(24)} ${what}`)));
}

function Lines({ lines }: { readonly lines: readonly string[] }): ReactElement {
  return h(
    Box,
    { flexDirection: 'column' },
    ...lines.map((line, i) => h(Text, { key: `${i}`, wrap: 'truncate' }, line === '' ? ' ' : line)),
  );
}

type Painted = { readonly text: string; readonly meaning: Meaning };

function Rows({
  rows,
  selected,
  trends,
  state,
}: {
  readonly rows: readonly StatRow[];
  readonly selected: number;
  readonly trends: Readings['trends'];
  readonly state: TopState;
}): ReactElement {
  const level = levelOf(state);
  const by = level.kind === 'rows' ? level.by : 'service';
  const head: Painted[] = [
    ...GOLDEN_COLUMNS.map(({ name }) => ({
      text: name === state.sort ? `${name}${state.isAscending ? '↑' : '↓'}` : name,
      meaning: 'strong' as Meaning,
    })),
    { text: 'TREND', meaning: 'strong' },
  ];
  const cells = rows.map((row): Painted[] => [
    ...goldenCells(row),
    { text: sparkline(trends.get(`${by} ${nameOf(row)}`) ?? [], SPARK), meaning: 'dim' },
  ]);
  const aligns = [...GOLDEN_COLUMNS.map(({ align }) => align ?? 'left'), 'left' as const];
  return h(Table, { head, cells, selected, aligns });
}

function Requests({ events, selected }: { readonly events: readonly TapEvent[]; readonly selected: number }): ReactElement {
  const names = ['TIME', 'FROM', 'TO', 'REQUEST', 'STATUS', 'TOOK', 'WHY'];
  const head = names.map((name): Painted => ({ text: name, meaning: 'strong' }));
  const aligns = names.map((name) => (name === 'TOOK' || name === 'STATUS' ? ('right' as const) : ('left' as const)));
  return h(Table, { head, cells: events.map(tapCells), selected, aligns });
}

interface TableProps {
  readonly head: readonly Painted[];
  readonly cells: readonly (readonly Painted[])[];
  readonly selected: number;
  readonly aligns: readonly ('left' | 'right')[];
}

const COLOR: Partial<Record<Meaning, string>> = { good: 'green', warn: 'yellow', bad: 'red' };

function Table({ head, cells, selected, aligns }: TableProps): ReactElement {
  const lines = [head, ...cells];
  const widths = head.map((_, i) => Math.max(...lines.map((line) => (line[i]?.text ?? '').length)));
  return h(
    Box,
    { flexDirection: 'column' },
    ...lines.map((line, i) => {
      const isSelected = i === selected + 1;
      return h(
        Text,
        { key: `${i}`, wrap: 'truncate', inverse: isSelected },
        // A mark beside the colours of the chosen line.
        isSelected ? '> ' : '  ',
        ...line.map((cell, column) => {
          const width = widths[column] ?? 0;
          const text = aligns[column] === 'right' ? cell.text.padStart(width) : cell.text.padEnd(width);
          const color = COLOR[cell.meaning];
          return h(
            Text,
            {
              key: `${column}`,
              bold: cell.meaning === 'strong',
              dimColor: cell.meaning === 'dim',
              ...(color === undefined ? {} : { color }),
            },
            printable(text) + ' '.repeat(GAP),
          );
        }),
      );
    }),
  );
}

/** Keys that were hit fast, or pasted, come as one text. */
function keysOf(input: string, key: InkKey): Key[] {
  if (input.length <= 1 || key.ctrl || key.meta) return [keyOf(input, key)];
  return [...input].map((letter) =>
    letter === '\r' ? { input: '', name: 'enter' } : letter === '\u001b' ? { input: '', name: 'escape' } : { input: letter },
  );
}

function keyOf(input: string, key: InkKey): Key {
  const name = key.upArrow
    ? 'up'
    : key.downArrow
      ? 'down'
      : key.pageUp
        ? 'pageUp'
        : key.pageDown
          ? 'pageDown'
          : key.return
            ? 'enter'
            : key.escape
              ? 'escape'
              : key.backspace || key.delete
                ? 'backspace'
                : undefined;
  return name === undefined ? { input: key.ctrl || key.meta ? '' : input } : { input: '', name };
}

interface Size {
  readonly columns: number;
  readonly rows: number;
}

function terminalSize(): Size {
  return { columns: process.stdout.columns ?? 80, rows: process.stdout.rows ?? 24 };
}

function useSize(): Size {
  const [size, setSize] = useState(terminalSize);
  useEffect(() => {
    const resize = (): void => setSize(terminalSize());
    process.stdout.on('resize', resize);
    return () => {
      process.stdout.off('resize', resize);
    };
  }, []);
  return size;
}
