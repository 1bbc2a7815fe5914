// What Kuma decides: MeshTrafficPermissions × a request. Everything is denied that no rule allows; `deny` comes before `allow`.
// Source: kumahq/kuma pkg/plugins/policies/meshtrafficpermission (3.x: `rules`, matched by SPIFFE id and SNI).
import type { Finding } from '../../base/finding.ts';
import { parseSpiffeId } from '../../mesh/identity.ts';
import type { ForeignDecision, ForeignRequest } from './request.ts';
import { hasLabels, isMap, mapList, printResource, type Resource, specOf, texts } from './resources.ts';

const LISTS = ['allow', 'deny', 'allowWithShadowDeny'] as const;
const SYSTEM_NAMESPACE = 'kuma-system';

type Map = Readonly<Record<string, unknown>>;

export function isKuma(resource: Resource): boolean {
  return resource.kind === 'MeshTrafficPermission' && resource.apiVersion.startsWith('kuma.io/');
}

export function decideKuma(resources: readonly Resource[], request: ForeignRequest): ForeignDecision {
  const decided = (decision: ForeignDecision['decision'], by: string): ForeignDecision => ({ decision, by, dryRun: {} });
  const inForce = resources.filter((each) => isKuma(each) && selects(each, request));
  const matching = (list: (typeof LISTS)[number]): Resource | undefined =>
    inForce.find((each) => entriesOf(each, list).some((entry) => fits(entry, request)));
  if (request.source.identity === undefined) return decided('deny', 'without mutual TLS there is no identity to allow');
  const denying = matching('deny');
  if (denying !== undefined) return decided('deny', printResource(denying));
  const allowing = matching('allow') ?? matching('allowWithShadowDeny');
  if (allowing === undefined) return decided('deny', 'no MeshTrafficPermission allows it');
  const shadow = matching('allowWithShadowDeny');
  return { ...decided('allow', printResource(allowing)), dryRun: shadow === undefined ? {} : { deny: 'deny' } };
}

function entriesOf(resource: Resource, list: (typeof LISTS)[number]): Map[] {
  return (mapList(specOf(resource)['rules']) ?? []).flatMap((rule) =>
    isMap(rule['default']) ? (mapList(rule['default'][list]) ?? []) : [],
  );
}

/** A policy of an application's namespace is about its own dataplanes only. */
function selects(resource: Resource, { destination }: ForeignRequest): boolean {
  if (resource.namespace !== undefined && resource.namespace !== SYSTEM_NAMESPACE && resource.namespace !== destination.namespace)
    return false;
  const target = specOf(resource)['targetRef'];
  if (!isMap(target) || target['kind'] === 'Mesh' || target['kind'] === undefined) return true;
  if (target['kind'] !== 'Dataplane') return false;
  const section = target['sectionName'];
  const isPort = section === undefined || section === destination.portName || section === String(destination.port);
  const isNamed = target['name'] === undefined || target['name'] === destination.workload;
  const isThere = target['namespace'] === undefined || target['namespace'] === destination.namespace;
  return isPort && isNamed && isThere && hasLabels(destination.labels, texts(target['labels']));
}

/** Everything that an entry names must fit. */
function fits(entry: Map, { source, sni }: ForeignRequest): boolean {
  const { spiffeID, sni: wanted } = entry;
  if (spiffeID === undefined && wanted === undefined) return false;
  return (spiffeID === undefined || matches(spiffeID, source.identity)) && (wanted === undefined || matches(wanted, sni));
}

function matches(matcher: unknown, value: string | undefined): boolean {
  if (!isMap(matcher) || value === undefined) return false;
  const text = String(matcher['value']);
  return matcher['type'] === 'Prefix' ? value.startsWith(text) : value === text;
}

/** Findings of one resource; an error means that Kuma would not take it. Undefined for other kinds. */
export function validateKuma(resource: Resource): Finding[] | undefined {
  if (!isKuma(resource)) return undefined;
  const findings: Finding[] = [];
  const fail = (path: readonly (string | number)[], what: string, fix?: string): void => {
    findings.push({
      rule: 'kuma-schema',
      severity: 'error',
      what,
      ...(fix === undefined ? {} : { fix }),
      place: resource.place(['spec', ...path]),
    });
  };
  const { targetRef, rules, from } = specOf(resource);
  if (from !== undefined) fail(['from'], '`from` is of an earlier Kuma', 'write `rules`');
  const kind = isMap(targetRef) ? targetRef['kind'] : undefined;
  if (kind !== undefined && kind !== 'Mesh' && kind !== 'Dataplane')
    fail(['targetRef', 'kind'], `\`${String(kind)}\` is no target of a MeshTrafficPermission`, '`Mesh` and `Dataplane` are');
  if (isMap(targetRef) && kind === 'Mesh')
    for (const key of ['labels', 'sectionName', 'name'])
      if (targetRef[key] !== undefined) fail(['targetRef', key], `\`${key}\` does not go with \`kind: Mesh\``);
  if (!Array.isArray(rules) || rules.length === 0) {
    if (from === undefined) fail(['rules'], '`rules` must have at least one rule');
    return findings;
  }
  rules.forEach((rule: unknown, i) => {
    const body = isMap(rule) && isMap(rule['default']) ? rule['default'] : {};
    const given = LISTS.filter((list) => Array.isArray(body[list]) && (body[list] as unknown[]).length > 0);
    if (given.length === 0) fail(['rules', i], 'at least one of `allow`, `deny`, `allowWithShadowDeny` must be there');
    for (const list of LISTS)
      (mapList(body[list]) ?? []).forEach((entry, k) => {
        const path = ['rules', i, 'default', list, k];
        if (entry['spiffeID'] === undefined && entry['sni'] === undefined) fail(path, 'an entry names `spiffeID` or `sni`');
        for (const key of ['spiffeID', 'sni'] as const) {
          const matcher = entry[key];
          if (matcher === undefined) continue;
          const type = isMap(matcher) ? matcher['type'] : undefined;
          const value = isMap(matcher) ? matcher['value'] : undefined;
          if (type !== 'Exact' && type !== 'Prefix') fail([...path, key, 'type'], '`Exact` or `Prefix` is wanted');
          if (typeof value !== 'string' || value === '') fail([...path, key, 'value'], 'a value is wanted');
          else if (key === 'spiffeID' && !value.startsWith('spiffe://'))
            fail([...path, key, 'value'], `\`${value}\` must begin with \`spiffe://\``);
          else if (key === 'spiffeID' && type === 'Exact' && parseSpiffeId(value) === undefined)
            fail([...path, key, 'value'], `\`${value}\` is no SPIFFE id`);
        }
      });
  });
  return findings;
}
