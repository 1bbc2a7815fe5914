// Linkerd's Servers, routes and authorizations as native rules: what each authorization lets in, on the ports of the pods that it is about.
import type { OpText, WhoText } from '../../reader/rule-text.ts';
import { METHOD, pathProblem } from '../../reader/rule-text.ts';
import { routesOf } from '../linkerd/decide.ts';
import type { ForeignMesh, Workload } from '../model.ts';
import { fitsSelector, isMap, mapList, type Resource, specOf, textList } from '../resources.ts';
import type { Draft } from './native.ts';

const GROUP = 'policy.linkerd.io';
type Map = Readonly<Record<string, unknown>>;

export function carryLinkerd(mesh: ForeignMesh, draft: Draft): void {
  const servers = mesh.kind('Server', GROUP);
  for (const policy of mesh.kind('AuthorizationPolicy', GROUP)) carryPolicy(mesh, policy, servers, draft);
  for (const authorization of mesh.kind('ServerAuthorization', GROUP)) carryOld(mesh, authorization, servers, draft);
  if (servers.length > 0)
    draft.notes.add('ports without a Server were decided by the default inbound policy; here what no rule allows is denied');
}

/** Pods and port of a Server, as callees; undefined with a note where they are not among the files. */
function endsOf(mesh: ForeignMesh, server: Resource, draft: Draft): { to: WhoText[]; port: string } | undefined {
  const { podSelector, port } = specOf(server);
  const isIt = ({ namespace, labels }: Workload): boolean =>
    namespace === (server.namespace ?? 'default') && isMap(podSelector) && fitsSelector(labels, podSelector);
  const to = draft.calleesOf(mesh.workloads.filter(isIt), server, ['spec', 'podSelector']);
  return to === undefined ? undefined : { to, port: String(port) };
}

function carryPolicy(mesh: ForeignMesh, policy: Resource, servers: readonly Resource[], draft: Draft): void {
  const { targetRef, requiredAuthenticationRefs } = specOf(policy);
  const target: Map = isMap(targetRef) ? targetRef : {};
  const refs = mapList(requiredAuthenticationRefs) ?? [];
  const from = refs.length === 0 ? everybody(draft) : callersOf(mesh, policy, refs, draft);
  if (from === undefined) return;
  const here = servers.filter(({ namespace }) => namespace === policy.namespace);
  const wanted = here.filter((server) =>
    target['kind'] === 'Namespace'
      ? target['name'] === policy.namespace
      : target['kind'] === 'Server'
        ? target['name'] === server.name
        : routesOf(mesh.resources, server).some(({ kind, name }) => kind === target['kind'] && name === target['name']),
  );
  if (wanted.length === 0) return draft.leave(policy, ['spec', 'targetRef'], 'no Server of the files is meant');
  for (const server of wanted) {
    const ends = endsOf(mesh, server, draft);
    if (ends === undefined) continue;
    const routes = routesOf(mesh.resources, server);
    const meant =
      target['kind'] === 'HTTPRoute' || target['kind'] === 'GRPCRoute' ? routes.filter(({ name }) => name === target['name']) : routes;
    // Without routes everything on the port; with them what fits one, and nothing else.
    const operations: OpText[] =
      meant.length === 0 ? [{ kind: 'any', port: ends.port }] : meant.flatMap((route) => operationsOf(route, ends.port, draft));
    if (operations.length > 0) draft.add('allow', from, ends.to, operations, policy);
  }
}

function everybody(draft: Draft): WhoText[] {
  draft.notes.add('an authorization without conditions let callers outside the mesh in; here it means every identity of the mesh');
  return [{ kind: 'mesh' }];
}

/** All that is asked for must hold: one identity with nothing beside it can be said here. */
function callersOf(mesh: ForeignMesh, policy: Resource, refs: readonly Map[], draft: Draft): WhoText[] | undefined {
  const at = ['spec', 'requiredAuthenticationRefs'];
  if (refs.some(({ kind }) => kind === 'NetworkAuthentication')) {
    draft.leave(policy, at, 'a network is no identity: native rules do not know addresses');
    return undefined;
  }
  const [ref, more] = refs;
  if (ref === undefined || more !== undefined) {
    draft.leave(policy, at, 'several conditions, all of which must hold, have no counterpart');
    return undefined;
  }
  const namespace = String(ref['namespace'] ?? policy.namespace ?? 'default');
  if (ref['kind'] === 'ServiceAccount') return listOf(draft.service(namespace, String(ref['name'])));
  const found = mesh.kind('MeshTLSAuthentication', GROUP).find((each) => each.name === ref['name'] && each.namespace === namespace);
  if (found === undefined) {
    draft.leave(policy, at, `${String(ref['kind'])} \`${String(ref['name'])}\` is not among the files`);
    return undefined;
  }
  const callers: WhoText[] = [];
  for (const [i, identity] of (textList(specOf(found)['identities']) ?? []).entries()) {
    const who = callerOf(identity, draft);
    if (who === undefined) {
      draft.leave(found, ['spec', 'identities', i], `\`${identity}\` has no counterpart`);
      return undefined;
    }
    callers.push(who);
  }
  for (const each of mapList(specOf(found)['identityRefs']) ?? []) {
    if (each['kind'] === 'Namespace') callers.push({ kind: 'ns', name: String(each['name'] ?? found.namespace) });
    else callers.push(...listOf(draft.service(String(each['namespace'] ?? found.namespace), String(each['name']))));
  }
  return callers;
}

const listOf = (who: WhoText | undefined): WhoText[] => (who === undefined ? [] : [who]);

/** `web.shop.serviceaccount.identity.linkerd.cluster.local`, `*.shop.serviceaccount…`, `*`, or a SPIFFE id. */
function callerOf(identity: string, draft: Draft): WhoText | undefined {
  if (identity === '*') return { kind: 'mesh' };
  if (identity.startsWith('spiffe://')) return draft.callerById(identity);
  const match = /^(\*|[a-z0-9-]+)\.([a-z0-9-]+)\.serviceaccount\.identity\.[a-z0-9-]+\.[a-z0-9.-]+$/.exec(identity);
  if (match === null) return undefined;
  const [, account = '', namespace = ''] = match;
  return account === '*' ? { kind: 'ns', name: namespace } : draft.service(namespace, account);
}

function operationsOf(route: Resource, port: string, draft: Draft): OpText[] {
  const { hostnames, rules } = specOf(route);
  if ((textList(hostnames) ?? []).length > 0) {
    draft.leave(route, ['spec', 'hostnames'], 'hosts are not judged by native rules');
    return [];
  }
  return (mapList(rules) ?? [{}]).flatMap((rule, i) =>
    (mapList(rule['matches']) ?? [{}]).flatMap((match, k) => {
      const at = ['spec', 'rules', i, 'matches', k];
      const operation = route.kind === 'GRPCRoute' ? grpcOf(match, port) : httpOf(match, port);
      if (typeof operation !== 'string') return [operation];
      draft.leave(route, at, operation);
      return [];
    }),
  );
}

function httpOf(match: Map, port: string): OpText | string {
  if ((mapList(match['queryParams']) ?? []).length > 0) return 'parameters of the query are not judged by native rules';
  const wanted = isMap(match['path']) ? match['path'] : { type: 'PathPrefix', value: '/' };
  const value = String(wanted['value'] ?? '/');
  if (wanted['type'] === 'RegularExpression') return `\`${value}\` is a regular expression`;
  // A prefix compares whole segments, as `/**` does.
  const path = wanted['type'] === 'Exact' ? value : `${value.replace(/\/$/, '')}/**`;
  if (value.includes('*') || pathProblem(path) !== undefined) return `\`${value}\` fits no path after normalization`;
  const headers = mapList(match['headers']) ?? [];
  if (headers.length > 1 || headers.some(({ type }) => type === 'RegularExpression'))
    return 'conditions about headers that must all hold, or that are regular expressions, have no counterpart';
  const { method } = match;
  if (method !== undefined && !METHOD.test(String(method))) return `\`${String(method)}\` is no method of HTTP`;
  return {
    kind: 'http',
    ...(method === undefined ? {} : { methods: [String(method)] }),
    path,
    port,
    ...(headers.length === 0
      ? {}
      : { headers: headers.map(({ name, value: text }) => ({ name: String(name).toLowerCase(), value: String(text) })) }),
  };
}

function grpcOf(match: Map, port: string): OpText | string {
  const { service, method, type } = isMap(match['method']) ? match['method'] : ({} as Map);
  if (type === 'RegularExpression' || (mapList(match['headers']) ?? []).length > 0)
    return 'regular expressions and headers of a gRPC route have no counterpart';
  if (typeof service !== 'string') return 'a gRPC route without a service has no counterpart';
  return { kind: 'grpc', service, ...(typeof method === 'string' ? { method } : {}), port };
}

/** ServerAuthorization, the older form. */
function carryOld(mesh: ForeignMesh, authorization: Resource, servers: readonly Resource[], draft: Draft): void {
  const { server, client } = specOf(authorization);
  const tls = isMap(client) ? client['meshTLS'] : undefined;
  if (!isMap(server) || !isMap(client) || client['networks'] !== undefined)
    return draft.leave(authorization, ['spec', 'client'], 'networks are not judged by native rules');
  const from: WhoText[] = [];
  if (client['unauthenticated'] === true || (isMap(tls) && tls['unauthenticatedTLS'] === true)) from.push(...everybody(draft));
  else if (isMap(tls)) {
    for (const identity of textList(tls['identities']) ?? []) {
      const who = callerOf(identity, draft);
      if (who === undefined)
        return draft.leave(authorization, ['spec', 'client', 'meshTLS', 'identities'], `\`${identity}\` has no counterpart`);
      from.push(who);
    }
    for (const account of mapList(tls['serviceAccounts']) ?? [])
      from.push(...listOf(draft.service(String(account['namespace'] ?? authorization.namespace ?? 'default'), String(account['name']))));
  }
  const selector = server['selector'];
  const meant = servers.filter(
    ({ namespace, name, labels }) =>
      namespace === authorization.namespace && (server['name'] === name || (isMap(selector) && fitsSelector(labels, selector))),
  );
  for (const each of meant) {
    const ends = endsOf(mesh, each, draft);
    if (ends !== undefined && from.length > 0) draft.add('allow', from, ends.to, [{ kind: 'any', port: ends.port }], authorization);
  }
}
