// Policies of Istio and Linkerd, judged by their own semantics: what their documentation says, above all where it surprises.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decideIstio } from '../../src/policy/foreign/istio/decide.ts';
import { normalizeIstioPath } from '../../src/policy/foreign/istio/path.ts';
import { decideLinkerd } from '../../src/policy/foreign/linkerd/decide.ts';
import type { ForeignDecision, ForeignRequest } from '../../src/policy/foreign/request.ts';
import { readResources } from '../../src/policy/foreign/resources.ts';
import { lintForeign } from '../../src/policy/foreign.ts';
import { lintPolicy } from '../../src/policy/lint.ts';

const REQUEST: ForeignRequest = {
  source: { identity: 'spiffe://cluster.local/ns/shop/sa/web', namespace: 'shop', serviceAccount: 'web', ip: '10.0.0.7' },
  destination: {
    workload: 'pay-1',
    namespace: 'pay',
    labels: { app: 'pay' },
    service: 'pay.pay.svc.cluster.local',
    ip: '10.0.1.1',
    port: 8080,
    portName: 'http',
    enforcement: 'sidecar',
  },
  http: { method: 'GET', path: '/charge', host: 'pay', headers: { 'x-role': 'admin' } },
  sni: undefined,
  remoteIp: undefined,
  authorizers: {},
};
const TCP = { ...REQUEST, http: undefined };
const PLAIN = { ...REQUEST, source: { ...REQUEST.source, identity: undefined } };
const at = (enforcement: 'ztunnel' | 'waypoint', request: ForeignRequest = REQUEST): ForeignRequest => ({
  ...request,
  destination: { ...request.destination, enforcement },
});
const get = (path: string): ForeignRequest => ({ ...REQUEST, http: { method: 'GET', path, host: 'pay', headers: {} } });

const policy = (spec: string, more = ''): string =>
  `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: pay${more}}\nspec: ${spec}\n`;
const peer = (spec: string, namespace = 'pay'): string =>
  `apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: q, namespace: ${namespace}}\nspec: ${spec}\n`;

function istio(texts: readonly string[], request: ForeignRequest): ForeignDecision {
  const { resources, findings } = readResources([{ file: 'i.yaml', text: texts.join('---\n') }]);
  assert.deepEqual(findings, []);
  const context = {
    rootNamespace: 'istio-system',
    trustDomain: 'cluster.local',
    trustDomainAliases: ['old.local'],
    pathNormalization: 'BASE' as const,
  };
  return decideIstio(resources, context, request);
}

const WEB = 'rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]}]';
for (const [title, texts, request, decision] of [
  ['no policy at all', [], REQUEST, 'allow'],
  ['`spec: {}` allows nothing', [policy('{}')], REQUEST, 'deny'],
  ['`rules: [{}]` allows everything', [policy('{rules: [{}]}')], PLAIN, 'allow'],
  ['a policy of another namespace', [policy('{}').replace('namespace: pay', 'namespace: other')], REQUEST, 'allow'],
  ['a policy of the root namespace', [policy('{}').replace('namespace: pay', 'namespace: istio-system')], REQUEST, 'deny'],
  ['a selector that does not fit', [policy('{selector: {matchLabels: {app: other}}}')], REQUEST, 'allow'],
  ['a principal', [policy(`{${WEB}}`)], REQUEST, 'allow'],
  ['a principal, without mTLS', [policy(`{${WEB}}`)], PLAIN, 'deny'],
  [
    'a principal written with its scheme never matches',
    [policy('{rules: [{from: [{source: {principals: ["spiffe://cluster.local/ns/shop/sa/web"]}}]}]}')],
    REQUEST,
    'deny',
  ],
  ['a principal under an alias of the trust domain', [policy(`{${WEB.replace('cluster.local', 'old.local')}}`)], REQUEST, 'allow'],
  ['a principal of another trust domain', [policy(`{${WEB.replace('cluster.local', 'other.org')}}`)], REQUEST, 'deny'],
  ['ALLOW with `notNamespaces` lets plaintext in', [policy('{rules: [{from: [{source: {notNamespaces: [dev]}}]}]}')], PLAIN, 'allow'],
  [
    'DENY with `namespaces` does not stop plaintext',
    [policy('{action: DENY, rules: [{from: [{source: {namespaces: [shop]}}]}]}')],
    PLAIN,
    'allow',
  ],
  [
    'DENY `notPrincipals: ["*"]` stops plaintext',
    [policy('{action: DENY, rules: [{from: [{source: {notPrincipals: ["*"]}}]}]}')],
    PLAIN,
    'deny',
  ],
  [
    'two fields of one source are AND',
    [policy('{rules: [{from: [{source: {namespaces: [shop], principals: [cluster.local/ns/shop/sa/other]}}]}]}')],
    REQUEST,
    'deny',
  ],
  [
    'two sources are OR',
    [policy('{rules: [{from: [{source: {namespaces: [shop]}}, {source: {principals: [x/ns/y/sa/z]}}]}]}')],
    REQUEST,
    'allow',
  ],
  ['a namespace with a star inside', [policy('{rules: [{from: [{source: {namespaces: ["s*p"]}}]}]}')], REQUEST, 'allow'],
  [
    'a service account without namespace is of the policy’s own',
    [policy('{rules: [{from: [{source: {serviceAccounts: [web]}}]}]}')],
    REQUEST,
    'deny',
  ],
  ['a service account with its namespace', [policy('{rules: [{from: [{source: {serviceAccounts: [shop/web]}}]}]}')], REQUEST, 'allow'],
  ['a request principal, and no token came', [policy('{rules: [{from: [{source: {requestPrincipals: ["*"]}}]}]}')], REQUEST, 'deny'],
  [
    'DENY beats ALLOW',
    [policy('{rules: [{}]}'), policy('{action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]}')],
    REQUEST,
    'deny',
  ],
  [
    'DENY with another spelling of a path does not match',
    [policy('{action: DENY, rules: [{to: [{operation: {paths: [/charge]}}]}]}')],
    get('/charge/'),
    'allow',
  ],
  [
    'DENY with a spelling that is normalised away',
    [policy('{action: DENY, rules: [{to: [{operation: {paths: [/charge]}}]}]}')],
    get('/x/../%63harge'),
    'deny',
  ],
  ['a template of one segment', [policy('{rules: [{to: [{operation: {paths: ["/a/{*}/c"]}}]}]}')], get('/a/b/c'), 'allow'],
  ['a template of one segment, and two came', [policy('{rules: [{to: [{operation: {paths: ["/a/{*}/c"]}}]}]}')], get('/a/b/b/c'), 'deny'],
  ['a template of the rest, and nothing came', [policy('{rules: [{to: [{operation: {paths: ["/a/{**}"]}}]}]}')], get('/a'), 'deny'],
  ['a header condition', [policy('{rules: [{when: [{key: "request.headers[X-Role]", values: [admin]}]}]}')], REQUEST, 'allow'],
  [
    'a header that must not be, and is absent',
    [policy('{rules: [{when: [{key: "request.headers[x-none]", notValues: [a]}]}]}')],
    REQUEST,
    'allow',
  ],
  ['a port that is the Service’s and not the workload’s', [policy('{rules: [{to: [{operation: {ports: ["80"]}}]}]}')], REQUEST, 'deny'],
  [
    'TCP: an ALLOW rule with an HTTP field allows nothing',
    [policy('{rules: [{to: [{operation: {methods: [GET], ports: ["8080"]}}]}]}')],
    TCP,
    'deny',
  ],
  [
    'TCP: a DENY rule loses its HTTP fields and denies everything',
    [policy('{action: DENY, rules: [{to: [{operation: {methods: [POST]}}]}]}')],
    TCP,
    'deny',
  ],
  [
    'TCP: a DENY rule keeps its port',
    [policy('{action: DENY, rules: [{to: [{operation: {methods: [POST], ports: ["9"]}}]}]}')],
    TCP,
    'allow',
  ],
  [
    'ztunnel: a DENY with only HTTP fields does nothing',
    [policy('{action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]}')],
    at('ztunnel'),
    'allow',
  ],
  [
    'ztunnel: an ALLOW with an HTTP field allows nothing',
    [policy('{rules: [{to: [{operation: {methods: [GET]}}]}]}')],
    at('ztunnel'),
    'deny',
  ],
  [
    'ztunnel: a trust domain is passed over',
    [policy('{rules: [{from: [{source: {namespaces: [shop], trustDomains: [other.org]}}]}]}')],
    at('ztunnel'),
    'allow',
  ],
  ['a waypoint passes over selectors', [policy('{selector: {matchLabels: {app: pay}}}')], at('waypoint'), 'allow'],
  [
    'a waypoint takes what is attached to the Service',
    [policy('{targetRefs: [{kind: Service, group: "", name: pay}]}')],
    at('waypoint'),
    'deny',
  ],
  [
    'a sidecar passes over what is attached to the Service',
    [policy('{targetRefs: [{kind: Service, group: "", name: pay}]}')],
    REQUEST,
    'allow',
  ],
  ['a dry run decides nothing', [policy('{}', ', annotations: {istio.io/dry-run: "true"}')], REQUEST, 'allow'],
  ['an external authorizer that nobody asked', [policy('{action: CUSTOM, provider: {name: ext}, rules: [{}]}')], REQUEST, 'unknown'],
  [
    'an external authorizer, and a DENY that holds anyway',
    [policy('{action: CUSTOM, provider: {name: ext}, rules: [{}]}'), policy('{action: DENY, rules: [{}]}')],
    REQUEST,
    'deny',
  ],
  [
    'an external authorizer that is not asked about this',
    [policy('{action: CUSTOM, provider: {name: ext}, rules: [{to: [{operation: {paths: [/x]}}]}]}')],
    REQUEST,
    'allow',
  ],
  ['STRICT, without mTLS', [peer('{mtls: {mode: STRICT}}')], PLAIN, 'deny'],
  [
    'STRICT for the mesh, PERMISSIVE for the namespace',
    [peer('{mtls: {mode: STRICT}}', 'istio-system'), peer('{mtls: {mode: PERMISSIVE}}')],
    PLAIN,
    'allow',
  ],
  ['STRICT, and UNSET for the namespace', [peer('{mtls: {mode: STRICT}}', 'istio-system'), peer('{mtls: {mode: UNSET}}')], PLAIN, 'deny'],
  [
    'STRICT for another port of the workload',
    [peer('{selector: {matchLabels: {app: pay}}, mtls: {mode: PERMISSIVE}, portLevelMtls: {9090: {mode: STRICT}}}')],
    PLAIN,
    'allow',
  ],
  [
    'STRICT for this port of the workload',
    [peer('{selector: {matchLabels: {app: pay}}, mtls: {mode: PERMISSIVE}, portLevelMtls: {8080: {mode: STRICT}}}')],
    PLAIN,
    'deny',
  ],
] as const) {
  test(`Istio: ${title}: ${decision}`, () => assert.equal(istio(texts, request).decision, decision));
}

test('Istio: a NUL in the path is refused in every mode', () => {
  for (const mode of ['NONE', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES'] as const)
    assert.deepEqual(normalizeIstioPath('/a%00', mode), { status: 400 });
});

const SERVER =
  'apiVersion: policy.linkerd.io/v1beta3\nkind: Server\nmetadata: {name: pay, namespace: pay, labels: {team: a}}\nspec: {podSelector: {matchLabels: {app: pay}}, port: http}\n';
const authorized = (refs: string, target = '{group: policy.linkerd.io, kind: Server, name: pay}'): string =>
  `apiVersion: policy.linkerd.io/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: pay}\nspec: {targetRef: ${target}, requiredAuthenticationRefs: ${refs}}\n`;
const mtls = (spec: string): string =>
  `apiVersion: policy.linkerd.io/v1alpha1\nkind: MeshTLSAuthentication\nmetadata: {name: m, namespace: pay}\nspec: ${spec}\n`;
const network = (spec: string): string =>
  `apiVersion: policy.linkerd.io/v1alpha1\nkind: NetworkAuthentication\nmetadata: {name: n, namespace: pay}\nspec: {networks: ${spec}}\n`;
const route =
  'apiVersion: policy.linkerd.io/v1beta3\nkind: HTTPRoute\nmetadata: {name: r, namespace: pay}\nspec: {parentRefs: [{group: policy.linkerd.io, kind: Server, name: pay}], rules: [{matches: [{path: {type: PathPrefix, value: /charge}, method: GET}]}]}\n';
const MESHTLS = '[{group: policy.linkerd.io, kind: MeshTLSAuthentication, name: m}]';
const NETWORK = '[{group: policy.linkerd.io, kind: NetworkAuthentication, name: n}]';
const BOTH = `[${MESHTLS.slice(1, -1)}, ${NETWORK.slice(1, -1)}]`;
const old = (client: string): string =>
  `apiVersion: policy.linkerd.io/v1beta1\nkind: ServerAuthorization\nmetadata: {name: s, namespace: pay}\nspec: {server: {selector: {matchLabels: {team: a}}}, client: ${client}}\n`;

const LINKERD: ForeignRequest = {
  ...REQUEST,
  source: { ...REQUEST.source, identity: 'web.shop.serviceaccount.identity.linkerd.cluster.local' },
};
const UNMESHED: ForeignRequest = { ...LINKERD, source: { ...LINKERD.source, identity: undefined } };
const OUTSIDE: ForeignRequest = { ...UNMESHED, source: { ...UNMESHED.source, ip: '203.0.113.9' } };

for (const [title, texts, request, decision] of [
  ['no Server, and the default lets everybody in', [], UNMESHED, 'allow'],
  [
    'a default of the namespace',
    [
      'apiVersion: v1\nkind: Namespace\nmetadata: {name: pay, annotations: {config.linkerd.io/default-inbound-policy: all-authenticated}}\n',
    ],
    UNMESHED,
    'deny',
  ],
  [
    'a default that is none is passed over',
    ['apiVersion: v1\nkind: Namespace\nmetadata: {name: pay, annotations: {config.linkerd.io/default-inbound-policy: nobody}}\n'],
    UNMESHED,
    'allow',
  ],
  [
    'a default of the cluster’s networks, from outside',
    [
      'apiVersion: v1\nkind: Namespace\nmetadata: {name: pay, annotations: {config.linkerd.io/default-inbound-policy: cluster-unauthenticated}}\n',
    ],
    OUTSIDE,
    'deny',
  ],
  ['a Server without authorizations denies all', [SERVER], LINKERD, 'deny'],
  ['a Server of another port', [SERVER.replace('port: http', 'port: 9090')], LINKERD, 'allow'],
  ['a Server by the number of the port', [SERVER.replace('port: http', 'port: 8080')], LINKERD, 'deny'],
  ['an empty list of authentications lets everybody in', [SERVER, authorized('[]')], UNMESHED, 'allow'],
  ['any meshed client', [SERVER, authorized(MESHTLS), mtls('{identities: ["*"]}')], LINKERD, 'allow'],
  ['any meshed client, and one that is not', [SERVER, authorized(MESHTLS), mtls('{identities: ["*"]}')], UNMESHED, 'deny'],
  [
    'a suffix',
    [SERVER, authorized(MESHTLS), mtls('{identities: ["*.shop.serviceaccount.identity.linkerd.cluster.local"]}')],
    LINKERD,
    'allow',
  ],
  [
    'a star inside is a letter',
    [SERVER, authorized(MESHTLS), mtls('{identities: ["web.*.serviceaccount.identity.linkerd.cluster.local"]}')],
    LINKERD,
    'deny',
  ],
  [
    'a suffix never fits a SPIFFE id',
    [SERVER, authorized(MESHTLS), mtls('{identities: ["*.web"]}')],
    { ...LINKERD, source: { ...LINKERD.source, identity: 'spiffe://a.web' } },
    'deny',
  ],
  [
    'a service account',
    [SERVER, authorized(MESHTLS), mtls('{identityRefs: [{kind: ServiceAccount, name: web, namespace: shop}]}')],
    LINKERD,
    'allow',
  ],
  [
    'a service account of the own namespace',
    [SERVER, authorized(MESHTLS), mtls('{identityRefs: [{kind: ServiceAccount, name: web}]}')],
    LINKERD,
    'deny',
  ],
  ['a namespace', [SERVER, authorized(MESHTLS), mtls('{identityRefs: [{kind: Namespace, name: shop}]}')], LINKERD, 'allow'],
  ['an authentication that is not there', [SERVER, authorized(MESHTLS)], LINKERD, 'deny'],
  ['a network alone lets plaintext in', [SERVER, authorized(NETWORK), network('[{cidr: 10.0.0.0/8}]')], UNMESHED, 'allow'],
  ['a network with an exception', [SERVER, authorized(NETWORK), network('[{cidr: 10.0.0.0/8, except: [10.0.0.0/24]}]')], UNMESHED, 'deny'],
  [
    'both are wanted, and one holds',
    [SERVER, authorized(BOTH), mtls('{identities: ["*"]}'), network('[{cidr: 192.168.0.0/16}]')],
    LINKERD,
    'deny',
  ],
  ['a grant for the Namespace covers its Servers', [SERVER, authorized('[]', '{kind: Namespace, name: pay}')], UNMESHED, 'allow'],
  [
    'a request that fits no route',
    [SERVER, route, authorized('[]')],
    { ...LINKERD, http: { method: 'POST', path: '/charge', host: 'pay', headers: {} } },
    'deny',
  ],
  ['a grant for the Server opens its routes', [SERVER, route, authorized('[]')], UNMESHED, 'allow'],
  [
    'a grant for the route opens it',
    [SERVER, route, authorized('[]', '{group: policy.linkerd.io, kind: HTTPRoute, name: r}')],
    UNMESHED,
    'allow',
  ],
  [
    'a prefix of a route compares whole segments',
    [SERVER, route, authorized('[]')],
    { ...LINKERD, http: { method: 'GET', path: '/charged', host: 'pay', headers: {} } },
    'deny',
  ],
  ['`accessPolicy: audit` lets pass', [SERVER.replace('port: http', 'port: http, accessPolicy: audit')], UNMESHED, 'allow'],
  [
    '`accessPolicy: all-authenticated` lets the meshed pass',
    [SERVER.replace('port: http', 'port: http, accessPolicy: all-authenticated')],
    LINKERD,
    'allow',
  ],
  ['an old authorization without identity', [SERVER, old('{unauthenticated: true}')], UNMESHED, 'allow'],
  [
    'an old authorization by service account',
    [SERVER, old('{meshTLS: {serviceAccounts: [{name: web, namespace: shop}]}}')],
    LINKERD,
    'allow',
  ],
  [
    'an old authorization, its network and its identity',
    [SERVER, old('{networks: [{cidr: 192.168.0.0/16}], meshTLS: {identities: ["*"]}}')],
    LINKERD,
    'deny',
  ],
] as const) {
  test(`Linkerd: ${title}: ${decision}`, () => {
    const { resources, findings } = readResources([{ file: 'l.yaml', text: texts.join('---\n') }]);
    assert.deepEqual(findings, []);
    const context = { identityDomain: 'cluster.local', clusterNetworks: ['10.0.0.0/8'], defaultInboundPolicy: 'all-unauthenticated' };
    assert.equal(decideLinkerd(resources, context, request).decision, decision);
  });
}

for (const [title, text, rule, line] of [
  ['an ALLOW whose provider is for CUSTOM', policy('{provider: {name: x}, rules: [{}]}'), 'istio-schema', 4],
  ['a DENY without rules', policy('{action: DENY}'), 'istio-schema', 4],
  ['an empty source', policy('{rules: [{from: [{source: {}}]}]}'), 'istio-schema', 4],
  ['a service account with a star', policy('{rules: [{from: [{source: {serviceAccounts: ["shop/*"]}}]}]}'), 'istio-schema', 4],
  ['a template that goes on behind its end', policy('{rules: [{to: [{operation: {paths: ["/a/{**}/b"]}}]}]}'), 'istio-schema', 4],
  ['a condition that nobody knows', policy('{rules: [{when: [{key: source.user, values: [a]}]}]}'), 'istio-schema', 4],
  ['a DENY with only HTTP fields', policy('{action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]}'), 'l7-deny-no-port', 4],
  ['a selector without labels', policy('{selector: {}, rules: [{}]}'), 'selector-empty', 4],
  ['a port of a PeerAuthentication without selector', peer('{portLevelMtls: {8080: {mode: STRICT}}}'), 'istio-schema', 4],
  ['a spec that is a list', policy('[1]'), 'not-a-resource', 4],
  [
    'an authorization for another namespace',
    authorized('[{kind: ServiceAccount, name: web}]', '{kind: Namespace, name: other}'),
    'linkerd-schema',
    4,
  ],
  ['an identity that is none', mtls('{identities: ["spiffe://a:1/b"]}'), 'linkerd-schema', 4],
  ['a network that its exception covers', network('[{cidr: 10.0.0.0/24, except: [10.0.0.0/8]}]'), 'linkerd-schema', 4],
] as const) {
  test(`finds ${title}, with its place`, () => {
    const { findings, judged } = lintForeign([{ file: 'f.yaml', text }]);
    assert.deepEqual([judged, ...findings.map((finding) => [finding.rule, finding.place?.line])], [1, [rule, line]]);
  });
}

const NAMESPACE = 'apiVersion: v1\nkind: Namespace\nmetadata: {name: pay}\n';
const POD = 'apiVersion: v1\nkind: Pod\nmetadata: {name: pay-1, namespace: pay, labels: {app: pay}}\n';
const GATEWAY_POD =
  'apiVersion: v1\nkind: Pod\nmetadata: {name: gw-1, namespace: pay, labels: {gateway.networking.k8s.io/gateway-name: gw}}\n';
const destination = (tls: string): string =>
  `apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: d, namespace: pay}\nspec: {host: x, trafficPolicy: ${tls}}\n`;
const claims =
  'apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v, namespace: pay}\nspec: {hosts: [x], gateways: [g], http: [{match: [{headers: {"@request.auth.claims.group": {exact: a}}}]}]}\n---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: g, namespace: pay}\nspec: {selector: {istio: gateway}}\n';
const authenticated =
  'apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: r, namespace: istio-system}\nspec: {jwtRules: [{issuer: a}]}\n';
const from = (namespace: string): string => policy(`{rules: [{from: [{source: {namespaces: ["${namespace}"]}}]}]}`);

for (const [title, texts, rules] of [
  ['a namespace that is not there', [NAMESPACE, from('dev')], ['unknown-namespace']],
  ['a namespace that a prefix fits', [NAMESPACE, from('p*')], []],
  ['a namespace, and none is among the files', [from('dev')], []],
  ['labels that no pod has', [POD, policy('{selector: {matchLabels: {app: other}}}')], ['default-open', 'no-workload']],
  ['labels that a pod has', [POD, policy('{selector: {matchLabels: {app: pay}}}')], []],
  [
    'labels that the template of a workload has',
    [
      'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: pay, namespace: pay}\nspec: {template: {metadata: {labels: {app: pay}}}}\n',
      policy('{selector: {matchLabels: {app: pay}}}'),
    ],
    [],
  ],
  [
    'labels that a pod of another namespace has',
    [POD.replace('namespace: pay', 'namespace: x'), policy('{selector: {matchLabels: {app: pay}}}')],
    ['default-open', 'no-workload'],
  ],
  ['labels, and no pod is among the files', [policy('{selector: {matchLabels: {app: other}}}')], []],
  ['TLS without authority', [destination('{tls: {mode: SIMPLE}}')], ['server-not-verified']],
  [
    'TLS without authority on a port',
    [destination('{portLevelSettings: [{port: {number: 443}, tls: {mode: MUTUAL}}]}')],
    ['server-not-verified'],
  ],
  ['TLS with its authority', [destination('{tls: {mode: SIMPLE, caCertificates: /ca.pem}}')], []],
  ['mTLS of the mesh', [destination('{tls: {mode: ISTIO_MUTUAL}}')], []],
  [
    'a selector for a Gateway of Kubernetes',
    [GATEWAY_POD, policy('{selector: {matchLabels: {gateway.networking.k8s.io/gateway-name: gw}}}')],
    ['selector-ignored'],
  ],
  [
    'a target for a Gateway of Kubernetes',
    [GATEWAY_POD, policy('{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: gw}]}')],
    [],
  ],
  ['a claim that nothing verifies', [claims], ['jwt-claim-without-authentication']],
  ['a claim that the mesh verifies', [claims, authenticated], ['jwt-optional']],
] as const) {
  test(`between resources: ${title}: ${rules.length === 0 ? 'silent' : rules.join(', ')}`, () => {
    const { findings } = lintForeign([{ file: 'f.yaml', text: texts.join('---\n') }]);
    assert.deepEqual(
      findings.map(({ rule }) => rule),
      [...rules],
    );
  });
}

test('other resources are counted, `List` kinds unfolded, and native documents left to their own reader', () => {
  const text = `apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: a}}\n- {apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: b}, spec: {mtls: {mode: LOOSE}}}\n---\napiVersion: meshctl.dev/v1\nkind: Policy\nallow: []\n`;
  const { findings, judged, skipped } = lintForeign([{ file: 'f.yaml', text }]);
  assert.deepEqual([judged, skipped, findings.map(({ place }) => place?.line)], [1, { Secret: 1 }, [5]]);
});

test('a foreign policy is refused where rules are enforced, never passed over', () => {
  const { findings } = lintPolicy([{ file: 'f.yaml', text: policy('{rules: [{}]}') }], undefined);
  assert.deepEqual(
    findings.map(({ rule, severity }) => [rule, severity]),
    [['foreign-policy', 'error']],
  );
});
