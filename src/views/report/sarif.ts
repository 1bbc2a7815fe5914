// SARIF 2.1.0 (OASIS): findings for code scanning, with the page of each rule.
import type { Reported, Severity } from '../../base/finding.ts';
import { printable } from '../../base/printable.ts';

export interface SarifRule {
  readonly id: string;
  readonly severity: Severity;
  readonly summary: string;
  /** Markdown. */
  readonly help: string;
}

export interface SarifInput {
  readonly version: string;
  /** Every rule that may be named. */
  readonly rules: readonly SarifRule[];
  readonly findings: readonly Reported[];
  readonly suppressed: readonly (Reported & { readonly reason: string })[];
}

const SCHEMA = 'https://json.schemastore.org/sarif-2.1.0.json';
const LEVEL = { error: 'error', warning: 'warning', info: 'note' } as const;

/** The text of the file. Rules without a finding are left out. */
export function renderSarif({ version, rules, findings, suppressed }: SarifInput): string {
  const all = [...findings, ...suppressed];
  const used = rules.filter(({ id }) => all.some(({ rule }) => rule === id));
  const results = all.map((finding) => {
    const { rule, severity, what, why, fix, place, excerpt, fingerprint } = finding;
    const snippet = excerpt === undefined ? {} : { snippet: { text: excerpt } };
    return {
      ruleId: rule,
      ruleIndex: used.findIndex(({ id }) => id === rule),
      level: LEVEL[severity],
      message: {
        text: printable([what, why, fix === undefined ? undefined : `Fix: ${fix}`].filter((each) => each !== undefined).join('. ')),
      },
      locations:
        place === undefined
          ? []
          : [
              {
                physicalLocation: {
                  artifactLocation: { uri: uriOf(place.file) },
                  region: { startLine: place.line, startColumn: place.column, ...snippet },
                },
              },
            ],
      partialFingerprints: { 'meshctlFinding/v1': fingerprint },
      ...('reason' in finding ? { suppressions: [{ kind: 'inSource', justification: finding.reason }] } : {}),
    };
  });
  const log = {
    $schema: SCHEMA,
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: 'meshctl',
            semanticVersion: version,
            rules: used.map(({ id, severity, summary, help }) => ({
              id,
              shortDescription: { text: `${summary.split(/(?<=\.) /)[0]}` },
              fullDescription: { text: summary },
              help: { text: summary, markdown: help },
              defaultConfiguration: { level: LEVEL[severity] },
            })),
          },
        },
        columnKind: 'utf16CodeUnits',
        results,
      },
    ],
  };
  return `${JSON.stringify(log, null, 2)}\n`;
}

/** A relative reference (RFC 3986), with `/` between the parts. */
function uriOf(file: string): string {
  const path = file.replaceAll('\\', '/').replace(/^\.\//, '');
  return path.split('/').map(encodeURIComponent).join('/');
}
