// The live screen of `top`, drawn by ink on the alternate screen: one row a service, read once an interval.
// Written with createElement, so that the source runs without a compiler (docs/decisions/0003).
import { Box, render, Text, useApp, useInput } from 'ink';
import { createElement as h, type ReactElement, useEffect, useState } from 'react';
import { messageOf } from '../../base/fault.ts';
import { printable } from '../../base/printable.ts';
import type { Stat } from '../../signals/golden.ts';
import { completenessLine, GOLDEN_COLUMNS, goldenCells } from '../golden.ts';
import type { Meaning } from '../theme.ts';

export interface TopOptions {
  readonly title: string;
  readonly intervalMs: number;
  readonly read: () => Promise<Stat>;
  readonly interrupted: Promise<unknown>;
}

const ENTER_ALTERNATE = '\u001b[?1049h\u001b[H';
const LEAVE_ALTERNATE = '\u001b[?1049l';
/** Lines of the screen that are not rows. */
const FRAME_LINES = 6;
const GAP = 2;

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

function Top({ title, intervalMs, read }: TopOptions): ReactElement {
  const { exit } = useApp();
  const size = useSize();
  const [stat, setStat] = useState<Stat | undefined>(undefined);
  const [problem, setProblem] = useState<string | undefined>(undefined);
  const [offset, setOffset] = useState(0);
  const [paused, setPaused] = useState(false);
  useEffect(() => {
    if (paused) return undefined;
    let timer: NodeJS.Timeout | undefined;
    let over = false;
    const tick = async (): Promise<void> => {
      try {
        const next = await read();
        if (!over) {
          setStat(next);
          setProblem(undefined);
        }
      } catch (error) {
        if (!over) setProblem(messageOf(error));
      }
      if (!over) timer = setTimeout(() => void tick(), intervalMs);
    };
    void tick();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [paused, read, intervalMs]);
  const rows = stat?.rows ?? [];
  const visible = Math.max(1, size.rows - FRAME_LINES);
  const last = Math.max(0, rows.length - visible);
  useInput((input, key) => {
    if (input === 'q') exit();
    if (input === 'p' || input === ' ') setPaused(!paused);
    if (key.downArrow || input === 'j') setOffset(Math.min(last, offset + 1));
    if (key.upArrow || input === 'k') setOffset(Math.max(0, offset - 1));
  });
  const shown = rows.slice(Math.min(offset, last), Math.min(offset, last) + visible);
  const lines = [GOLDEN_COLUMNS.map((column) => ({ text: column.name, meaning: 'strong' as Meaning })), ...shown.map(goldenCells)];
  const widths = GOLDEN_COLUMNS.map((_, i) => Math.max(...lines.map((line) => (line[i]?.text ?? '').length)));
  return h(
    Box,
    { flexDirection: 'column', height: size.rows - 1 },
    h(Text, { wrap: 'truncate' }, h(Text, { bold: true }, 'meshctl top'), `  ${printable(title)}${paused ? '  PAUSED' : ''}`),
    h(Text, null, ' '),
    ...lines.map((line, i) => h(Row, { key: `${i}`, cells: line, widths })),
    h(Box, { flexGrow: 1 }),
    problem === undefined ? null : h(Text, { color: 'red', wrap: 'truncate' }, `× ${printable(problem)}`),
    h(Text, { dimColor: true, wrap: 'truncate' }, stat === undefined ? 'waiting for the first reading' : completenessLine(stat)),
    h(
      Text,
      { dimColor: true, wrap: 'truncate' },
      `q quit   p pause   ↑↓ scroll${last > 0 ? `   ${offset + 1}-${offset + shown.length} of ${rows.length}` : ''}`,
    ),
  );
}

interface RowProps {
  readonly cells: readonly { readonly text: string; readonly meaning: Meaning }[];
  readonly widths: readonly number[];
}

const COLOR: Partial<Record<Meaning, string>> = { good: 'green', warn: 'yellow', bad: 'red' };

function Row({ cells, widths }: RowProps): ReactElement {
  return h(
    Text,
    { wrap: 'truncate' },
    ...cells.map((cell, i) => {
      const width = widths[i] ?? 0;
      const text = GOLDEN_COLUMNS[i]?.align === 'right' ? cell.text.padStart(width) : cell.text.padEnd(width);
      const color = COLOR[cell.meaning];
      return h(
        Text,
        {
          key: GOLDEN_COLUMNS[i]?.name ?? i,
          bold: cell.meaning === 'strong',
          dimColor: cell.meaning === 'dim',
          ...(color === undefined ? {} : { color }),
        },
        printable(text) + ' '.repeat(GAP),
      );
    }),
  );
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
