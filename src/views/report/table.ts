// Findings for people: place first, so that terminals and editors jump there; then what, why, what to do.
import type { Finding } from '../../base/finding.ts';
import { printPlace } from '../../base/place.ts';
import { printable } from '../../base/printable.ts';
import { paint, SYMBOL } from '../theme.ts';

const MEANING = { error: 'bad', warning: 'warn', info: 'dim' } as const;
const SIGN = { error: SYMBOL.bad, warning: SYMBOL.warn, info: 'i' } as const;

/** `excerpt`: the line of the place, shown with a mark below the column. */
export function renderFindings(findings: readonly (Finding & { readonly excerpt?: string })[]): string {
  return findings
    .map((finding) => {
      const head = `${finding.place === undefined ? '' : `${printable(printPlace(finding.place))}  `}${paint(MEANING[finding.severity], `${SIGN[finding.severity]} ${finding.severity}`)}  ${paint('strong', finding.rule)}`;
      const lines = [head, ...excerptOf(finding), `  ${printable(finding.what)}`];
      if (finding.why !== undefined) lines.push(paint('dim', `  ${printable(finding.why)}`));
      if (finding.fix !== undefined) lines.push(`  ${paint('dim', 'fix:')} ${printable(finding.fix)}`);
      return `${lines.join('\n')}\n`;
    })
    .join('\n');
}

export function summarize(findings: readonly Finding[]): string {
  const count = (severity: Finding['severity']): number => findings.filter((finding) => finding.severity === severity).length;
  const part = (n: number, word: string): string => `${n} ${word}${n === 1 ? '' : 's'}`;
  return [part(count('error'), 'error'), part(count('warning'), 'warning'), ...(count('info') > 0 ? [`${count('info')} info`] : [])].join(
    ', ',
  );
}

const MAX_EXCERPT = 110;

/** The line, cut to what fits around the column, and the mark below it. */
function excerptOf({ excerpt, place }: Finding & { readonly excerpt?: string }): string[] {
  if (excerpt === undefined || place === undefined || excerpt.trim() === '') return [];
  const start = Math.max(0, place.column - 1 - MAX_EXCERPT / 2);
  const line = printable(excerpt.slice(start, start + MAX_EXCERPT).replaceAll('\t', ' '));
  const number = `${place.line} | `;
  const mark = ' '.repeat(number.length + place.column - 1 - start);
  return [paint('dim', `  ${number}${line}`), `  ${mark}${paint('strong', '^')}`];
}
