// The file of `meshctl proxy run` and its policy → what the proxy process starts with. Pure: no file is read here.
//
// The proxy's own identity is that of its certificate; policies name it and its callers as in any mesh.

import { type Finding, reaches } from '../base/finding.ts';
import { contentVersion } from '../base/hash.ts';
import { parseSpiffeId, printSpiffeId, type SpiffeId } from '../mesh/identity.ts';
import type { ProxyFile } from '../mesh/proxy-file.ts';
import { addressKey, NO_REVOCATIONS, type ProxySnapshot, type Upstream } from '../mesh/snapshot.ts';
import { DEFAULT_TTL_MS, type MeshSpec, type ServiceSpec } from '../mesh/spec.ts';
import { resolveTraffic, type TrafficText } from '../mesh/traffic-spec.ts';
import { compilePolicy, emptyPolicy } from '../policy/compile.ts';
import type { PolicyText } from '../policy/document.ts';
import { policyFor } from '../policy/evaluate.ts';
import { lintPolicy } from '../policy/lint.ts';

/** Services of the own namespace may be named in the policy; `findings` are those of the policy, and a snapshot is there unless one is an error. */
export function standaloneSnapshot(
  proxy: ProxyFile,
  self: SpiffeId,
  policy: readonly PolicyText[],
): { snapshot: ProxySnapshot | undefined; findings: Finding[] } {
  const mesh = meshOf(proxy, self);
  const { document, findings } = lintPolicy(policy, mesh);
  const wrong = findings.filter((finding) => finding.severity === 'error');
  if (reaches(wrong, 'error')) return { snapshot: undefined, findings: wrong };
  const spiffeId = printSpiffeId(self);
  const compiled = policy.length === 0 ? emptyPolicy(self.trustDomain) : compilePolicy(document, wrong, mesh, 1);
  const content = {
    spiffeId,
    service: self.service ?? spiffeId,
    ...(proxy.zone === undefined ? {} : { zone: proxy.zone }),
    upstreams: Object.entries(proxy.services).map(
      ([service, { identity, protocol, endpoints, addresses, traffic }]): Upstream => ({
        service,
        portName: protocol === 'tcp' ? 'tcp' : 'http',
        protocol,
        spiffeId: identity,
        endpoints: endpoints.map((endpoint, i) => ({ instance: `${service}-${i}`, ...endpoint })),
        addresses: addresses.map(addressKey),
        ...trafficOf(traffic),
      }),
    ),
    ingressRoutes: proxy.routes,
    policy: policyFor(compiled, spiffeId),
    revoked: NO_REVOCATIONS,
    tracing: proxy.tracing,
  };
  return { snapshot: { version: contentVersion(content), ...content }, findings: [] };
}

// What the policy may call by name: the services of the file that live in the own namespace, and the proxy's own.
function meshOf(proxy: ProxyFile, self: SpiffeId): MeshSpec {
  const names = Object.values(proxy.services).flatMap(({ identity }) => {
    const id = parseSpiffeId(identity);
    return id?.trustDomain === self.trustDomain && id.namespace === self.namespace && id.service !== undefined ? [id.service] : [];
  });
  const service = (name: string): ServiceSpec => ({
    name,
    command: [],
    cwd: '.',
    env: {},
    instances: 1,
    zones: [],
    ports: [],
    tier: undefined,
    calls: [],
    ready: { path: undefined, timeoutMs: 0 },
    restart: 'never',
    encodedSlash: 'refuse',
    workloadApi: false,
    ...trafficOf(undefined),
  });
  return {
    name: 'proxy',
    trustDomain: self.trustDomain,
    namespace: self.namespace ?? 'default',
    ingress: undefined,
    services: Object.fromEntries([...names, ...(self.service === undefined ? [] : [self.service])].map((name) => [name, service(name)])),
    policy: [],
    certificateTtlMs: DEFAULT_TTL_MS,
    retentionMs: 0,
    tracing: proxy.tracing,
  };
}

function trafficOf(text: TrafficText | undefined): Pick<Upstream, 'traffic' | 'trafficRoutes'> {
  const { traffic, routes } = resolveTraffic(text);
  return { traffic, trafficRoutes: routes };
}
