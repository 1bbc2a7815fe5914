// What Linkerd refuses at admission: Server, ServerAuthorization, AuthorizationPolicy, MeshTLSAuthentication, NetworkAuthentication,
// HTTPRoute and HTTPLocalRateLimitPolicy.
// Source: linkerd2 policy-controller/src/admission.rs and policy-test/tests/admit_*.rs.
import type { Finding } from '../../../base/finding.ts';
import { contains, isBlock } from '../ip.ts';
import { isMap, mapList, type Resource, specOf, textList } from '../resources.ts';

type Path = readonly (string | number)[];
type Map = Readonly<Record<string, unknown>>;

/** Findings of one resource; an error means that Linkerd would not take it. Undefined for kinds that are not judged here. */
export function validateLinkerd(resource: Resource): Finding[] | undefined {
  if (!/^(?:policy\.linkerd\.io|gateway\.networking\.k8s\.io)\//.test(resource.apiVersion)) return undefined;
  const check = CHECKS[resource.kind];
  if (check === undefined) return undefined;
  const findings: Finding[] = [];
  const spec = specOf(resource);
  check(
    spec,
    (path, what) => {
      findings.push({ rule: 'linkerd-schema', severity: 'error', what, place: resource.place(['spec', ...path]) });
    },
    resource,
  );
  return findings;
}

type Fail = (path: Path, what: string) => void;

const PROTOCOLS = ['unknown', 'HTTP/1', 'HTTP/2', 'gRPC', 'opaque', 'TLS'];
const ACCESS = ['all-authenticated', 'all-unauthenticated', 'cluster-authenticated', 'cluster-unauthenticated', 'deny', 'audit'];

const CHECKS: Readonly<Record<string, (spec: Map, fail: Fail, resource: Resource) => void>> = {
  Server: (spec, fail) => {
    if (isMap(spec['podSelector']) === isMap(spec['externalWorkloadSelector']))
      fail([], 'exactly one of `podSelector` and `externalWorkloadSelector` is wanted');
    for (const key of ['podSelector', 'externalWorkloadSelector']) if (isMap(spec[key])) expressions([key], spec[key], fail);
    port(['port'], spec['port'], fail);
    if (spec['proxyProtocol'] !== undefined && !PROTOCOLS.includes(String(spec['proxyProtocol'])))
      fail(['proxyProtocol'], `\`proxyProtocol\` is one of ${PROTOCOLS.join(', ')}`);
    if (spec['accessPolicy'] !== undefined && !ACCESS.includes(String(spec['accessPolicy'])))
      fail(['accessPolicy'], `\`accessPolicy\` is one of ${ACCESS.join(', ')}`);
  },
  ServerAuthorization: (spec, fail) => {
    const server = isMap(spec['server']) ? spec['server'] : {};
    if ((typeof server['name'] === 'string') === isMap(server['selector']))
      fail(['server'], 'exactly one of `name` and `selector` is wanted');
    const client = isMap(spec['client']) ? spec['client'] : {};
    networks(['client', 'networks'], client['networks'], fail);
    const tls = client['meshTLS'];
    if (client['unauthenticated'] === true && tls !== undefined) fail(['client'], '`unauthenticated` and `meshTLS` exclude each other');
    if (client['unauthenticated'] !== true && !isMap(tls)) fail(['client'], '`unauthenticated` or `meshTLS` is wanted');
    if (!isMap(tls)) return;
    const path = ['client', 'meshTLS'];
    const named = [tls['identities'], tls['serviceAccounts']].some((each) => each !== undefined);
    if (tls['unauthenticatedTLS'] === true && named) fail(path, '`unauthenticatedTLS` excludes `identities` and `serviceAccounts`');
    if (tls['unauthenticatedTLS'] !== true && !named) fail(path, '`identities`, `serviceAccounts` or `unauthenticatedTLS` is wanted');
    identities([...path, 'identities'], tls['identities'], fail);
  },
  AuthorizationPolicy: (spec, fail, { namespace }) => {
    const target = isMap(spec['targetRef']) ? spec['targetRef'] : undefined;
    if (target === undefined) return fail(['targetRef'], '`targetRef` is wanted');
    const kind = `${group(target)}/${String(target['kind']).toLowerCase()}`;
    if (!TARGETS.has(kind))
      fail(['targetRef'], `\`${target['kind']}\` cannot be targeted: a Server, HTTPRoute, GRPCRoute or Namespace can`);
    if (kind === '/namespace' && target['name'] !== namespace)
      fail(['targetRef'], `only the policy's own namespace can be targeted, not \`${target['name']}\``);
    if (target['namespace'] !== undefined && target['namespace'] !== namespace)
      fail(['targetRef'], 'a target lies in the namespace of the policy');
    const refs = mapList(spec['requiredAuthenticationRefs']);
    if (refs === undefined) return fail(['requiredAuthenticationRefs'], '`requiredAuthenticationRefs` is wanted');
    const counted = (kinds: readonly string[]): number =>
      refs.filter((ref) => kinds.includes(`${group(ref)}/${String(ref['kind']).toLowerCase()}`)).length;
    if (counted(['policy.linkerd.io/meshtlsauthentication', '/serviceaccount']) > 1)
      fail(['requiredAuthenticationRefs'], 'at most one MeshTLSAuthentication or ServiceAccount');
    if (counted(['policy.linkerd.io/networkauthentication']) > 1) fail(['requiredAuthenticationRefs'], 'at most one NetworkAuthentication');
    refs.forEach((ref, i) => {
      if (!AUTHENTICATIONS.has(`${group(ref)}/${String(ref['kind']).toLowerCase()}`))
        fail(['requiredAuthenticationRefs', i], `\`${ref['kind']}\` authenticates nobody`);
    });
  },
  MeshTLSAuthentication: (spec, fail) => {
    const refs = mapList(spec['identityRefs']);
    const named = textList(spec['identities']);
    if ((refs === undefined) === (named === undefined)) fail([], 'exactly one of `identities` and `identityRefs` is wanted');
    if (refs?.length === 0 || named?.length === 0) fail([], 'at least one identity is wanted');
    identities(['identities'], spec['identities'], fail);
    refs?.forEach((ref, i) => {
      const kind = `${group(ref)}/${String(ref['kind']).toLowerCase()}`;
      if (kind !== '/serviceaccount' && kind !== '/namespace')
        fail(['identityRefs', i], `\`${ref['kind']}\` is no identity: a ServiceAccount or a Namespace is`);
      if (kind === '/namespace' && ref['namespace'] !== undefined)
        fail(['identityRefs', i, 'namespace'], 'a Namespace lies in no namespace');
    });
  },
  NetworkAuthentication: (spec, fail) => {
    if (spec['networks'] === undefined) fail(['networks'], 'at least one network is wanted');
    networks(['networks'], spec['networks'], fail);
  },
  HTTPRoute: (spec, fail) => {
    (mapList(spec['parentRefs']) ?? []).forEach((parent, i) => {
      if (parent['kind'] === 'EgressNetwork' && parent['port'] === undefined) fail(['parentRefs', i], 'an EgressNetwork wants a `port`');
    });
    (mapList(spec['rules']) ?? []).forEach((rule, i) => {
      (mapList(rule['matches']) ?? []).forEach((match, k) => {
        const path = isMap(match['path']) ? match['path'] : {};
        if (
          ['Exact', 'PathPrefix'].includes(String(path['type'] ?? 'PathPrefix')) &&
          path['value'] !== undefined &&
          !String(path['value']).startsWith('/')
        )
          fail(['rules', i, 'matches', k, 'path'], 'a path starts with `/`');
      });
      (mapList(rule['filters']) ?? []).forEach((filter, k) => {
        const redirect = isMap(filter['requestRedirect']) ? filter['requestRedirect'] : {};
        const path = isMap(redirect['path']) ? redirect['path'] : {};
        for (const key of ['replaceFullPath', 'replacePrefixMatch'])
          if (path[key] !== undefined && !String(path[key]).startsWith('/'))
            fail(['rules', i, 'filters', k, 'requestRedirect', 'path', key], 'a path starts with `/`');
      });
    });
  },
  HTTPLocalRateLimitPolicy: (spec, fail) => {
    const rate = (value: unknown): number | undefined =>
      isMap(value) && typeof value['requestsPerSecond'] === 'number' ? value['requestsPerSecond'] : undefined;
    const total = rate(spec['total']);
    const target = isMap(spec['targetRef']) ? spec['targetRef'] : {};
    if (`${group(target)}/${String(target['kind']).toLowerCase()}` !== 'policy.linkerd.io/server')
      fail(['targetRef'], 'a Server is targeted');
    if (total === undefined) return;
    if ((rate(spec['identity']) ?? 0) > total) fail(['identity'], 'an identity gets more than the total');
    (mapList(spec['overrides']) ?? []).forEach((override, i) => {
      if ((rate(override) ?? 0) > total) fail(['overrides', i], 'an override gives more than the total');
    });
  },
};

const TARGETS = new Set([
  'policy.linkerd.io/server',
  'policy.linkerd.io/httproute',
  'policy.linkerd.io/grpcroute',
  'gateway.networking.k8s.io/httproute',
  'gateway.networking.k8s.io/grpcroute',
  '/namespace',
]);
const AUTHENTICATIONS = new Set(['policy.linkerd.io/meshtlsauthentication', 'policy.linkerd.io/networkauthentication', '/serviceaccount']);

/** The core group has no name, or that of its first version. */
function group(ref: Map): string {
  const text = typeof ref['group'] === 'string' ? ref['group'] : '';
  return text === 'core' ? '' : text;
}

function port(path: Path, value: unknown, fail: Fail): void {
  if (
    typeof value === 'number'
      ? !Number.isInteger(value) || value < 1 || value > 65_535
      : typeof value !== 'string' || !/^[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$/.test(value)
  )
    fail(path, 'a port is a number from 1 to 65535, or a name');
}

function expressions(path: Path, selector: Map, fail: Fail): void {
  (mapList(selector['matchExpressions']) ?? []).forEach((expression, i) => {
    const at = [...path, 'matchExpressions', i];
    const operator = String(expression['operator']);
    const values = textList(expression['values']) ?? [];
    if (!['In', 'NotIn', 'Exists', 'DoesNotExist'].includes(operator)) fail(at, `\`${operator}\` is no operator`);
    else if (operator.endsWith('In') && values.length === 0) fail(at, `\`${operator}\` wants values`);
    else if (operator.endsWith('st') && values.length > 0) fail(at, `\`${operator}\` takes no values`);
  });
}

function networks(path: Path, value: unknown, fail: Fail): void {
  const list = mapList(value);
  if (list?.length === 0) fail(path, 'at least one network is wanted');
  list?.forEach((network, i) => {
    const cidr = String(network['cidr'] ?? '');
    if (isBlock(cidr)) excepts([...path, i, 'except'], cidr, textList(network['except']) ?? [], fail);
    else fail([...path, i, 'cidr'], `\`${cidr}\` is no network`);
  });
}

function excepts(path: Path, cidr: string, blocks: readonly string[], fail: Fail): void {
  blocks.forEach((except, i) => {
    if (!isBlock(except)) fail([...path, i], `\`${except}\` is no network`);
    else if (contains(except, cidr)) fail([...path, i], `\`${except}\` leaves nothing of \`${cidr}\``);
    else if (!contains(cidr, except)) fail([...path, i], `\`${except}\` is not inside \`${cidr}\``);
  });
}

const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const DNS = new RegExp(`^(?:\\*|(?:\\*\\.)?${LABEL}(?:\\.${LABEL})*)$`);
const SPIFFE = /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/[A-Za-z0-9._-]+)*$/;

function identities(path: Path, value: unknown, fail: Fail): void {
  (textList(value) ?? []).forEach((identity, i) => {
    const isSpiffe = SPIFFE.test(identity) && !identity.split('/').some((segment) => segment === '.' || segment === '..');
    if (!isSpiffe && !DNS.test(identity))
      fail([...path, i], `\`${identity}\` is no identity: a DNS-like name, \`*\`, \`*.suffix\` or \`spiffe://…\``);
  });
}
