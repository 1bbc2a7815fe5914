// Who may really call a service, where the other mesh knows neither floors nor denials: callers one by one, or all of a kind.
import type { Callee, ExportInput } from '../export.ts';
import type { NamedService } from '../names.ts';
import type { RuleNode } from '../reader/rule-node.ts';
import type { OpText, WhoText } from '../reader/rule-text.ts';

export type Callers =
  | { readonly kind: 'services'; readonly services: readonly NamedService[] }
  | { readonly kind: 'mesh' }
  | { readonly kind: 'namespace'; readonly namespace: string };

/** Whom a rule lets call on a port, after floors and denials; undefined where that cannot be said. */
export function callersOf(
  rule: RuleNode,
  operation: OpText,
  { passing, passesOthers, deny, ports }: Callee,
  input: ExportInput,
): Callers | undefined {
  // A number and the name of it are one port; a name that nobody knows may be any.
  const numberOf = (port: string): string | undefined => (/^\d+$/.test(port) ? port : ports.get(port)?.toString());
  const isSame = (one: string, other: string): boolean => {
    const [a, b] = [numberOf(one), numberOf(other)];
    return one === other || a === undefined || b === undefined || a === b;
  };
  const denies = deny.filter((each) =>
    each.operations.some(({ port }) => port === undefined || operation.port === undefined || isSame(port, operation.port)),
  );
  const isDenied = (service: NamedService): boolean => denies.some((each) => input.meant(each.from).includes(service));
  const named = input.meant(rule.from).filter((each) => (passing === undefined || passing.includes(each)) && !isDenied(each));
  if (denies.some((each) => each.operations.some((denied) => denied.port !== undefined && operation.port === undefined)))
    input.note('a `deny` of one port takes its callers out of rules for every port');
  if (rule.from.kind === 'id' || rule.from.kind === 'td') {
    input.leave(rule, 'identities of other trust domains are not exported');
    return undefined;
  }
  const wide = wideOf(rule.from);
  if (
    input.isWide(rule.from) &&
    passesOthers &&
    wide !== undefined &&
    denies.length === 0 &&
    named.length === input.meant(rule.from).length
  )
    return wide;
  if (input.isWide(rule.from) && passesOthers)
    input.leave(rule, 'only the named services of this caller are exported: the rest cannot be told from those that may not');
  return { kind: 'services', services: named };
}

function wideOf(who: WhoText): Callers | undefined {
  if (who.kind === 'mesh') return { kind: 'mesh' };
  return who.kind === 'ns' ? { kind: 'namespace', namespace: who.name } : undefined;
}
