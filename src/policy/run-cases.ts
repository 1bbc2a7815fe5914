// The tests of a policy, run: each case as the verdicts that it expects against those that the evaluator gives.
import type { CompiledPolicy, Rule } from '../mesh/authorization.ts';
import { resolve } from './compile.ts';
import { type Attempt, type Decision, evaluate } from './evaluate.ts';
import type { IdentityClass } from './identities.ts';
import type { Names } from './names.ts';
import { type NormalPath, normalizePath } from './path.ts';
import { type Port, Reachability } from './reachability.ts';
import type { CaseNode } from './reader/case-node.ts';
import { printWho, type WhoText } from './reader/rule-text.ts';

export interface CaseResult {
  readonly case: CaseNode;
  readonly passed: boolean;
  /** What was otherwise, one sentence each. */
  readonly failures: readonly string[];
}

export interface CasesRun {
  readonly results: readonly CaseResult[];
  /** Allow rules by whose word no case was allowed. */
  readonly untouched: readonly Rule[];
}

export function runCases(
  policy: CompiledPolicy,
  names: Names,
  cases: readonly CaseNode[],
  portOf: (callee: IdentityClass, named: string | undefined) => Port | undefined,
  keepsEncodedSlash: (callee: IdentityClass) => boolean,
  atMs: number,
): CasesRun {
  const touched = new Set<string>();
  const results = cases.map((node): CaseResult => {
    const failures: string[] = [];
    const unresolved: string[] = [];
    const whos = (who: WhoText) => resolve(who, names, unresolved);
    const asked = [node.to, ...node.allow, ...node.deny, ...(node.from === undefined ? [] : [node.from])].flatMap(whos);
    if (unresolved.length > 0) return { case: node, passed: false, failures: [`\`${unresolved[0]}\` is not known`] };
    const reach = new Reachability(policy, atMs, asked);
    const callees = reach.among(whos(node.to)).filter((each) => reach.isCallee(each));
    const expect = (caller: IdentityClass, callee: IdentityClass, path: string | undefined, verdict: Decision['verdict']): void => {
      const normal = path === undefined ? undefined : normalizePath(path, keepsEncodedSlash(callee));
      const attempt = toAttempt(node, caller, callee, portOf(callee, node.port), normal, atMs);
      if (typeof attempt === 'string') {
        if (verdict !== 'denied') failures.push(`${caller.label} -> ${callee.label} ${path}: refused before any rule: ${attempt}`);
        return;
      }
      const decision = evaluate(policy, attempt);
      if (decision.stage === 'allow' && decision.verdict === 'allowed') touched.add(`${decision.place} ${decision.rule}`);
      const where = `${caller.label} -> ${callee.label}${path === undefined ? '' : ` ${path}`}`;
      const by = `${decision.rule}${decision.place === undefined ? '' : ` (${decision.place})`}`;
      if (decision.verdict !== verdict) failures.push(`${where}: expected ${verdict}, is ${decision.verdict}: ${by}`);
      else if (node.by !== undefined && decision.rule !== node.by && decision.stage !== node.by)
        failures.push(`${where}: ${verdict} as expected, but by ${decision.stage}: ${by}, not by \`${node.by}\``);
    };
    // `deny: [any]` beside `allow: [checkout]` means everybody else.
    const allowed = new Set(node.allow.flatMap((who) => members(reach, whos(who), who)));
    const each = (callers: readonly WhoText[], paths: readonly (string | undefined)[], verdict: Decision['verdict']): void => {
      for (const who of callers) {
        const all = members(reach, whos(who), who);
        if (all.length === 0) failures.push(`\`${printWho(who)}\` is nobody`);
        const found = verdict === 'denied' && isWide(who) ? all.filter((caller) => !allowed.has(caller)) : all;
        for (const caller of found) for (const callee of callees) for (const path of paths) expect(caller, callee, path, verdict);
      }
    };
    if (callees.length === 0) failures.push(`\`${printWho(node.to)}\` is nobody`);
    each(node.allow, [node.http?.path], 'allowed');
    each(node.deny, [node.http?.path], 'denied');
    const from = node.from === undefined ? [] : [node.from];
    if (node.expect !== undefined)
      each(from, [node.http?.path], node.expect === 'allow' ? 'allowed' : node.expect === 'deny' ? 'denied' : 'unknown');
    each(from, node.paths.allow, 'allowed');
    each(from, node.paths.deny, 'denied');
    return { case: node, passed: failures.length === 0, failures };
  });
  return { results, untouched: policy.allow.filter((rule) => !touched.has(`${rule.place.file}:${rule.place.line} ${rule.id}`)) };
}

/** `any` is everybody, callers without identity too. */
function members(reach: Reachability, whos: Parameters<Reachability['among']>[0], who: WhoText): readonly IdentityClass[] {
  return who.kind === 'any' ? reach.classes : reach.among(whos);
}

function isWide({ kind }: WhoText): boolean {
  return kind === 'any' || kind === 'mesh' || kind === 'ns' || kind === 'tier' || kind === 'td';
}

/** Or why a proxy refuses such a path before it looks at any rule. */
function toAttempt(
  { http }: CaseNode,
  { id: caller }: IdentityClass,
  callee: IdentityClass,
  port: Port | undefined,
  normal: NormalPath | undefined,
  atMs: number,
): Attempt | string {
  const id = callee.id as NonNullable<IdentityClass['id']>;
  if (http === undefined) return { caller, callee: id, port, http: undefined, atMs };
  if (normal !== undefined && 'refused' in normal) return normal.refused;
  const headers = new Map(Object.entries(http.headers).map(([name, value]) => [name.toLowerCase(), value]));
  return {
    caller,
    callee: id,
    port,
    http: {
      method: http.method,
      path: normal?.path,
      grpc: http.grpc,
      header: (name) => {
        const value = headers.get(name);
        return value === undefined ? [] : [value];
      },
    },
    atMs,
  };
}
