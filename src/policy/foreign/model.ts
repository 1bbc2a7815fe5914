// What the resources of a cluster say together, read once for every rule that judges them: settings, namespaces, workloads, services, policies.
import { parseYaml } from '../../base/decode.ts';
import type { Normalization } from './istio/path.ts';
import { hasLabels, isMap, mapList, matchLabelsOf, type Resource, specOf, targetsOf, textList, texts } from './resources.ts';

export type Path = readonly (string | number)[];
type Labels = Readonly<Record<string, string>>;

/** How the mesh is installed, as far as it is known. */
export interface Settings {
  readonly rootNamespace: string;
  readonly trustDomain: string;
  readonly trustDomainAliases: readonly string[];
  readonly pathNormalization: Normalization;
  readonly autoMtls: boolean;
  /** Whether proxies let traffic out to hosts that the mesh does not know. */
  readonly isOutboundOpen: boolean;
  /** Hosts whose certificates and addresses the control plane does not fetch keys from; undefined when it has no list. */
  readonly blockedCidrs: string | undefined;
  readonly trustedProxies: number | undefined;
  /** `1.28.5`; undefined judges as the newest. */
  readonly version: string | undefined;
  /** Trust domains whose accounts are known. */
  readonly knownTrustDomains: readonly string[];
  /** `<trust domain>/ns/…/sa/…` of accounts in other clusters; undefined when nothing is known of them. */
  readonly remoteAccounts: readonly string[];
  /** The accounts of this cluster, when they are not among the resources. */
  readonly accounts: readonly string[] | undefined;
}

export interface Port {
  readonly number: number | undefined;
  readonly name: string | undefined;
}

/** A pod, or what a workload makes of its template. */
export interface Workload {
  readonly resource: Resource;
  readonly name: string;
  readonly namespace: string;
  readonly labels: Labels;
  readonly serviceAccount: string;
  readonly ports: readonly Port[];
  /** A gateway made from a `Gateway` of Kubernetes; `waypoint` when that is what it is. */
  readonly gateway: 'gateway' | 'waypoint' | undefined;
  readonly enforcement: 'sidecar' | 'ztunnel';
  readonly hasWaypoint: boolean;
}

export interface Service {
  readonly resource: Resource;
  readonly name: string;
  readonly namespace: string;
  readonly selector: Labels;
  readonly ports: readonly {
    readonly name: string | undefined;
    readonly port: number;
    readonly target: number | string;
    readonly protocol: Protocol;
  }[];
}

/** `detect`: neither the name nor `appProtocol` says it. */
export type Protocol = 'http' | 'tcp' | 'detect';

/** One field of a source or an operation, or one condition. `notPaths` is `paths`, negated. */
export interface Field {
  readonly name: string;
  readonly isNot: boolean;
  readonly values: readonly string[];
  readonly path: Path;
}

export interface AuthorizationRule {
  readonly path: Path;
  /** Undefined: anybody. */
  readonly from: readonly (readonly Field[])[] | undefined;
  /** Undefined: anything. */
  readonly to: readonly (readonly Field[])[] | undefined;
  readonly when: readonly Field[];
}

/** An AuthorizationPolicy of Istio. */
export interface Authorization {
  readonly resource: Resource;
  readonly action: string;
  readonly provider: string | undefined;
  readonly isDryRun: boolean;
  readonly selector: Labels;
  readonly targets: readonly Readonly<Record<string, unknown>>[];
  readonly rules: readonly AuthorizationRule[];
}

export interface ForeignMesh {
  readonly settings: Settings;
  readonly resources: readonly Resource[];
  /** Namespaces that are among the resources, with their labels. */
  readonly namespaces: ReadonlyMap<string, Labels>;
  readonly workloads: readonly Workload[];
  readonly services: readonly Service[];
  readonly authorizations: readonly Authorization[];
  /** Istio's resources of a kind. */
  istio(kind: string): readonly Resource[];
  /** Kinds of any other group. */
  kind(kind: string, group?: string): readonly Resource[];
}

const WORKLOADS = ['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'Job', 'CronJob'];
const GATEWAY_LABEL = 'gateway.networking.k8s.io/gateway-name';

export function readMesh(resources: readonly Resource[], given: Partial<Settings> = {}): ForeignMesh {
  const settings = readSettings(resources, given);
  const namespaces = new Map(
    resources.filter(({ kind, apiVersion }) => kind === 'Namespace' && apiVersion === 'v1').map(({ name, labels }) => [name, labels]),
  );
  return {
    settings,
    resources,
    namespaces,
    workloads: resources.flatMap((resource) => toWorkload(resource, resources, namespaces)),
    services: resources.filter(({ kind, apiVersion }) => kind === 'Service' && apiVersion === 'v1').map(toService),
    authorizations: resources.filter((each) => isIstio(each, 'AuthorizationPolicy')).map(readAuthorization),
    istio: (kind) => resources.filter((each) => isIstio(each, kind)),
    kind: (kind, group) =>
      resources.filter((each) => each.kind === kind && (group === undefined || each.apiVersion.startsWith(`${group}/`))),
  };
}

export function isIstio(resource: Resource, kind: string): boolean {
  return resource.kind === kind && /^[a-z.]*istio\.io\//.test(resource.apiVersion);
}

/** What flags say, else what the installation's own resources say, else Istio's defaults. */
function readSettings(resources: readonly Resource[], given: Partial<Settings>): Settings {
  const rootNamespace = given.rootNamespace ?? 'istio-system';
  const config = meshConfigOf(resources, rootNamespace);
  const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
  const inner = (key: string): Readonly<Record<string, unknown>> => (isMap(config[key]) ? config[key] : {});
  const trustDomain = given.trustDomain ?? text(config['trustDomain']) ?? 'cluster.local';
  const trustDomainAliases = given.trustDomainAliases ?? textList(config['trustDomainAliases']) ?? [];
  const topology = isMap(inner('defaultConfig')['gatewayTopology']) ? inner('defaultConfig')['gatewayTopology'] : {};
  const trusted = isMap(topology) ? topology['numTrustedProxies'] : undefined;
  return {
    rootNamespace,
    trustDomain,
    trustDomainAliases,
    pathNormalization:
      given.pathNormalization ?? (text(inner('pathNormalization')['normalization'])?.replace('DEFAULT', 'BASE') as Normalization) ?? 'BASE',
    autoMtls: given.autoMtls ?? config['enableAutoMtls'] !== false,
    isOutboundOpen: given.isOutboundOpen ?? inner('outboundTrafficPolicy')['mode'] !== 'REGISTRY_ONLY',
    blockedCidrs: given.blockedCidrs ?? blockedCidrsOf(resources),
    trustedProxies: given.trustedProxies ?? (typeof trusted === 'number' ? trusted : undefined),
    version: given.version,
    knownTrustDomains: given.knownTrustDomains ?? [trustDomain, 'cluster.local', ...trustDomainAliases],
    remoteAccounts: given.remoteAccounts ?? [],
    accounts: given.accounts,
  };
}

/** `meshConfig` of the ConfigMap `istio`, which is YAML inside YAML. */
function meshConfigOf(resources: readonly Resource[], rootNamespace: string): Readonly<Record<string, unknown>> {
  const map = resources.find(
    (each) =>
      each.kind === 'ConfigMap' && each.namespace === rootNamespace && /^istio(?:-.*)?$/.test(each.name) && isMap(each.data['data']),
  );
  const text = isMap(map?.data['data']) ? map.data['data']['mesh'] : undefined;
  const data = typeof text === 'string' ? parseYaml('mesh', text).documents[0]?.data : undefined;
  return isMap(data) ? data : {};
}

function blockedCidrsOf(resources: readonly Resource[]): string | undefined {
  const pilot = resources.filter(({ kind, labels, name }) => kind === 'Deployment' && (labels['app'] === 'istiod' || name === 'istiod'));
  const variables = pilot.flatMap((each) =>
    podSpecs(each).flatMap((pod) => (mapList(pod['containers']) ?? []).flatMap((container) => mapList(container['env']) ?? [])),
  );
  const value = variables.find(({ name }) => name === 'BLOCKED_CIDRS_IN_JWKS_URIS')?.['value'];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** The pod of a resource, or of its template: none or one. */
export function podSpecs(resource: Resource): Readonly<Record<string, unknown>>[] {
  const { spec } = templateOf(resource) ?? {};
  return isMap(spec) ? [spec] : [];
}

function templateOf(resource: Resource): Readonly<Record<string, unknown>> | undefined {
  if (resource.kind === 'Pod') return resource.data;
  if (!WORKLOADS.includes(resource.kind)) return undefined;
  const spec = specOf(resource);
  const job = isMap(spec['jobTemplate']) && isMap(spec['jobTemplate']['spec']) ? spec['jobTemplate']['spec'] : spec;
  return isMap(job['template']) ? job['template'] : undefined;
}

function toWorkload(resource: Resource, resources: readonly Resource[], namespaces: ReadonlyMap<string, Labels>): Workload[] {
  const template = templateOf(resource);
  if (template === undefined) return [];
  const metadata = isMap(template['metadata']) ? template['metadata'] : {};
  const labels = texts(metadata['labels']);
  const pod = isMap(template['spec']) ? template['spec'] : {};
  const namespace = resource.namespace ?? 'default';
  const above = namespaces.get(namespace) ?? {};
  const gatewayName = labels[GATEWAY_LABEL];
  const gateway = resources.find((each) => each.kind === 'Gateway' && each.name === gatewayName && each.namespace === resource.namespace);
  const isWaypoint = gateway !== undefined && specOf(gateway)['gatewayClassName'] === 'istio-waypoint';
  const mode = labels['istio.io/dataplane-mode'] ?? above['istio.io/dataplane-mode'];
  const waypoint = labels['istio.io/use-waypoint'] ?? above['istio.io/use-waypoint'];
  const account = pod['serviceAccountName'];
  return [
    {
      resource,
      name: resource.name,
      namespace,
      labels,
      serviceAccount: typeof account === 'string' && account !== '' ? account : 'default',
      ports: (mapList(pod['containers']) ?? [])
        .flatMap((container) => mapList(container['ports']) ?? [])
        .map(({ containerPort, name }) => ({ number: numberOf(containerPort), name: typeof name === 'string' ? name : undefined })),
      gateway: gatewayName === undefined ? undefined : isWaypoint ? 'waypoint' : 'gateway',
      enforcement: mode === 'ambient' ? 'ztunnel' : 'sidecar',
      hasWaypoint: waypoint !== undefined && waypoint !== 'none',
    },
  ];
}

const numberOf = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined);

function toService(resource: Resource): Service {
  const spec = specOf(resource);
  return {
    resource,
    name: resource.name,
    namespace: resource.namespace ?? 'default',
    selector: texts(spec['selector']),
    ports: (mapList(spec['ports']) ?? []).map((port) => {
      const number = numberOf(port['port']) ?? 0;
      const target = port['targetPort'];
      const name = typeof port['name'] === 'string' ? port['name'] : undefined;
      return {
        name,
        port: number,
        target: typeof target === 'number' || typeof target === 'string' ? target : number,
        protocol: protocolOf(typeof port['appProtocol'] === 'string' ? port['appProtocol'] : name),
      };
    }),
  };
}

/** Istio's protocol selection: `<protocol>[-<suffix>]`. */
function protocolOf(name: string | undefined): Protocol {
  const word = (name ?? '')
    .toLowerCase()
    .replace(/^kubernetes\.io\//, '')
    .replace(/^h2c$/, 'http2');
  if (/^(?:http|http2|grpc|grpc-web)(?:-|$)/.test(word)) return 'http';
  if (/^(?:tcp|tls|https|mongo|redis|mysql|postgres|udp)(?:-|$)/.test(word)) return 'tcp';
  return 'detect';
}

/** What is written in an AuthorizationPolicy, whatever it is worth. */
export function readAuthorization(resource: Resource): Authorization {
  const spec = specOf(resource);
  const provider = isMap(spec['provider']) ? spec['provider']['name'] : undefined;
  const action = typeof spec['action'] === 'string' ? spec['action'] : 'ALLOW';
  const clauses = (rule: Readonly<Record<string, unknown>>, key: 'from' | 'to', inner: string, path: Path): Field[][] | undefined =>
    mapList(rule[key])?.map((item, i) => fieldsOf(isMap(item[inner]) ? item[inner] : {}, [...path, key, i, inner]));
  return {
    resource,
    action,
    provider: typeof provider === 'string' ? provider : undefined,
    isDryRun: resource.annotations['istio.io/dry-run'] === 'true' && (action === 'ALLOW' || action === 'DENY'),
    selector: matchLabelsOf(spec['selector']),
    targets: targetsOf(spec),
    rules: (mapList(spec['rules']) ?? []).map((rule, i) => {
      const path = ['spec', 'rules', i];
      return {
        path,
        from: clauses(rule, 'from', 'source', path),
        to: clauses(rule, 'to', 'operation', path),
        when: (mapList(rule['when']) ?? []).flatMap((condition, k) => {
          const name = String(condition['key'] ?? '');
          return (['values', 'notValues'] as const).flatMap((key) => {
            const values = textList(condition[key]);
            return values === undefined ? [] : [{ name, isNot: key === 'notValues', values, path: [...path, 'when', k, key] }];
          });
        }),
      };
    }),
  };
}

function fieldsOf(clause: Readonly<Record<string, unknown>>, path: Path): Field[] {
  return Object.entries(clause).flatMap(([key, value]) => {
    const values = textList(value);
    if (values === undefined) return [];
    const isNot = /^not[A-Z]/.test(key);
    return [{ name: isNot ? key.charAt(3).toLowerCase() + key.slice(4) : key, isNot, values, path: [...path, key] }];
  });
}

/** Every field of a rule: those of its sources and operations, and its conditions. */
export function fieldsIn({ from, to, when }: AuthorizationRule): Field[] {
  return [...(from ?? []).flat(), ...(to ?? []).flat(), ...when];
}

/** Fields that only HTTP has: on a raw TCP port they cannot be judged. */
export function isHttpField({ name }: Field): boolean {
  return ['hosts', 'methods', 'paths', 'requestPrincipals'].includes(name) || name.startsWith('request.');
}

/** Fields that speak of who the peer's certificate says it is. */
export function isIdentityField({ name }: Field): boolean {
  return [
    'principals',
    'namespaces',
    'serviceAccounts',
    'trustDomains',
    'source.principal',
    'source.namespace',
    'source.serviceAccount',
    'source.trustDomain',
  ].includes(name);
}

/** The workloads that a policy without `targetRefs` selects. */
export function selectedBy(mesh: ForeignMesh, namespace: string | undefined, selector: Labels): Workload[] {
  const isMeshWide = namespace === mesh.settings.rootNamespace;
  return mesh.workloads.filter((each) => (isMeshWide || each.namespace === (namespace ?? 'default')) && hasLabels(each.labels, selector));
}

/** What a Service's port says of a workload's port; undefined where no Service leads to it. */
export function protocolAt(mesh: ForeignMesh, workload: Workload, port: Port): Protocol | undefined {
  const found = mesh.services
    .filter(
      (service) =>
        service.namespace === workload.namespace &&
        Object.keys(service.selector).length > 0 &&
        hasLabels(workload.labels, service.selector),
    )
    .flatMap((service) => service.ports)
    .filter(({ target }) => target === port.number || target === port.name);
  return found[0]?.protocol;
}

export type TlsMode = 'DISABLE' | 'PERMISSIVE' | 'STRICT';

/** The mode of the most specific PeerAuthentication that says one; undefined when none does (PERMISSIVE, then). `port` is the workload's. */
export function peerMode(
  mesh: ForeignMesh | { readonly resources: readonly Resource[]; readonly settings: { readonly rootNamespace: string } },
  { namespace, labels }: { readonly namespace: string; readonly labels: Labels | undefined },
  port?: number,
): TlsMode | undefined {
  const said = (value: unknown): TlsMode | undefined => {
    const mode = isMap(value) ? value['mode'] : undefined;
    return mode === 'DISABLE' || mode === 'PERMISSIVE' || mode === 'STRICT' ? mode : undefined;
  };
  const peers = mesh.resources.filter((each) => isIstio(each, 'PeerAuthentication'));
  const here = peers.filter((each) => each.namespace === namespace);
  const selectorOf = (each: Resource): Labels => matchLabelsOf(specOf(each)['selector']);
  const hasSelector = (each: Resource): boolean => Object.keys(selectorOf(each)).length > 0;
  const own = labels === undefined ? undefined : here.find((each) => hasSelector(each) && hasLabels(labels, selectorOf(each)));
  const wide = here.find((each) => !hasSelector(each));
  const root = peers.find((each) => each.namespace === mesh.settings.rootNamespace && !hasSelector(each));
  const ports = own === undefined ? undefined : specOf(own)['portLevelMtls'];
  const atPort = port !== undefined && isMap(ports) ? said(ports[String(port)]) : undefined;
  return (
    atPort ??
    [own, wide, root].map((each) => (each === undefined ? undefined : said(specOf(each)['mtls']))).find((mode) => mode !== undefined)
  );
}
