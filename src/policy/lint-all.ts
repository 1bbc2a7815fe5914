// Files of any kind → what is wrong with them: native documents as one policy, resources of other meshes by their own schema and together.
import { type Finding, inOrder, type Reported } from '../base/finding.ts';
import type { MeshSpec } from '../mesh/spec.ts';
import { withFingerprints } from './baseline.ts';
import type { PolicyText } from './document.ts';
import { lintForeign, type Settings } from './foreign.ts';
import { RULE_PAGES } from './form-pages.ts';
import { lintPolicy } from './lint.ts';
import { suppress } from './suppressions.ts';

export { printBaseline, readBaseline } from './baseline.ts';
export { isVersion } from './foreign/version.ts';

export interface LintReport {
  /** In reading order. */
  readonly findings: readonly Reported[];
  /** What comments in the files hide, each with its reason. */
  readonly suppressed: readonly (Reported & { readonly reason: string })[];
  /** Policies of other meshes that were judged. */
  readonly judged: number;
  /** Resources of other kinds, by kind. */
  readonly skipped: Readonly<Record<string, number>>;
}

export interface LintOptions extends Partial<Settings> {
  /** Only these; all of them when undefined. */
  readonly rules?: readonly string[] | undefined;
  readonly nowMs?: number;
}

export function lintAll(files: readonly PolicyText[], mesh: MeshSpec | undefined, options: LintOptions = {}): LintReport {
  const { rules, nowMs = Date.now(), ...settings } = options;
  const isAsked = (rule: string): boolean => rules === undefined || rules.includes(rule);
  const native = lintPolicy(files, mesh, { skipForeign: true, rules });
  const foreign = lintForeign(files, settings);
  const all = [...native.findings, ...foreign.findings].filter(({ rule }) => isAsked(rule));
  const known = (rule: string): boolean => RULE_PAGES.some(({ id }) => id === rule);
  const { findings, suppressed } = suppress(files, all, known, isAsked, nowMs);
  const reported = (each: readonly Finding[]): Reported[] => withFingerprints(files, inOrder(each));
  return {
    findings: reported(findings.filter(({ rule }) => isAsked(rule))),
    suppressed: suppressed.flatMap(({ finding, reason }) => reported([finding]).map((each) => ({ ...each, reason }))),
    judged: foreign.judged,
    skipped: foreign.skipped,
  };
}
