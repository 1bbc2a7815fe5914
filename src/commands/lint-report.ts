// What `certs lint` and `policy lint` have in common: `--fail-on`, and findings in the formats of other tools.
import { Fault } from '../base/fault.ts';
import type { Reported, Severity } from '../base/finding.ts';
import { renderGithub } from '../views/report/github.ts';
import { type JunitCase, renderJunit } from '../views/report/junit.ts';
import { renderMarkdown } from '../views/report/markdown.ts';
import { renderSarif, type SarifInput } from '../views/report/sarif.ts';
import { renderFindings } from '../views/report/table.ts';
import type { Context, Input } from './context.ts';
import { textOption } from './input.ts';
import { VERSION } from './version-number.ts';

export const LINT_FORMATS = ['table', 'json', 'sarif', 'junit', 'github', 'markdown'] as const;

const SEVERITIES = ['error', 'warning', 'info'] as const;

/** Throws USAGE for a word that is no severity. */
export function severityOption(input: Input, name: string, flagName: string, otherwise: Severity): Severity {
  const text = textOption(input, name) ?? otherwise;
  const found = SEVERITIES.find((each) => each === text);
  if (found === undefined) throw new Fault('USAGE', 'usage', `\`--${flagName} ${text}\`: error, warning or info is wanted`);
  return found;
}

export interface LintPrint {
  /** `policy lint`: the suite of JUnit. */
  readonly command: string;
  /** Heading of the Markdown. */
  readonly title: string;
  readonly findings: readonly Reported[];
  readonly suppressed: SarifInput['suppressed'];
  readonly rules: () => SarifInput['rules'];
  readonly cases: () => readonly JunitCase[];
  /** Lines, each with its end. */
  readonly summary: string;
  /** The document. */
  readonly json: () => string;
}

/** Writes a report; beside annotations of GitHub, which are read by a machine, the summary is a note. */
export function printLint(context: Context, format: (typeof LINT_FORMATS)[number], report: LintPrint): void {
  const { command, title, findings, suppressed, rules, cases, summary, json } = report;
  switch (format) {
    case 'json':
      return context.print(json());
    case 'sarif':
      return context.print(renderSarif({ version: VERSION, rules: rules(), findings, suppressed }));
    case 'junit':
      return context.print(renderJunit(command, cases()));
    case 'github':
      context.print(renderGithub(findings));
      return context.note(summary);
    case 'markdown':
      return context.print(renderMarkdown(findings, summary, title));
    default:
      if (findings.length > 0) context.print(`${renderFindings(findings)}\n`);
      context.print(summary);
  }
}
