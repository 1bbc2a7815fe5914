// Annotations of GitHub Actions: one workflow command a finding, shown beside the line in a pull request.
import type { Finding } from '../../base/finding.ts';
import { printable } from '../../base/printable.ts';

const LEVEL = { error: 'error', warning: 'warning', info: 'notice' } as const;

export function renderGithub(findings: readonly Finding[]): string {
  return findings
    .map(({ rule, severity, what, fix, place }) => {
      const where = place === undefined ? '' : `file=${property(place.file)},line=${place.line},col=${place.column},`;
      return `::${LEVEL[severity]} ${where}title=${property(rule)}::${data(`${what}${fix === undefined ? '' : `\nfix: ${fix}`}`)}\n`;
    })
    .join('');
}

/** What a workflow command would take for its end, escaped; other controls made visible. */
function data(text: string): string {
  return text.split('\n').map(printable).join('\n').replaceAll('%', '%25').replaceAll('\n', '%0A');
}

function property(text: string): string {
  return data(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}
