// Why: the stages that an attempt went through, and for one that is not allowed the rule that comes nearest, with the first field in
// which it differs, and the smallest grant that would allow it.
import type { CompiledPolicy, Operation, Rule } from '../mesh/authorization.ts';
import { type Attempt, type Decision, evaluate, isInForce, type Mismatch, mismatch, printCaller } from './evaluate.ts';
import { indexOf, matchesWho } from './rule-index.ts';

export interface Step {
  readonly stage: 'identity' | 'tier' | 'deny' | 'allow' | 'default';
  readonly outcome: 'passed' | 'decided' | 'not reached';
  readonly what: string;
  readonly place: string | undefined;
}

export interface Nearest {
  readonly rule: string;
  readonly place: string;
  /** The first field that differs. */
  readonly field: 'caller' | 'until' | Exclude<Mismatch, undefined | `?${string}`>;
  readonly wanted: string;
  readonly given: string;
}

export interface Explanation {
  readonly decision: Decision;
  readonly steps: readonly Step[];
  /** Of the allow rules about this callee; undefined when there is none, or when nothing was denied for want of one. */
  readonly nearest: Nearest | undefined;
}

export function explain(policy: CompiledPolicy, attempt: Attempt): Explanation {
  const decision = evaluate(policy, attempt);
  const index = indexOf(policy);
  const order = ['identity', 'tier', 'deny', 'allow', 'default'] as const;
  const decided = order.indexOf(decision.stage === 'unreadable' ? 'identity' : decision.stage);
  const { caller, callee } = attempt;
  const passed: Record<Step['stage'], string> = {
    identity: caller === undefined ? 'no identity, which the ingress takes' : `verified: ${printCaller(caller)}`,
    tier: tierText(policy, attempt),
    deny: `none of ${index.rulesTo('deny', callee).length} deny rules about the callee covers it`,
    allow: `none of ${index.rulesTo('allow', callee).length} allow rules about the callee covers it`,
    default: `default: ${policy.default}`,
  };
  const steps = order.map((stage, i): Step => {
    if (i > decided) return { stage, outcome: 'not reached', what: '', place: undefined };
    if (i < decided) return { stage, outcome: 'passed', what: passed[stage], place: undefined };
    return { stage, outcome: 'decided', what: decision.rule, place: decision.place };
  });
  const wanting = decision.verdict !== 'allowed' && (decision.stage === 'default' || decision.stage === 'allow');
  return { decision, steps, nearest: wanting ? findNearest(policy, attempt) : undefined };
}

function tierText(policy: CompiledPolicy, attempt: Attempt): string {
  if (policy.tiers.length === 0) return 'the policy has no tiers';
  const index = indexOf(policy);
  const name = (id: Attempt['caller']): string => policy.tiers[index.rankOf(id)]?.name ?? 'below every tier';
  const bridge = [attempt.caller, attempt.callee].find((id) => id !== undefined && index.serviceOf(id)?.bridge === true);
  if (bridge !== undefined) return `\`${bridge.service}\` is a bridge: no floor`;
  return index.pair(attempt.callee, attempt.caller).floor ?? `${name(attempt.caller)} may call ${name(attempt.callee)}`;
}

/** How far a rule got before it differed: the further, the nearer. */
const DEPTH: readonly Nearest['field'][] = ['caller', 'port', 'protocol', 'path', 'method', 'content-type', 'header', 'until'];

function findNearest(policy: CompiledPolicy, attempt: Attempt): Nearest | undefined {
  let best: Nearest | undefined;
  const index = indexOf(policy);
  for (const rule of index.rulesTo('allow', attempt.callee)) {
    const field = firstDifference(policy, rule, attempt);
    if (field === undefined || (best !== undefined && DEPTH.indexOf(field.field) <= DEPTH.indexOf(best.field))) continue;
    best = field;
  }
  return best;
}

function firstDifference(policy: CompiledPolicy, rule: Rule, attempt: Attempt): Nearest | undefined {
  const place = `${rule.place.file}:${rule.place.line}`;
  const nearest = (field: Nearest['field'], wanted: string, given: string): Nearest => ({ rule: rule.id, place, field, wanted, given });
  if (!rule.from.some((who) => matchesWho(indexOf(policy), who, attempt.caller)))
    return nearest('caller', rule.id.split(' -> ')[0] ?? rule.id, printCaller(attempt.caller));
  let best: Nearest | undefined;
  for (const operation of rule.operations) {
    const field = mismatch(operation, attempt);
    if (field === undefined && !isInForce(rule, attempt.atMs))
      return nearest('until', new Date(rule.untilMs ?? 0).toISOString(), new Date(attempt.atMs).toISOString());
    if (field === undefined || field.startsWith('?')) continue;
    const known = field as Exclude<Nearest['field'], 'caller' | 'until'>;
    if (best !== undefined && DEPTH.indexOf(known) <= DEPTH.indexOf(best.field)) continue;
    best = nearest(known, ...difference(known, operation, attempt));
  }
  return best;
}

function difference(field: Exclude<Nearest['field'], 'caller' | 'until'>, operation: Operation, { port, http }: Attempt): [string, string] {
  const wanted = operation.kind === 'http' ? operation : undefined;
  switch (field) {
    case 'port':
      return [`:${operation.port}`, port === undefined ? 'not known' : `:${port.name} (${port.number})`];
    case 'protocol':
      return [operation.kind, http === undefined ? 'tcp' : 'http'];
    case 'method':
      return [wanted?.methods?.join('|') ?? '*', http?.method ?? ''];
    case 'path':
      return [`${wanted?.path}${wanted?.isPrefix ? '…' : ''}`, http?.path ?? ''];
    case 'content-type':
      return ['application/grpc', 'another'];
    case 'header': {
      const missed = wanted?.headers?.find(({ name, value }) => JSON.stringify(http?.header(name)) !== JSON.stringify([value]));
      return [`${missed?.name}: ${missed?.value}`, http?.header(missed?.name ?? '')?.join(' | ') || 'absent'];
    }
  }
}
