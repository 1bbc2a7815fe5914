// Istio's AuthorizationPolicies as native rules. What is carried over allows what it allowed; what cannot be is named and allows nothing.
import { METHOD, type OpText, type WhoText } from '../../reader/rule-text.ts';
import { type Authorization, type AuthorizationRule, type Field, type ForeignMesh, peerMode, selectedBy, type Workload } from '../model.ts';
import { isMap, mapList, specOf } from '../resources.ts';
import { carryPath, type Draft } from './native.ts';

export function carryIstio(mesh: ForeignMesh, draft: Draft): void {
  for (const policy of mesh.authorizations) carryPolicy(mesh, policy, draft);
  for (const resource of mesh.istio('RequestAuthentication'))
    if ((mapList(specOf(resource)['jwtRules']) ?? []).length > 0)
      draft.leave(resource, ['spec', 'jwtRules'], 'tokens are not judged by native rules');
  const covered = new Set(
    mesh.authorizations.filter(({ action, isDryRun }) => action === 'ALLOW' && !isDryRun).flatMap((policy) => workloadsOf(mesh, policy)),
  );
  for (const pod of mesh.workloads) {
    const to = draft.calleeOf(pod);
    // Open today, and open tomorrow: whoever closes it does so on purpose.
    if (!covered.has(pod) && to !== undefined && mesh.authorizations.length > 0) {
      draft.add('allow', [{ kind: 'mesh' }], [to], [{ kind: 'any' }], pod.resource);
      draft.notes.add(`no ALLOW policy covers ${pod.namespace}/${pod.name}: it stays open for every identity`);
    }
    if (peerMode(mesh, pod) !== 'STRICT')
      draft.notes.add('callers in plain text were let in where PeerAuthentication is not STRICT; here nobody without an identity is');
  }
}

function workloadsOf(mesh: ForeignMesh, { resource, selector, targets }: Authorization): Workload[] {
  if (targets.length === 0) return selectedBy(mesh, resource.namespace, selector);
  const services = mesh.services.filter(
    ({ name, namespace }) =>
      namespace === resource.namespace && targets.some((target) => target['kind'] === 'Service' && target['name'] === name),
  );
  return services.flatMap((service) =>
    selectedBy(mesh, service.namespace, service.selector).filter(() => Object.keys(service.selector).length > 0),
  );
}

function calleesOf(mesh: ForeignMesh, policy: Authorization, draft: Draft): WhoText[] | undefined {
  const { resource, selector, targets } = policy;
  if (targets.length === 0 && Object.keys(selector).length === 0)
    return resource.namespace === mesh.settings.rootNamespace
      ? [{ kind: 'mesh' }]
      : [{ kind: 'ns', name: resource.namespace ?? 'default' }];
  return draft.calleesOf(workloadsOf(mesh, policy), resource, ['spec']);
}

function carryPolicy(mesh: ForeignMesh, policy: Authorization, draft: Draft): void {
  const { resource, action, isDryRun, rules } = policy;
  if (isDryRun) return draft.leave(resource, ['metadata', 'annotations'], 'a dry run decides nothing');
  if (action !== 'ALLOW' && action !== 'DENY') return draft.leave(resource, ['spec', 'action'], `${action} has no counterpart`);
  if (isMap(resource.data['spec']) === false && resource.data['spec'] !== undefined && resource.data['spec'] !== null) return;
  const to = calleesOf(mesh, policy, draft);
  if (to === undefined) return;
  for (const rule of rules) {
    const from = callersOf(rule, policy, draft);
    if (from === undefined) continue;
    const operations = action === 'DENY' ? deniedOf(rule, policy, draft) : operationsOf(rule, policy, draft);
    if (operations !== undefined && operations.length > 0) draft.add(action === 'DENY' ? 'deny' : 'allow', from, to, operations, resource);
  }
}

/** Undefined where something would be let in, or kept out, that was not. */
function callersOf({ from, when, path }: AuthorizationRule, { resource }: Authorization, draft: Draft): WhoText[] | undefined {
  const conditions = when.filter(({ name }) => name.startsWith('source.'));
  if (from === undefined && conditions.length === 0) {
    draft.notes.add('rules without a source let callers without an identity in; here they mean every identity of the mesh');
    return [{ kind: 'mesh' }];
  }
  if (from !== undefined && conditions.length > 0) {
    draft.leave(resource, path, 'a source and a condition about the source, both wanted, have no counterpart');
    return undefined;
  }
  const sources = from ?? [conditions];
  const callers: WhoText[] = [];
  for (const source of sources) {
    const [field] = source;
    if (field === undefined) {
      callers.push({ kind: 'mesh' });
      continue;
    }
    if (source.length > 1) {
      draft.leave(resource, field.path.slice(0, -1), 'fields of a source that must all fit have no counterpart');
      return undefined;
    }
    if (field.isNot) {
      draft.leave(resource, field.path, `\`not\`: native rules name who may, never who may not`);
      return undefined;
    }
    for (const value of field.values) {
      const who = callerOf(field.name.replace(/^source\.(.*)$/, '$1s'), value, resource.namespace ?? 'default', draft);
      if (who === undefined) {
        draft.leave(resource, field.path, `\`${value}\` under \`${field.name}\` has no counterpart`);
        return undefined;
      }
      callers.push(who);
    }
  }
  return callers;
}

function callerOf(field: string, value: string, namespace: string, draft: Draft): WhoText | undefined {
  switch (field) {
    case 'principals': {
      if (value === '*') return { kind: 'mesh' };
      const wide = /^([^/*]+)\/ns\/([a-z0-9-]+)\/(?:sa\/)?\*$/.exec(value);
      if (wide !== null) return draft.isOwnDomain(wide[1] ?? '') ? { kind: 'ns', name: wide[2] ?? '' } : undefined;
      const domain = /^([^/*]+)\/\*$/.exec(value)?.[1];
      if (domain !== undefined) return draft.isOwnDomain(domain) ? { kind: 'mesh' } : { kind: 'td', trustDomain: domain };
      return value.includes('*') ? undefined : draft.callerById(`spiffe://${value}`);
    }
    case 'namespaces':
      return value === '*' ? { kind: 'mesh' } : /^[a-z0-9-]+$/.test(value) ? { kind: 'ns', name: value } : undefined;
    case 'serviceAccounts': {
      const [own, account] = value.includes('/') ? value.split('/') : [namespace, value];
      return draft.service(own ?? '', account ?? '');
    }
    case 'trustDomains':
      return value.includes('*') ? undefined : draft.isOwnDomain(value) ? { kind: 'mesh' } : { kind: 'td', trustDomain: value };
    default:
      return undefined;
  }
}

function operationsOf({ to, when, path }: AuthorizationRule, { resource }: Authorization, draft: Draft): OpText[] | undefined {
  const conditions = conditionsOf(when, path, resource, draft);
  if (conditions === undefined) return undefined;
  return (to ?? [[]]).flatMap((fields) => operationOf(fields, conditions, resource, draft) ?? []);
}

interface Conditions {
  readonly headers: readonly { readonly name: string; readonly values: readonly string[] }[];
  readonly ports: readonly string[] | undefined;
}

function conditionsOf(
  when: readonly Field[],
  path: AuthorizationRule['path'],
  resource: Authorization['resource'],
  draft: Draft,
): Conditions | undefined {
  const headers: { name: string; values: readonly string[] }[] = [];
  let ports: readonly string[] | undefined;
  for (const { name, isNot, values, path: at } of when.filter((each) => !each.name.startsWith('source.'))) {
    const header = /^request\.headers\[([^:\]]+)\]$/.exec(name)?.[1]?.toLowerCase();
    if (isNot || values.some((value) => value.includes('*') || /\s/.test(value)) || (header === undefined && name !== 'destination.port')) {
      draft.leave(resource, at, `the condition \`${name}\` has no counterpart`);
      return undefined;
    }
    if (header === undefined) ports = values;
    else headers.push({ name: header, values });
  }
  if (headers.length > 1) {
    draft.leave(resource, path, 'several conditions about headers stand in one rule');
    return undefined;
  }
  return { headers, ports };
}

function operationOf(
  fields: readonly Field[],
  { headers, ports }: Conditions,
  resource: Authorization['resource'],
  draft: Draft,
): OpText[] | undefined {
  const wrong = fields.find(({ name, isNot }) => isNot || !['methods', 'paths', 'ports'].includes(name));
  if (wrong !== undefined) {
    draft.leave(
      resource,
      wrong.path,
      wrong.isNot ? '`not`: native rules name what may be done, never what may not' : `\`${wrong.name}\` has no counterpart`,
    );
    return undefined;
  }
  const of = (name: string): Field | undefined => fields.find((each) => each.name === name);
  const own = of('ports')?.values;
  const wanted = own === undefined ? ports : ports === undefined ? own : own.filter((port) => ports.includes(port));
  const at = (wanted ?? [undefined]).map((port) => (port === undefined ? {} : { port }));
  const methods = of('methods');
  const paths = of('paths');
  if (methods === undefined && paths === undefined && headers.length === 0) return at.map((port) => ({ kind: 'any', ...port }));
  const bad = methods?.values.find((method) => method !== '*' && !METHOD.test(method));
  if (methods !== undefined && bad !== undefined) {
    draft.leave(resource, methods.path, `\`${bad}\` is no method of HTTP`);
    return undefined;
  }
  const named = methods === undefined || methods.values.includes('*') ? {} : { methods: methods.values };
  const operations: OpText[] = [];
  for (const [i, pattern] of (paths?.values ?? ['*']).entries()) {
    const carried = carryPath(pattern);
    if ('why' in carried) {
      draft.leave(resource, [...(paths?.path ?? []), i], carried.why);
      continue;
    }
    const [header] = headers;
    for (const value of header?.values ?? [undefined])
      for (const port of at)
        operations.push({
          kind: 'http',
          ...named,
          ...carried,
          ...port,
          ...(header === undefined || value === undefined ? {} : { headers: [{ name: header.name, value }] }),
        });
  }
  return operations;
}

function deniedOf(rule: AuthorizationRule, { resource }: Authorization, draft: Draft): OpText[] | undefined {
  const rest = rule.when.filter(({ name }) => !name.startsWith('source.') && name !== 'destination.port');
  const fields = (rule.to ?? [[]]).flat().filter(({ name }) => name !== 'ports');
  const wrong = [...rest, ...fields, ...(rule.to ?? []).flat().filter(({ isNot }) => isNot)][0];
  if (wrong !== undefined) {
    draft.leave(resource, wrong.path, 'a native `deny` takes callers and ports: what is to be closed is left out of `allow` instead');
    return undefined;
  }
  return operationsOf(rule, { resource } as Authorization, draft);
}
