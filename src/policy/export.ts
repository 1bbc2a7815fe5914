// A native policy → resources of another mesh, and what they cannot say. What is exported allows no more than the policy does.
import { INGRESS, parseSpiffeId } from '../mesh/identity.ts';
import type { MeshSpec } from '../mesh/spec.ts';
import type { PolicyDocument } from './document.ts';
import { toIstio } from './export/istio.ts';
import { toKubernetes } from './export/kubernetes.ts';
import { toLinkerd } from './export/linkerd.ts';
import type { NamedService, Names, ServiceResolver } from './names.ts';
import type { RuleNode } from './reader/rule-node.ts';
import type { WhoText } from './reader/rule-text.ts';

export type ExportTarget = 'istio' | 'linkerd' | 'kubernetes';

export interface Exported {
  readonly resources: readonly object[];
  readonly left: readonly { readonly rule: string; readonly place: string; readonly what: string }[];
  readonly notes: readonly string[];
}

/** One service as a callee, with everything that decides who may call it. */
export interface Callee {
  readonly service: NamedService;
  /** Numbers by name. */
  readonly ports: ReadonlyMap<string, number>;
  readonly allow: readonly RuleNode[];
  readonly deny: readonly RuleNode[];
  /** Named services that the floor of its tier lets pass; undefined where there is no floor. */
  readonly passing: readonly NamedService[] | undefined;
  /** Whether identities that nobody named pass the floor. */
  readonly passesOthers: boolean;
}

export interface ExportInput {
  readonly callees: readonly Callee[];
  readonly services: readonly NamedService[];
  readonly trustDomain: string;
  /** Label that pods carry their service's name in. */
  readonly label: string;
  readonly meant: (who: WhoText) => readonly NamedService[];
  /** Whether a name stands for identities beyond those that are named. */
  readonly isWide: (who: WhoText) => boolean;
  readonly leave: (rule: RuleNode, what: string) => void;
  readonly note: (what: string) => void;
}

export function exportPolicy(
  target: ExportTarget,
  document: PolicyDocument,
  names: Names,
  resolver: ServiceResolver,
  mesh: MeshSpec,
  label: string,
  nowMs: number,
): Exported {
  const left: { rule: string; place: string; what: string }[] = [];
  const notes = new Set<string>();
  const leave = (rule: RuleNode, what: string): void => {
    const entry = { rule: rule.id, place: `${rule.place.file}:${rule.place.line}`, what };
    if (!left.some((each) => each.place === entry.place && each.what === what)) left.push(entry);
  };
  const note = (what: string): void => void notes.add(what);
  const exact = [...names.services.values()].filter(({ namespace, service }) => !namespace.includes('*') && !service.includes('*'));
  for (const { name } of names.services.values())
    if (!exact.some((each) => each.name === name)) note(`\`${name}\` stands for many identities; only named services are exported`);
  const isInForce = (rule: RuleNode, denies: boolean): boolean => {
    if (rule.untilMs !== undefined && rule.untilMs <= nowMs) return false;
    if (rule.untilMs !== undefined && !denies) leave(rule, 'an end (`until`) has no counterpart: the rule is left out');
    if (rule.audit) leave(rule, '`audit` has no counterpart: the rule is left out');
    return !rule.audit && (rule.untilMs === undefined || denies);
  };
  const allow = document.allow.filter((rule) => isInForce(rule, false));
  const deny = document.deny.filter((rule) => isInForce(rule, true));
  if (document.default === 'audit') note('`default: audit` has no counterpart: what no rule allows is denied');
  note('invariants and tests stay in the native policy');
  const hasTiers = document.tiers.length > 0;
  const callees = exact
    .filter(({ name }) => name !== INGRESS)
    .map((service): Callee => {
      const rank = resolver.rankOf(service);
      const accepts = document.tiers[rank]?.acceptsFrom;
      const floor = accepts === undefined ? rank : (names.tiers.get(accepts) ?? rank);
      const concerns = (rule: RuleNode): boolean => resolver.meant(rule.to).includes(service);
      const declared = mesh.services[service.name]?.ports ?? [];
      return {
        service,
        ports: new Map([
          ...declared.filter(({ port }) => port !== 0).map(({ name, port }) => [name, port] as const),
          ...Object.entries(document.services.find(({ name }) => name === service.name)?.ports ?? {}),
        ]),
        allow: allow.filter(concerns),
        deny: deny.filter(concerns),
        passing: hasTiers && !service.bridge ? exact.filter((each) => each.bridge || resolver.rankOf(each) >= floor) : undefined,
        passesOthers: !hasTiers || service.bridge || floor === 0,
      };
    });
  if (names.services.has(INGRESS)) note('rules towards the ingress are its own: a gateway of the other mesh has a policy of its own');
  const input: ExportInput = {
    callees,
    services: exact,
    trustDomain: mesh.trustDomain,
    label,
    meant: (who) => resolver.meant(who),
    isWide: (who) => isWide(who, names),
    leave,
    note,
  };
  const resources = target === 'istio' ? toIstio(input) : target === 'linkerd' ? toLinkerd(input) : toKubernetes(input);
  return { resources, left, notes: [...notes] };
}

/** `mesh`, a namespace, and tiers that hold who has none: identities that nobody named belong to them too. */
function isWide(who: WhoText, names: Names): boolean {
  switch (who.kind) {
    case 'mesh':
    case 'any':
    case 'ns':
    case 'td':
      return true;
    case 'tier': {
      const rank = names.tiers.get(who.name) ?? 0;
      return who.compare === '<' ? rank > 0 : rank === 0;
    }
    case 'name':
      return names.groups.get(who.name)?.members.some((member) => isWide(member.who, names)) === true;
    case 'id':
      return parseSpiffeId(who.id) === undefined;
    default:
      return false;
  }
}
