// What a change of policy changes: requests that are allowed now and were not (widened), and the other way round (narrowed), each with one
// concrete request as a witness. Over every identity there can be under either policy; judged by the evaluator.
//
// Only what can differ is gone through: rules that the other policy does not have as they are, and all rules between two identities whose
// tier floor or whose denies differ.
import type { CompiledPolicy, Operation, Rule, Who } from '../mesh/authorization.ts';
import type { Decision } from './evaluate.ts';
import type { IdentityClass } from './identities.ts';
import { OTHER_PORT, type Port, portTexts, Reachability, type Request } from './reachability.ts';
import { requestsOf } from './requests.ts';

export interface Change {
  readonly from: IdentityClass;
  readonly to: IdentityClass;
  /** One request that is judged differently. */
  readonly request: Request;
  readonly before: Decision;
  readonly after: Decision;
}

export interface PolicyDiff {
  readonly widened: readonly Change[];
  readonly narrowed: readonly Change[];
  /** False when some rules cover too many different paths to go through: there only examples were tried. */
  readonly isExact: boolean;
  /** Every identity that either policy tells apart. */
  readonly classes: readonly IdentityClass[];
}

export function diffPolicies(before: CompiledPolicy, after: CompiledPolicy, ports: readonly Port[], atMs: number): PolicyDiff {
  const old = new Reachability(before, atMs, whosOf(after), [...ports, ...portsOf(after)]);
  const now = new Reachability(after, atMs, whosOf(before), [...ports, ...portsOf(before)]);
  const classes = unite(old.classes, now.classes);
  const state = { isExact: true };
  const widened = allowedOnlyBy(now, old, classes, state).map(
    ({ own, other, ...rest }): Change => ({ ...rest, before: other, after: own }),
  );
  const narrowed = allowedOnlyBy(old, now, classes, state).map(
    ({ own, other, ...rest }): Change => ({ ...rest, before: own, after: other }),
  );
  return { widened, narrowed, isExact: state.isExact, classes };
}

function whosOf({ allow, deny, services }: CompiledPolicy): Who[] {
  const named = services.flatMap(({ namespace, service }): Who[] =>
    service === '*' ? (namespace === '*' ? [] : [{ kind: 'namespace', namespace }]) : [{ kind: 'workload', namespace, service }],
  );
  return [...named, ...[...allow, ...deny].flatMap(({ from, to }) => [...from, ...to])];
}

function portsOf(policy: CompiledPolicy): Port[] {
  return portTexts(policy).map((port) => (/^\d+$/.test(port) ? { ...OTHER_PORT, number: Number(port) } : { ...OTHER_PORT, name: port }));
}

/** The classes of both, each once; one that has a name in either keeps it. */
function unite(a: readonly IdentityClass[], b: readonly IdentityClass[]): IdentityClass[] {
  const classes = new Map<string, IdentityClass>();
  for (const each of [...a, ...b]) {
    const key = each.id === undefined ? '' : `${each.id.trustDomain}${each.id.path}`;
    const known = classes.get(key);
    if (known === undefined || (known.service === undefined && each.service !== undefined)) classes.set(key, each);
  }
  return [...classes.values()];
}

interface Found {
  readonly from: IdentityClass;
  readonly to: IdentityClass;
  readonly request: Request;
  readonly own: Decision;
  readonly other: Decision;
}

/** Requests that one policy allows and the other does not: at most one for each rule and pair. */
function allowedOnlyBy(own: Reachability, other: Reachability, classes: readonly IdentityClass[], state: { isExact: boolean }): Found[] {
  const shared = new Set(other.policy.allow.map(meaning));
  const unshared = new Set(own.policy.allow.filter((rule) => !shared.has(meaning(rule))));
  const sameDenies = list(own.policy.deny) === list(other.policy.deny);
  const sameDefault = own.policy.default === other.policy.default;
  const found: Found[] = [];
  for (const to of classes) {
    const { id } = to;
    if (!own.isCallee(to) || id === undefined) continue;
    for (const from of classes) {
      if (own.floor(from, to) !== undefined) continue;
      const sameGround = sameDenies && sameDefault && own.floor(from, to) === other.floor(from, to);
      const rules = own.rulesBetween(from, to);
      const suspects = sameGround ? rules.filter((rule) => unshared.has(rule)) : rules;
      const operations: Operation[] = suspects.flatMap((rule) => rule.operations);
      // What needs no rule: an ingress that is open, and a policy that only audits.
      if ((!sameGround && own.policy.default === 'audit') || from.id === undefined) operations.push({ kind: 'any' });
      if (operations.length === 0) continue;
      const known = [...own.operationsBetween(from, to), ...other.operationsBetween(from, to)];
      const seen = new Set<string>();
      for (const operation of operations) {
        const requests = requestsOf(operation, own.ports, known);
        if (requests === undefined) state.isExact = false;
        const witness = (requests ?? requestsOf(operation, own.ports, []) ?? []).find(
          (request) => own.judge(from, id, request).verdict === 'allowed' && other.judge(from, id, request).verdict !== 'allowed',
        );
        if (witness === undefined || seen.has(JSON.stringify(witness))) continue;
        seen.add(JSON.stringify(witness));
        found.push({ from, to, request: witness, own: own.judge(from, id, witness), other: other.judge(from, id, witness) });
      }
    }
  }
  return found;
}

/** Two rules of equal text mean the same, wherever they stand. */
function meaning({ from, to, operations, untilMs }: Rule): string {
  return JSON.stringify([from, to, operations, untilMs]);
}

function list(rules: readonly Rule[]): string {
  return rules.map(meaning).sort().join('\n');
}
