// Findings as a table for a comment on a pull request.
import type { Finding } from '../../base/finding.ts';
import { printPlace } from '../../base/place.ts';
import { printable } from '../../base/printable.ts';

const SIGN = { error: '❌', warning: '⚠️', info: 'ℹ️' } as const;

/** A cell as code: nothing in it is taken for markdown or HTML. */
export function codeCell(text: string): string {
  return `\`${printable(text).replaceAll('|', '\\|').replaceAll('`', "'")}\``;
}

/** Text with `code` in it: the code stays as it is, all else is text and nothing but. */
function cell(text: string): string {
  return printable(text)
    .replaceAll('|', '\\|')
    .split('`')
    .map((part, i) =>
      i % 2 === 1
        ? `\`${part}\``
        : part
            .replaceAll('&', '&amp;')
            .replaceAll('<', '&lt;')
            .replace(/[*_[\]]/g, (each) => `\\${each}`),
    )
    .join('');
}

export function renderMarkdown(findings: readonly Finding[], summary: string, title: string): string {
  const rows = findings.map(
    ({ rule, severity, what, fix, place }) =>
      `| ${SIGN[severity]} ${severity} | ${place === undefined ? '' : codeCell(printPlace(place))} | ${codeCell(rule)} | ${cell(what)}${fix === undefined ? '' : ` (${cell(fix)})`} |`,
  );
  const table = rows.length === 0 ? '' : `| | where | rule | what |\n| --- | --- | --- | --- |\n${rows.join('\n')}\n\n`;
  return `### ${title}\n\n${table}${summary}\n`;
}
