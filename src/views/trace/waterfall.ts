// A trace as a waterfall: one line a hop, indented by depth, with a bar on the common time axis; the verdict and its rule below.
import { printDuration } from '../../base/duration.ts';
import { printable } from '../../base/printable.ts';
import type { Hop, Trace } from '../../traces/assemble.ts';
import { paint, SYMBOL } from '../theme.ts';

const MIN_BAR = 10;
const MAX_BAR = 60;

/** Lines that fit `columns`, as far as names allow. */
export function renderWaterfall(trace: Trace, columns: number): string {
  const names = trace.hops.map((hop) => `${'  '.repeat(hop.depth)}${hop.from} → ${hop.instance ?? hop.to}`);
  const calls = trace.hops.map((hop) => `${hop.method ?? 'TCP'} ${shorten(hop.path ?? '', 28)}`.trim());
  const nameWidth = widest(names);
  const callWidth = widest(calls);
  const barWidth = Math.max(MIN_BAR, Math.min(MAX_BAR, columns - nameWidth - callWidth - 22));
  const lines = [
    `${paint('strong', 'trace')} ${trace.traceId}  ${paint('strong', 'request')} ${printable(trace.requestId || '-')}`,
    `${trace.startTime}  ${printDuration(trace.durationMs)}, ${trace.hops.length} hops, ${trace.spans.length} spans${trace.complete ? '' : `; ${SYMBOL.warn} incomplete: ${trace.missing.length} parent spans are missing`}`,
    '',
  ];
  trace.hops.forEach((hop, i) => {
    const name = (names[i] ?? '').padEnd(nameWidth);
    const call = (calls[i] ?? '').padEnd(callWidth);
    lines.push(
      `${printable(name)}  ${printable(call)}  ${bar(hop, trace.durationMs, barWidth)} ${printDuration(hop.durationMs).padStart(6)}  ${outcome(hop)}`.trimEnd(),
    );
    lines.push(paint('dim', `${' '.repeat(2 * hop.depth)}    ${printable(verdictLine(hop))}`));
  });
  return `${lines.join('\n')}\n`;
}

function verdictLine(hop: Hop): string {
  const caller = hop.callerId ?? (hop.from === 'outside' ? 'no identity (from outside)' : 'caller not seen');
  const by = hop.rule === null ? '' : ` by ${hop.rule}${hop.rulePlace === null ? '' : ` (${hop.rulePlace})`}`;
  const tries = hop.attempts > 1 ? `; ${hop.attempts} attempts` : '';
  return `${caller}: ${hop.verdict ?? 'no verdict'}${by}${tries}`;
}

function outcome(hop: Hop): string {
  const text = hop.refusal ?? '';
  if (hop.verdict === 'denied') return paint('bad', `${SYMBOL.bad} ${hop.status ?? ''} denied`.replace('  ', ' '));
  if (hop.status === null) return paint(text === '' ? 'dim' : 'bad', text === '' ? '-' : `${SYMBOL.bad} ${text}`);
  if (hop.status >= 500) return paint('bad', `${SYMBOL.bad} ${hop.status} ${text}`.trimEnd());
  if (hop.status >= 400) return paint('warn', `${SYMBOL.warn} ${hop.status} ${text}`.trimEnd());
  return paint('good', `${SYMBOL.good} ${hop.status}`);
}

function bar(hop: Hop, totalMs: number, width: number): string {
  const scale = totalMs > 0 ? width / totalMs : 0;
  const start = Math.min(width - 1, Math.floor(hop.startMs * scale));
  const length = Math.max(1, Math.min(width - start, Math.round(hop.durationMs * scale)));
  return `${paint('dim', '·'.repeat(start))}${'█'.repeat(length)}${paint('dim', '·'.repeat(width - start - length))}`;
}

function widest(texts: readonly string[]): number {
  return Math.max(0, ...texts.map((text) => text.length));
}

function shorten(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}
