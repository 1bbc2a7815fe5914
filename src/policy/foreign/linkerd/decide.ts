// What Linkerd decides: Servers, their routes and authorizations × a request, judged by Linkerd's own semantics.
//
//   no Server on the port   the default inbound policy of the pod, else its namespace, else the cluster
//   a Server                what its authorizations allow; they only ever allow, so nothing matching is a denial (or `accessPolicy`)
//   routes on it            a request that fits none is 404; one that fits is judged by the route's grants, the Server's and the Namespace's
//
// Source: linkerd2 policy-controller (core, k8s/index, grpc/inbound) and policy-test.
import { isInBlock } from '../ip.ts';
import { all, any, type ForeignDecision, type ForeignRequest, type Match, toMatch } from '../request.ts';
import { fitsSelector, isMap, mapList, printResource, type Resource, specOf, textList } from '../resources.ts';

export interface LinkerdContext {
  /** `cluster.local` of `sa.ns.serviceaccount.identity.linkerd.cluster.local`. */
  readonly identityDomain: string;
  readonly clusterNetworks: readonly string[];
  readonly defaultInboundPolicy: string;
}

type Map = Readonly<Record<string, unknown>>;

export function decideLinkerd(resources: readonly Resource[], context: LinkerdContext, request: ForeignRequest): ForeignDecision {
  const judge = new Judge(resources, context, request);
  const server = judge.server();
  const decided = (decision: ForeignDecision['decision'], by: string): ForeignDecision => ({ decision, by, dryRun: {} });
  if (server === undefined) {
    const policy = judge.defaultPolicy();
    const match = judge.byDefault(policy);
    return decided(match === 'yes' ? 'allow' : match === 'no' ? 'deny' : 'unknown', `default inbound policy ${policy}`);
  }
  const routes = routesOf(resources, server);
  let targets: Resource[] = [server];
  if (routes.length > 0 && request.http !== undefined) {
    const fitting = routes.find((route) => judge.fitsRoute(route));
    if (fitting === undefined) return decided('deny', `no route of ${printResource(server)} fits (404)`);
    targets = [server, fitting];
  }
  const match = any([...judge.policies(targets), ...judge.serverAuthorizations(server)]);
  if (match === 'yes') return decided('allow', `an authorization for ${printResource(server)}`);
  if (match === 'maybe') return decided('unknown', `it depends on an authorization for ${printResource(server)}`);
  const access = specOf(server)['accessPolicy'];
  const fallback = judge.byDefault(typeof access === 'string' ? access : 'deny');
  return decided(fallback === 'yes' ? 'allow' : fallback === 'no' ? 'deny' : 'unknown', `${printResource(server)}: ${access ?? 'deny'}`);
}

const DEFAULTS = ['all-authenticated', 'all-unauthenticated', 'cluster-authenticated', 'cluster-unauthenticated', 'deny', 'audit'];
/** Of a pod or a namespace. */
export const DEFAULT_POLICY = 'config.linkerd.io/default-inbound-policy';

/** The routes that are attached to a Server. */
export function routesOf(resources: readonly Resource[], server: Resource): Resource[] {
  return resources.filter(
    (route) =>
      (route.kind === 'HTTPRoute' || route.kind === 'GRPCRoute') &&
      (mapList(specOf(route)['parentRefs']) ?? []).some(
        ({ kind, name, namespace }) => kind === 'Server' && name === server.name && (namespace ?? route.namespace) === server.namespace,
      ),
  );
}

class Judge {
  readonly #resources: readonly Resource[];
  readonly #context: LinkerdContext;
  readonly #request: ForeignRequest;

  constructor(resources: readonly Resource[], context: LinkerdContext, request: ForeignRequest) {
    this.#resources = resources;
    this.#context = context;
    this.#request = request;
  }

  /** The Server on the port; of several the oldest, which offline is the first. */
  server(): Resource | undefined {
    const { destination } = this.#request;
    return this.#ofKind('Server').find((server) => {
      const { podSelector, port } = specOf(server) as { podSelector?: unknown; port?: unknown };
      return (
        server.namespace === destination.namespace &&
        isMap(podSelector) &&
        fitsSelector(destination.labels, podSelector) &&
        (port === destination.port || port === destination.portName || String(port) === String(destination.port))
      );
    });
  }

  defaultPolicy(): string {
    const { workload, namespace } = this.#request.destination;
    const pod = this.#resources.find((each) => each.kind === 'Pod' && each.name === workload && each.namespace === namespace);
    const ns = this.#resources.find((each) => each.kind === 'Namespace' && each.name === namespace);
    // One that is none is ignored.
    const named = [pod, ns].map((each) => each?.annotations[DEFAULT_POLICY]).find((each) => each !== undefined && DEFAULTS.includes(each));
    return named ?? this.#context.defaultInboundPolicy;
  }

  byDefault(policy: string): Match {
    const authenticated = this.#request.source.identity !== undefined;
    switch (policy) {
      case 'all-unauthenticated':
      case 'audit':
        return 'yes';
      case 'all-authenticated':
        return authenticated ? 'yes' : 'no';
      case 'cluster-unauthenticated':
        return this.#inCluster();
      case 'cluster-authenticated':
        return authenticated ? this.#inCluster() : 'no';
      default:
        return 'no';
    }
  }

  fitsRoute(route: Resource): boolean {
    const { http } = this.#request;
    if (http === undefined) return false;
    const spec = specOf(route);
    const hosts = textList(spec['hostnames']);
    if (hosts !== undefined && hosts.length > 0 && !hosts.some((host) => fitsHost(host, http.host))) return false;
    const rules = mapList(spec['rules']) ?? [{}];
    return rules.some((rule) => {
      const matches = mapList(rule['matches']);
      return (
        matches === undefined ||
        matches.length === 0 ||
        matches.some((match) => (route.kind === 'GRPCRoute' ? fitsGrpc(match, http) : fitsHttp(match, http)))
      );
    });
  }

  policies(targets: readonly Resource[]): Match[] {
    const { namespace } = this.#request.destination;
    return this.#ofKind('AuthorizationPolicy')
      .filter((policy) => {
        const target = specOf(policy)['targetRef'];
        if (!isMap(target) || policy.namespace !== namespace) return false;
        const kind = String(target['kind']).toLowerCase();
        if (kind === 'namespace') return target['name'] === namespace;
        return targets.some((each) => each.kind.toLowerCase() === kind && each.name === target['name']);
      })
      .map((policy) => all((mapList(specOf(policy)['requiredAuthenticationRefs']) ?? []).map((ref) => this.#authentication(ref, policy))));
  }

  serverAuthorizations(server: Resource): Match[] {
    return this.#ofKind('ServerAuthorization')
      .filter((authorization) => {
        const wanted = specOf(authorization)['server'];
        if (!isMap(wanted) || authorization.namespace !== server.namespace) return false;
        return wanted['name'] === server.name || (isMap(wanted['selector']) && fitsSelector(server.labels, wanted['selector']));
      })
      .map((authorization) => {
        const client = specOf(authorization)['client'];
        if (!isMap(client)) return 'no';
        const networks = mapList(client['networks']);
        const where: Match = networks === undefined ? 'yes' : any(networks.map((network) => this.#inNetwork(network)));
        return all([where, this.#client(client, authorization)]);
      });
  }

  #client(client: Map, { namespace }: Resource): Match {
    if (client['unauthenticated'] === true) return 'yes';
    const tls = client['meshTLS'];
    if (!isMap(tls)) return 'no';
    if (tls['unauthenticatedTLS'] === true) return 'yes';
    const accounts = mapList(tls['serviceAccounts']) ?? [];
    const identities = textList(tls['identities']) ?? [];
    return toMatch(
      identities.some((each) => this.#isIdentity(each)) ||
        accounts.some((account) => this.#isAccount(String(account['name']), String(account['namespace'] ?? namespace))),
    );
  }

  #authentication(ref: Map, policy: Resource): Match {
    const namespace = String(ref['namespace'] ?? policy.namespace);
    if (ref['kind'] === 'ServiceAccount') return toMatch(this.#isAccount(String(ref['name']), namespace));
    const found = this.#ofKind(String(ref['kind'])).find((each) => each.name === ref['name'] && each.namespace === namespace);
    // What is not there authenticates nobody.
    if (found === undefined) return 'no';
    const spec = specOf(found);
    if (found.kind === 'NetworkAuthentication') return any((mapList(spec['networks']) ?? []).map((network) => this.#inNetwork(network)));
    const identities = textList(spec['identities']) ?? [];
    const refs = mapList(spec['identityRefs']) ?? [];
    return toMatch(
      identities.some((each) => this.#isIdentity(each)) ||
        refs.some((each) =>
          each['kind'] === 'Namespace'
            ? this.#isInNamespace(String(each['name']))
            : this.#isAccount(String(each['name']), String(each['namespace'] ?? found.namespace)),
        ),
    );
  }

  /** `*` is any meshed client, `*.suffix` a part of DNS-like names; a star elsewhere is a letter. */
  #isIdentity(pattern: string): boolean {
    const { identity } = this.#request.source;
    if (identity === undefined) return false;
    if (pattern === '*') return true;
    if (pattern.startsWith('*.')) return !identity.startsWith('spiffe://') && identity.endsWith(pattern.slice(1));
    return identity === pattern;
  }

  #isAccount(name: string, namespace: string): boolean {
    return this.#isIdentity(`${name}.${namespace}.serviceaccount.identity.linkerd.${this.#context.identityDomain}`);
  }

  #isInNamespace(namespace: string): boolean {
    return this.#isIdentity(`*.${namespace}.serviceaccount.identity.linkerd.${this.#context.identityDomain}`);
  }

  #inNetwork(network: Map): Match {
    const { ip } = this.#request.source;
    if (ip === undefined) return 'maybe';
    const except = textList(network['except']) ?? [];
    return toMatch(isInBlock(String(network['cidr']), ip) && !except.some((each) => isInBlock(each, ip)));
  }

  #inCluster(): Match {
    const { ip } = this.#request.source;
    return ip === undefined ? 'maybe' : toMatch(this.#context.clusterNetworks.some((network) => isInBlock(network, ip)));
  }

  #ofKind(kind: string): Resource[] {
    return this.#resources.filter((each) => each.kind === kind && each.apiVersion.startsWith('policy.linkerd.io/'));
  }
}

type Http = NonNullable<ForeignRequest['http']>;

function fitsHost(pattern: string, host: string): boolean {
  const name = host.replace(/:\d+$/, '').toLowerCase();
  return pattern.startsWith('*.') ? name.endsWith(pattern.slice(1).toLowerCase()) : name === pattern.toLowerCase();
}

/** Gateway API: everything that a match names must fit; a prefix compares whole segments. */
export function fitsHttp(match: Map, { method, path: target, headers }: Http): boolean {
  const [path = '', query = ''] = target.split('?');
  const wanted = isMap(match['path']) ? match['path'] : { type: 'PathPrefix', value: '/' };
  const value = String(wanted['value'] ?? '/');
  const prefix = value.replace(/\/$/, '');
  const fitsPath =
    wanted['type'] === 'Exact'
      ? path === value
      : wanted['type'] === 'RegularExpression'
        ? fitsWhole(value, path)
        : path === prefix || path.startsWith(`${prefix}/`);
  const parameters = new URLSearchParams(query);
  return (
    fitsPath &&
    (match['method'] === undefined || match['method'] === method) &&
    (mapList(match['headers']) ?? []).every((each) => fitsValue(each, headerOf(headers, String(each['name'])))) &&
    (mapList(match['queryParams']) ?? []).every((each) => fitsValue(each, parameters.get(String(each['name'])) ?? undefined))
  );
}

function fitsGrpc(match: Map, { method, path, headers }: Http): boolean {
  const [service, called] = path.slice(1).split('/');
  const wanted = isMap(match['method']) ? match['method'] : {};
  return (
    method === 'POST' &&
    (wanted['service'] === undefined || wanted['service'] === service) &&
    (wanted['method'] === undefined || wanted['method'] === called) &&
    (mapList(match['headers']) ?? []).every((each) => fitsValue(each, headerOf(headers, String(each['name']))))
  );
}

function headerOf(headers: Readonly<Record<string, string>>, name: string): string | undefined {
  return Object.entries(headers).find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1];
}

function fitsValue(wanted: Map, value: string | undefined): boolean {
  if (value === undefined) return false;
  return wanted['type'] === 'RegularExpression' ? fitsWhole(String(wanted['value']), value) : value === wanted['value'];
}

/** False for what is no regular expression. */
function fitsWhole(pattern: string, text: string): boolean {
  try {
    return new RegExp(`^(?:${pattern})$`).test(text);
  } catch {
    return false;
  }
}
