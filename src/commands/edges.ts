// `meshctl edges [SERVICE]`: who really talks to whom, and what both ends proved.
import type { EdgeRow } from '../control/signals.ts';
import { completenessLine, printMs } from '../views/golden.ts';
import { type Cell, renderTable } from '../views/table.ts';
import { paint, SYMBOL } from '../views/theme.ts';
import type { Run } from './context.ts';
import { document } from './document.ts';
import { outputOption, withMesh } from './input.ts';
import { readQuery } from './stat.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'wide', 'json']);
  const query = readQuery(context, input);
  const edges = await withMesh(context, input, (mesh) => mesh.request('edges', { ...query, by: 'edge' }));
  if (format === 'json') {
    context.print(document('Edges', edges));
    return 0;
  }
  const isWide = format === 'wide';
  const names = [
    'FROM',
    'TO',
    'IDENTITY',
    'TLS',
    'GEN',
    'RPS',
    'SUCCESS',
    'DENIED/S',
    'P50',
    'P99',
    ...(isWide ? ['CIPHER', 'SERIALS'] : []),
    'RULE',
  ];
  const right = new Set(['RPS', 'SUCCESS', 'DENIED/S', 'P50', 'P99', 'GEN']);
  context.print(
    renderTable(
      names.map((name) => ({ name, ...(right.has(name) ? { align: 'right' as const } : {}) })),
      edges.rows.map((row) => cells(row, isWide)),
    ),
  );
  context.print(`${paint('dim', completenessLine(edges))}\n`);
  return 0;
};

function cells(row: EdgeRow, isWide: boolean): Cell[] {
  const { callerId, links, callerGenerations, calleeGenerations, rules } = row;
  const isProved = callerId !== null;
  const tls = [...new Set(links.map((link) => link.tls))].join(',');
  const generations = [callerGenerations, calleeGenerations].map((each) => each.join(',') || '-').join('/');
  return [
    row.peer === '-' ? '(outside)' : row.peer,
    row.service,
    // Symbols beside the colour: nothing is said by colour alone.
    isProved ? { text: `${SYMBOL.good} verified`, meaning: 'good' } : { text: `${SYMBOL.warn} none`, meaning: 'warn' },
    isProved ? (tls === '' ? { text: 'closed', meaning: 'dim' } : tls) : { text: `${SYMBOL.warn} plain`, meaning: 'warn' },
    isProved ? generations : '-',
    `${row.requestsPerSecond.toFixed(1)}${row.protocol === 'tcp' ? 'c' : ''}`,
    row.successPercent === null ? '-' : { text: `${row.successPercent.toFixed(1)}%`, meaning: row.successPercent < 99 ? 'bad' : 'plain' },
    row.deniedPerSecond === 0 ? '0' : { text: `${SYMBOL.bad} ${row.deniedPerSecond.toFixed(1)}`, meaning: 'bad' },
    printMs(row.p50Ms),
    printMs(row.p99Ms),
    ...(isWide ? [[...new Set(links.map((link) => link.cipher))].join(',') || '-', serials(row)] : []),
    rules.length === 0
      ? row.service === 'ingress'
        ? 'open to all'
        : '-'
      : `${rules[0]}${rules.length > 1 ? ` (+${rules.length - 1})` : ''}`,
  ];
}

function serials({ links }: EdgeRow): string {
  return links.map(({ serial, ownSerial }) => `${serial.slice(0, 8)}…>${ownSerial.slice(0, 8)}…`).join(' ') || '-';
}
