// Kuma's MeshTrafficPermissions as native rules.
import type { WhoText } from '../../reader/rule-text.ts';
import { isKuma } from '../kuma.ts';
import type { ForeignMesh } from '../model.ts';
import { hasLabels, isMap, mapList, type Resource, specOf, texts } from '../resources.ts';
import type { Draft } from './native.ts';

type Map = Readonly<Record<string, unknown>>;

export function carryKuma(mesh: ForeignMesh, draft: Draft): void {
  for (const policy of mesh.resources.filter(isKuma)) {
    const ends = endsOf(mesh, policy, draft);
    if (ends === undefined) continue;
    (mapList(specOf(policy)['rules']) ?? []).forEach((rule, i) => {
      const body: Map = isMap(rule['default']) ? rule['default'] : {};
      for (const list of ['allow', 'deny', 'allowWithShadowDeny'])
        (mapList(body[list]) ?? []).forEach((entry, k) => {
          const at = ['spec', 'rules', i, 'default', list, k];
          const from = entry['sni'] === undefined ? callerOf(entry['spiffeID'], draft) : undefined;
          if (from === undefined) {
            draft.leave(
              policy,
              at,
              entry['sni'] === undefined ? 'the id has no counterpart' : 'the SNI of a connection is not judged by native rules',
            );
            return;
          }
          if (list === 'allowWithShadowDeny')
            draft.notes.add('`allowWithShadowDeny` is carried over as allowed; `audit: true` on the rule would report it');
          const port = ends.port === undefined ? {} : { port: ends.port };
          draft.add(list === 'deny' ? 'deny' : 'allow', [from], ends.to, [{ kind: 'any', ...port }], policy);
        });
    });
  }
}

function endsOf(mesh: ForeignMesh, policy: Resource, draft: Draft): { to: WhoText[]; port: string | undefined } | undefined {
  const { targetRef } = specOf(policy);
  const namespace = policy.namespace === 'kuma-system' ? undefined : policy.namespace;
  if (!isMap(targetRef) || targetRef['kind'] !== 'Dataplane')
    return { to: [namespace === undefined ? { kind: 'mesh' } : { kind: 'ns', name: namespace }], port: undefined };
  const port = targetRef['sectionName'] === undefined ? undefined : String(targetRef['sectionName']);
  const labels = texts(targetRef['labels']);
  if (Object.keys(labels).length === 0 && targetRef['name'] === undefined)
    return { to: [namespace === undefined ? { kind: 'mesh' } : { kind: 'ns', name: namespace }], port };
  const pods = mesh.workloads.filter(
    (pod) =>
      hasLabels(pod.labels, labels) &&
      (namespace === undefined || pod.namespace === namespace) &&
      (targetRef['name'] === undefined || targetRef['name'] === pod.name),
  );
  const to = draft.calleesOf(pods, policy, ['spec', 'targetRef']);
  return to === undefined ? undefined : { to, port };
}

function callerOf(matcher: unknown, draft: Draft): WhoText | undefined {
  if (!isMap(matcher)) return undefined;
  const value = String(matcher['value']);
  if (matcher['type'] === 'Exact') return draft.callerById(value);
  const namespace = /^spiffe:\/\/([^/]+)\/ns\/([a-z0-9-]+)\/(?:sa\/)?$/.exec(value);
  if (namespace !== null) return draft.isOwnDomain(namespace[1] ?? '') ? { kind: 'ns', name: namespace[2] ?? '' } : undefined;
  const domain = /^spiffe:\/\/([^/]+)\/$/.exec(value)?.[1];
  if (domain === undefined) return undefined;
  return draft.isOwnDomain(domain) ? { kind: 'mesh' } : { kind: 'td', trustDomain: domain };
}
