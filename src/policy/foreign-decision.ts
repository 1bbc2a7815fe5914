// One request × the policies of other meshes, each judged by its own semantics; where there are several kinds, all of them must allow.
import { Fault } from '../base/fault.ts';
import { makeSpiffeId, parseSpiffeId, printSpiffeId } from '../mesh/identity.ts';
import type { PolicyText } from './document.ts';
import { decideIstio } from './foreign/istio/decide.ts';
import { decideKuma, isKuma } from './foreign/kuma.ts';
import { decideLinkerd } from './foreign/linkerd/decide.ts';
import { type ForeignMesh, type Port, protocolAt, readMesh, type Settings, type Workload } from './foreign/model.ts';
import { decideNetwork, isNetworkPolicy } from './foreign/network.ts';
import type { ForeignDecision, ForeignRequest } from './foreign/request.ts';
import { hasLabels, type Resource, readResources } from './foreign/resources.ts';

export type { ForeignMesh } from './foreign/model.ts';
export type { ForeignRequest, Token } from './foreign/request.ts';

export interface Layer {
  readonly engine: 'istio' | 'linkerd' | 'kuma' | 'network-policy';
  readonly decision: ForeignDecision['decision'];
  readonly by: string;
}

export interface LayeredDecision {
  readonly decision: ForeignDecision['decision'];
  readonly layers: readonly Layer[];
}

/** The resources of the files; undefined when none of them is a policy of another mesh. */
export function readForeign(files: readonly PolicyText[], settings: Partial<Settings> = {}): ForeignMesh | undefined {
  const mesh = readMesh(readResources(files).resources, settings);
  return enginesOf(mesh).length === 0 ? undefined : mesh;
}

function enginesOf({ resources }: ForeignMesh): Layer['engine'][] {
  const has = (test: (resource: Resource) => boolean): boolean => resources.some(test);
  return [
    ...(has(({ apiVersion }) => apiVersion.startsWith('security.istio.io/')) ? ['istio' as const] : []),
    ...(has(({ apiVersion }) => apiVersion.startsWith('policy.linkerd.io/')) ? ['linkerd' as const] : []),
    ...(has(isKuma) ? ['kuma' as const] : []),
    ...(has(isNetworkPolicy) ? ['network-policy' as const] : []),
  ];
}

/** Every kind of policy that is among the resources has its say. */
export function decideForeign(mesh: ForeignMesh, request: ForeignRequest): LayeredDecision {
  const layers = enginesOf(mesh)
    .map((engine) => ({ engine, ...judge(engine, mesh, request) }))
    .map(({ engine, decision, by }) => ({ engine, decision, by }));
  const verdicts = layers.map(({ decision }) => decision);
  return { decision: verdicts.includes('deny') ? 'deny' : verdicts.includes('unknown') ? 'unknown' : 'allow', layers };
}

function judge(engine: Layer['engine'], { resources, settings }: ForeignMesh, request: ForeignRequest): ForeignDecision {
  switch (engine) {
    case 'istio':
      return decideIstio(resources, settings, request);
    case 'linkerd': {
      const { identity, namespace, serviceAccount } = request.source;
      // Linkerd's names are those of DNS.
      const dns =
        identity === undefined || namespace === undefined || serviceAccount === undefined
          ? identity
          : `${serviceAccount}.${namespace}.serviceaccount.identity.linkerd.${settings.trustDomain}`;
      return decideLinkerd(
        resources,
        { identityDomain: settings.trustDomain, clusterNetworks: [], defaultInboundPolicy: 'all-unauthenticated' },
        { ...request, source: { ...request.source, identity: dns } },
      );
    }
    case 'kuma':
      return decideKuma(resources, request);
    case 'network-policy':
      return decideNetwork(resources, request);
  }
}

export interface Question {
  /** `none`, `id:SPIFFE-ID`, `sa:NAMESPACE/NAME`, or a workload, Service or service account: `NAME`, `NAMESPACE/NAME`. */
  readonly from: string;
  /** A workload or a Service: `NAME`, `NAMESPACE/NAME`, with `:PORT`. */
  readonly to: string;
  readonly port: string | undefined;
  /** Undefined asks about a TCP connection. */
  readonly http:
    | {
        readonly method: string | undefined;
        readonly path: string | undefined;
        readonly host: string | undefined;
        readonly headers: Readonly<Record<string, string>>;
      }
    | undefined;
  readonly enforcement: ForeignRequest['destination']['enforcement'] | undefined;
  readonly token: ForeignRequest['token'];
}

/** The request that a question is about. Throws USAGE where a name is nobody's, or several have it. */
export function requestOf(mesh: ForeignMesh, { from, to, port: asked, http, enforcement, token }: Question): ForeignRequest {
  const [callee = '', inName] = splitPort(to);
  const pod = workloadOf(mesh, callee, 'callee');
  const port = portOf(mesh, pod, asked ?? inName);
  const isTcp = http === undefined || (protocolAt(mesh, pod, port) === 'tcp' && http.method === undefined && http.path === undefined);
  const service = mesh.services.find(
    (each) => each.namespace === pod.namespace && Object.keys(each.selector).length > 0 && hasLabels(pod.labels, each.selector),
  );
  if (!isTcp && (http.method === undefined || http.path === undefined))
    throw new Fault('USAGE', 'usage', 'a request of HTTP needs --method and --path', { hint: 'or say --tcp for a connection' });
  return {
    source: sourceOf(mesh, from),
    destination: {
      workload: pod.name,
      namespace: pod.namespace,
      labels: pod.labels,
      service: service?.name,
      ip: undefined,
      port: port.number ?? 0,
      portName: port.name,
      enforcement:
        enforcement ?? (pod.gateway === 'waypoint' || (pod.enforcement === 'ztunnel' && pod.hasWaypoint) ? 'waypoint' : pod.enforcement),
    },
    http: isTcp
      ? undefined
      : { method: http.method ?? '', path: http.path ?? '', host: http.host ?? service?.name ?? pod.name, headers: http.headers },
    sni: undefined,
    remoteIp: undefined,
    authorizers: {},
    token,
  };
}

function sourceOf(mesh: ForeignMesh, from: string): ForeignRequest['source'] {
  const nobody = { identity: undefined, namespace: undefined, serviceAccount: undefined, ip: undefined, labels: undefined };
  if (from === 'none') return nobody;
  if (from.startsWith('id:')) {
    const id = from.slice(3);
    const parsed = parseSpiffeId(id);
    return { ...nobody, identity: id, namespace: parsed?.namespace, serviceAccount: parsed?.service };
  }
  const identityOf = (namespace: string, account: string): string =>
    printSpiffeId(makeSpiffeId(mesh.settings.trustDomain, namespace, account));
  const [, accountNamespace, account] = /^sa:([^/]+)\/([^/]+)$/.exec(from) ?? [];
  if (accountNamespace !== undefined && account !== undefined) {
    const pod = mesh.workloads.find((each) => each.namespace === accountNamespace && each.serviceAccount === account);
    return {
      identity: identityOf(accountNamespace, account),
      namespace: accountNamespace,
      serviceAccount: account,
      ip: undefined,
      labels: pod?.labels,
    };
  }
  const pod = workloadOf(mesh, from, 'caller');
  return {
    identity: identityOf(pod.namespace, pod.serviceAccount),
    namespace: pod.namespace,
    serviceAccount: pod.serviceAccount,
    ip: undefined,
    labels: pod.labels,
  };
}

function splitPort(text: string): [string, string | undefined] {
  const colon = text.lastIndexOf(':');
  return colon < 0 ? [text, undefined] : [text.slice(0, colon), text.slice(colon + 1)];
}

/** By the name of a workload, else of a Service that selects it, else by the label `app`, else by its service account. */
function workloadOf(mesh: ForeignMesh, text: string, what: string): Workload {
  const [name = '', namespace] = text.includes('/') ? text.split('/').reverse() : [text];
  const here = mesh.workloads.filter((each) => namespace === undefined || each.namespace === namespace);
  const services = mesh.services.filter(
    (each) => each.name === name && (namespace === undefined || each.namespace === namespace) && Object.keys(each.selector).length > 0,
  );
  const found =
    [
      here.filter((each) => each.name === name),
      here.filter((each) => services.some((service) => service.namespace === each.namespace && hasLabels(each.labels, service.selector))),
      here.filter(({ labels }) => labels['app'] === name || labels['app.kubernetes.io/name'] === name),
      here.filter(({ serviceAccount }) => serviceAccount === name),
    ].find((each) => each.length > 0) ?? [];
  const [first] = found;
  if (first === undefined)
    throw new Fault('USAGE', 'usage', `no workload of the files is the ${what} \`${text}\``, {
      hint:
        mesh.workloads.length === 0
          ? 'give the workloads too: Deployments or Pods'
          : `they are ${mesh.workloads.map((each) => `${each.namespace}/${each.name}`).join(', ')}`,
    });
  const other = found.find((each) => each.namespace !== first.namespace || each.serviceAccount !== first.serviceAccount);
  if (other !== undefined)
    throw new Fault('USAGE', 'ambiguous', `\`${text}\` is ${first.namespace}/${first.name} and ${other.namespace}/${other.name}`, {
      hint: 'write NAMESPACE/NAME',
    });
  return first;
}

/** The workload's port: by its number or name, or by the port of a Service that leads to it; the only one when none is named. */
function portOf(mesh: ForeignMesh, pod: Workload, named: string | undefined): Port {
  const own = pod.ports;
  if (named === undefined) {
    if (own.length === 1 && own[0] !== undefined) return own[0];
    throw new Fault('USAGE', 'usage', `which port of \`${pod.namespace}/${pod.name}\`?`, {
      hint: own.length === 0 ? 'name one with --port' : `--port ${own.map(({ name, number }) => name ?? number).join(', ')}`,
    });
  }
  const target = mesh.services
    .filter((each) => each.namespace === pod.namespace && hasLabels(pod.labels, each.selector))
    .flatMap(({ ports }) => ports)
    .find((port) => String(port.port) === named || port.name === named)?.target;
  const isIt = ({ name, number }: Port, text: string): boolean => name === text || String(number) === text;
  const found =
    own.find((port) => isIt(port, named)) ?? (target === undefined ? undefined : own.find((port) => isIt(port, String(target))));
  if (found !== undefined) return found;
  if (/^\d+$/.test(named)) return { number: Number(target ?? named), name: undefined };
  throw new Fault('USAGE', 'usage', `\`${pod.namespace}/${pod.name}\` has no port \`${named}\``, {
    hint: `it has ${own.map(({ name, number }) => name ?? number).join(', ')}`,
  });
}
