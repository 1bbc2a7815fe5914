// Rows of text as a table without borders: names in upper case first, cells cut to nothing, escaped for the terminal.
import CliTable from 'cli-table3';
import { printable } from '../base/printable.ts';
import { type Meaning, paint } from './theme.ts';

export interface Column {
  readonly name: string;
  readonly align?: 'left' | 'right';
}

export type Cell = string | { readonly text: string; readonly meaning: Meaning };

const NO_BORDERS = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

export function renderTable(columns: readonly Column[], rows: readonly (readonly Cell[])[]): string {
  const table = new CliTable({
    head: columns.map((column) => paint('strong', column.name)),
    colAligns: columns.map((column) => column.align ?? 'left'),
    chars: NO_BORDERS,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  for (const row of rows)
    table.push(row.map((cell) => (typeof cell === 'string' ? printable(cell) : paint(cell.meaning, printable(cell.text)))));
  return `${table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')}\n`;
}
