// Policy files × mesh file → findings. Problems of form come from document.ts; each rule of meaning has a file of its own in rules/.
import { type Finding, inOrder } from '../base/finding.ts';
import type { CompiledPolicy } from '../mesh/authorization.ts';
import type { MeshSpec } from '../mesh/spec.ts';
import { compilePolicy, meshOfPolicy } from './compile.ts';
import { type PolicyDocument, type PolicyText, parsePolicy } from './document.ts';
import { collectNames, ServiceResolver } from './names.ts';
import type { LintInput } from './rule.ts';
import { LINT_RULES } from './rules.ts';

/** What asks for a proof over every identity. */
const PROVED = ['invariant-violated', 'unbrokered-path'];

/**
 * Every finding of the files, in reading order, and the document for whoever goes on with it. `verify: false` leaves out what is proved over every identity,
 * for whoever does that himself; `skipForeign` passes over resources that are no native policy, which are errors otherwise; `rules`: only these.
 */
export function lintPolicy(
  files: readonly PolicyText[],
  mesh: MeshSpec | undefined,
  options: { readonly verify?: boolean; readonly skipForeign?: boolean; readonly rules?: readonly string[] | undefined } = {},
): { document: PolicyDocument; findings: Finding[] } {
  const { document, findings } = parsePolicy(files, options.skipForeign);
  const names = collectNames(document, mesh);
  const resolver = new ServiceResolver(names, mesh?.trustDomain ?? document.trustDomain);
  let policy: CompiledPolicy | undefined;
  const compiled = (): CompiledPolicy | undefined => {
    policy ??= compilePolicy(document, [], mesh ?? meshOfPolicy(document), 0);
    return policy.unreadable === undefined ? policy : undefined;
  };
  const input: LintInput = { document, names, resolver, mesh, nowMs: Date.now(), compiled };
  const judged = LINT_RULES.filter(({ id }) => (options.verify !== false || !PROVED.includes(id)) && options.rules?.includes(id) !== false);
  const all = [...findings, ...judged.flatMap((rule) => rule.native?.(input) ?? [])];
  return { document, findings: inOrder(all) };
}
