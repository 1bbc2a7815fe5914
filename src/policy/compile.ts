// Policy document × mesh file → CompiledPolicy: names resolved, groups unfolded, tiers as ranks.
// Anything that cannot be resolved compiles to "refuse everything", never to a rule with one matcher less.
import { type Finding, reaches } from '../base/finding.ts';
import type { CompiledPolicy, Operation, PolicyService, Rule, Who } from '../mesh/authorization.ts';
import type { MeshSpec } from '../mesh/spec.ts';
import type { PolicyDocument } from './document.ts';
import { collectNames, type Names } from './names.ts';
import type { RuleNode } from './reader/rule-node.ts';
import type { OpText, WhoText } from './reader/rule-text.ts';

/** The policy of a mesh that has none: default deny, no floors. */
export function emptyPolicy(trustDomain: string): CompiledPolicy {
  return { revision: 0, trustDomain, default: 'deny', tiers: [], services: [], allow: [], deny: [] };
}

/** A policy that refuses everything and says why. */
export function refuseAll(trustDomain: string, revision: number, why: string): CompiledPolicy {
  return { ...emptyPolicy(trustDomain), revision, unreadable: why };
}

/** Without a mesh file the policy stands for itself: its own trust domain, and the services that it names. */
export function meshOfPolicy(document: PolicyDocument): MeshSpec {
  return {
    name: 'policy',
    trustDomain: document.trustDomain ?? 'mesh.local',
    namespace: 'default',
    ingress: undefined,
    services: {},
    policy: [],
    certificateTtlMs: 0,
    retentionMs: 0,
    tracing: { ratio: 1, acceptExternal: true },
  };
}

export function compilePolicy(document: PolicyDocument, findings: readonly Finding[], mesh: MeshSpec, revision: number): CompiledPolicy {
  const trustDomain = mesh.trustDomain;
  if (reaches(findings, 'error'))
    return refuseAll(trustDomain, revision, findings.find((finding) => finding.severity === 'error')?.what ?? 'unreadable');
  if (document.trustDomain !== undefined && document.trustDomain !== trustDomain) {
    return refuseAll(trustDomain, revision, `the policy is for trust domain ${document.trustDomain}`);
  }
  const names = collectNames(document, mesh);
  const unresolved: string[] = [];
  const rules = (nodes: readonly RuleNode[]): Rule[] =>
    nodes.map((node) => ({
      id: node.id,
      place: node.place,
      from: resolve(node.from, names, unresolved),
      to: resolve(node.to, names, unresolved),
      operations: node.operations.map(toOperation),
      ...(node.untilMs === undefined ? {} : { untilMs: node.untilMs }),
      ...(node.audit ? { audit: true as const } : {}),
    }));
  const allow = rules(document.allow);
  const deny = rules(document.deny);
  const services: PolicyService[] = [...names.services.values()].map((service) => {
    const rank = service.tier === undefined ? 0 : names.tiers.get(service.tier);
    if (rank === undefined && document.tiers.length > 0) unresolved.push(`tier ${service.tier}`);
    return { name: service.name, namespace: service.namespace, service: service.service, rank: rank ?? 0, bridge: service.bridge };
  });
  const tiers = document.tiers.map((tier, rank) => {
    const accepts = tier.acceptsFrom === undefined ? rank : names.tiers.get(tier.acceptsFrom);
    if (accepts === undefined) unresolved.push(`tier ${tier.acceptsFrom}`);
    return { name: tier.name, accepts: accepts ?? rank };
  });
  if (unresolved.length > 0) return refuseAll(trustDomain, revision, `\`${unresolved[0]}\` is not known`);
  return { revision, trustDomain, default: document.default ?? 'deny', tiers, services, allow, deny };
}

/** What a revision does with what it would deny: refuse it, or let pass what no rule allows (`default`), or all of it but missing identity. */
export type Audit = 'none' | 'default' | 'all';

/** A policy that is tried out. One that cannot be read refuses all the same. */
export function audited(policy: CompiledPolicy, audit: Audit): CompiledPolicy {
  if (audit === 'none' || policy.unreadable !== undefined) return policy;
  return { ...policy, default: 'audit', ...(audit === 'all' ? { auditsAll: true as const } : {}) };
}

/** What an operation's text means to the evaluator. */
export function toOperation(op: OpText): Operation {
  if (op.kind !== 'grpc') return op;
  const { service, method, port } = op;
  return { kind: 'http', methods: ['POST'], path: `/${service}/${method ?? '*'}`, grpc: true, ...(port === undefined ? {} : { port }) };
}

/** Whom a text speaks of, groups unfolded; what is not known is added to `unresolved`. */
export function resolve(who: WhoText, names: Names, unresolved: string[]): Who[] {
  switch (who.kind) {
    case 'any':
    case 'mesh':
      return [{ kind: who.kind }];
    case 'id':
      return [{ kind: 'id', id: who.id }];
    case 'td':
      return [{ kind: 'trustDomain', trustDomain: who.trustDomain }];
    case 'ns':
      return [{ kind: 'namespace', namespace: who.name }];
    case 'sa':
      return [{ kind: 'workload', namespace: who.namespace, service: who.name }];
    case 'tier': {
      const rank = names.tiers.get(who.name);
      if (rank === undefined) unresolved.push(`tier ${who.name}`);
      return rank === undefined ? [] : [{ kind: 'tier', compare: who.compare, rank }];
    }
    case 'name': {
      const service = names.services.get(who.name);
      if (service !== undefined) return [toWho(service.namespace, service.service)];
      const group = names.groups.get(who.name);
      if (group !== undefined)
        return group.members.flatMap((member) =>
          member.who.kind === 'name' && names.groups.has(member.who.name)
            ? nested(member.who.name, unresolved)
            : resolve(member.who, names, unresolved),
        );
      unresolved.push(who.name);
      return [];
    }
  }
}

// Groups hold services and identities, not groups: that keeps them free of cycles.
function nested(name: string, unresolved: string[]): Who[] {
  unresolved.push(`group ${name} inside a group`);
  return [];
}

function toWho(namespace: string, service: string): Who {
  if (service !== '*') return { kind: 'workload', namespace, service };
  return namespace === '*' ? { kind: 'mesh' } : { kind: 'namespace', namespace };
}
