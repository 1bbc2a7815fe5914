// A native policy as Linkerd's: a Server for each port, routes for what rules say of HTTP, and an authorization for each. Linkerd knows no deny:
// floors and denials are kept by leaving out whom they refuse.
import { quotePattern } from '../../base/pattern.ts';
import type { Callee, ExportInput } from '../export.ts';
import type { OpText } from '../reader/rule-text.ts';
import { type Callers, callersOf } from './callers.ts';

const resource = (version: string, kind: string, name: string, namespace: string, spec: object): object => ({
  apiVersion: `policy.linkerd.io/${version}`,
  kind,
  metadata: { name, namespace },
  spec,
});

export function toLinkerd(input: ExportInput): object[] {
  input.note(`pods are selected by their label \`${input.label}\``);
  return input.callees.flatMap((callee) => ofCallee(callee, input));
}

interface Grant {
  readonly callers: Callers;
  /** Undefined is everything on the port. */
  readonly match: object | undefined;
  readonly text: string;
}

function ofCallee(callee: Callee, input: ExportInput): object[] {
  const { service, ports, allow } = callee;
  const numbers = new Map([...ports].map(([name, number]) => [String(number), name] as const));
  for (const rule of allow)
    for (const { port } of rule.operations)
      if (port !== undefined && /^\d+$/.test(port) && !numbers.has(port)) numbers.set(port, `port-${port}`);
      else if (port !== undefined && !/^\d+$/.test(port) && !ports.has(port))
        input.leave(rule, `nobody says which number port \`${port}\` of \`${service.name}\` has: write \`ports:\` under \`services:\``);
  if (numbers.size === 0) {
    for (const rule of allow)
      input.leave(rule, `a Server is for one port, and \`${service.name}\` names none: write \`ports:\` under \`services:\``);
    return [];
  }
  return [...numbers].flatMap(([number, name]) => ofPort(Number(number), name, callee, input));
}

function ofPort(number: number, portName: string, callee: Callee, input: ExportInput): object[] {
  const { service, allow } = callee;
  const { namespace } = service;
  const server = `${service.name}-${portName}`;
  const grants: Grant[] = [];
  for (const rule of allow)
    for (const operation of rule.operations) {
      if (operation.port !== undefined && operation.port !== String(number) && operation.port !== portName) continue;
      const callers = callersOf(rule, operation, callee, input);
      if (callers === undefined || (callers.kind === 'services' && callers.services.length === 0)) continue;
      if (operation.kind === 'tcp') {
        input.leave(rule, 'a Server cannot tell TCP from HTTP on a port: `tcp` would let HTTP in too');
        continue;
      }
      for (const match of matchesOf(operation)) grants.push({ callers, ...match });
    }
  const selector = { matchLabels: { [input.label]: service.name } };
  const resources = [resource('v1beta3', 'Server', server, namespace, { podSelector: selector, port: number, accessPolicy: 'deny' })];
  const routes = [...new Set(grants.flatMap(({ match, text }) => (match === undefined ? [] : [text])))];
  // Where routes are, what fits none is not found: whoever may do everything needs one for everything.
  if (routes.length > 0 && grants.some(({ match }) => match === undefined)) routes.push('');
  const names = new Map(routes.map((text, i) => [text, `${server}-${i + 1}`]));
  for (const [text, name] of names) {
    const match = text === '' ? { path: { type: 'PathPrefix', value: '/' } } : grants.find((each) => each.text === text)?.match;
    const parentRefs = [{ group: 'policy.linkerd.io', kind: 'Server', name: server }];
    resources.push(resource('v1beta3', 'HTTPRoute', name, namespace, { parentRefs, rules: [{ matches: [match] }] }));
  }
  // One for each list of callers: two that begin alike are not the same.
  const authentications = new Map<string, { readonly name: string; readonly identities: readonly string[] }>();
  grants.forEach(({ callers, match, text }, i) => {
    const identities = identitiesOf(callers, input);
    const key = JSON.stringify(identities);
    const authentication = authentications.get(key) ?? { name: `${server}-callers-${authentications.size + 1}`, identities };
    authentications.set(key, authentication);
    const target = match === undefined ? { kind: 'Server', name: server } : { kind: 'HTTPRoute', name: names.get(text) };
    resources.push(
      resource('v1alpha1', 'AuthorizationPolicy', `${server}-${i + 1}`, namespace, {
        targetRef: { group: 'policy.linkerd.io', ...target },
        requiredAuthenticationRefs: [{ group: 'policy.linkerd.io', kind: 'MeshTLSAuthentication', name: authentication.name }],
      }),
    );
  });
  const named = [...authentications.values()].map(({ name, identities }) =>
    resource('v1alpha1', 'MeshTLSAuthentication', name, namespace, { identities }),
  );
  return [...resources, ...named];
}

function identitiesOf(callers: Callers, { trustDomain }: ExportInput): string[] {
  const suffix = `serviceaccount.identity.linkerd.${trustDomain}`;
  if (callers.kind === 'mesh') return ['*'];
  if (callers.kind === 'namespace') return [`*.${callers.namespace}.${suffix}`];
  return callers.services.map(({ service, namespace }) => `${service}.${namespace}.${suffix}`);
}

/** One for each method: matches of a route are alternatives, and its methods are not a list. */
function matchesOf(operation: OpText): { match: object | undefined; text: string }[] {
  const printed = (match: object): { match: object; text: string } => ({ match, text: JSON.stringify(match) });
  if (operation.kind === 'grpc') {
    const value = `/${operation.service}/${operation.method ?? ''}`;
    const path =
      operation.method === undefined ? { type: 'RegularExpression', value: `${quotePattern(value)}[^/]+` } : { type: 'Exact', value };
    return [printed({ path, method: 'POST', headers: [{ type: 'RegularExpression', name: 'content-type', value: 'application/grpc.*' }] })];
  }
  if (operation.kind !== 'http') return [{ match: undefined, text: '' }];
  const headers = (operation.headers ?? []).map(({ name, value }) => ({ name, value }));
  return (operation.methods ?? [undefined]).map((method) =>
    printed({
      path: pathOf(operation.path, operation.isPrefix === true),
      ...(method === undefined ? {} : { method }),
      ...(headers.length === 0 ? {} : { headers }),
    }),
  );
}

function pathOf(path: string, isPrefix: boolean): object {
  if (isPrefix) return { type: 'RegularExpression', value: `${quotePattern(path)}.*` };
  const isTree = path.endsWith('/**');
  const stem = isTree ? path.slice(0, -3) : path;
  if (!stem.includes('*')) return isTree ? { type: 'PathPrefix', value: stem === '' ? '/' : stem } : { type: 'Exact', value: path };
  const source = stem
    .split('/')
    .map((segment) => (segment === '*' ? '[^/]+' : quotePattern(segment)))
    .join('/');
  return { type: 'RegularExpression', value: isTree ? `${source}(?:/.*)?` : source };
}
