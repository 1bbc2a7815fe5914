// `policy check` by the policies of other meshes: workloads by their names, each kind by its own semantics, and what it says when it cannot tell.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Workplace } from '../support/cli.ts';

const place = new Workplace();
after(() => place[Symbol.asyncDispose]());

const deployment = (name: string, namespace: string): string =>
  `apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: ${name}, namespace: ${namespace}}\nspec: {template: {metadata: {labels: {app: ${name}}}, spec: {serviceAccountName: ${name}, containers: [{name: c, image: x, ports: [{name: http, containerPort: 8080}]}]}}}\n---\n`;
const WORKLOADS = `${deployment('web', 'shop')}${deployment('pay', 'pay')}${deployment('twin', 'a')}${deployment('twin', 'b')}apiVersion: v1
kind: Service
metadata: {name: payments, namespace: pay}
spec: {selector: {app: pay}, ports: [{name: http, port: 80, targetPort: http}]}
---
`;
const ISTIO = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: pay, namespace: pay}
spec: {rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}], to: [{operation: {methods: [POST], paths: [/charge]}}]}]}
---
`;
const NETWORK = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: pay, namespace: pay}
spec: {podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}
---
`;
const LINKERD = `apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: pay, namespace: pay}
spec: {podSelector: {matchLabels: {app: pay}}, port: http}
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: {name: pay, namespace: pay}
spec: {targetRef: {group: policy.linkerd.io, kind: Server, name: pay}, requiredAuthenticationRefs: [{kind: ServiceAccount, name: web, namespace: shop}]}
---
`;
const KUMA = `apiVersion: kuma.io/v1alpha1
kind: MeshTrafficPermission
metadata: {name: all, namespace: kuma-system}
spec: {rules: [{default: {allow: [{spiffeID: {type: Prefix, value: "spiffe://cluster.local/ns/shop/"}}]}}]}
---
`;
const TOKEN = `apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: t, namespace: pay}
spec: {jwtRules: [{issuer: "https://id"}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: pay, namespace: pay}
spec: {rules: [{from: [{source: {requestPrincipals: ["https://id/*"]}}]}]}
---
`;
place.write('claims.json', '{"iss": "https://id", "sub": "ann"}');
place.write('list.json', '[]');
const CHARGE = ['--method', 'POST', '--path', '/charge'];

for (const [title, files, args, code] of [
  ['an identity that Istio allows', ISTIO, ['web', 'payments', ...CHARGE], 0],
  ['the port of the Service', ISTIO, ['web', 'payments:80', ...CHARGE], 0],
  ['another path', ISTIO, ['web', 'payments', '--method', 'POST', '--path', '/refund'], 1],
  ['a path that is normalised first', ISTIO, ['web', 'payments', '--method', 'POST', '--path', '/x/../charge'], 0],
  ['no identity', ISTIO, ['none', 'payments', ...CHARGE], 1],
  ['an account that runs nowhere', ISTIO, ['sa:dev/x', 'payments', ...CHARGE], 1],
  ['an HTTP rule at ztunnel', ISTIO, ['web', 'payments', ...CHARGE, '--at', 'ztunnel'], 1],
  ['an HTTP rule for a TCP connection', ISTIO, ['web', 'payments', '--tcp'], 1],
  ['a NetworkPolicy that is the second layer', ISTIO + NETWORK, ['web', 'payments', ...CHARGE], 1],
  ['an identity that Linkerd allows', LINKERD, ['web', 'payments', ...CHARGE], 0],
  ['an identity that Linkerd does not allow', LINKERD, ['a/twin', 'payments', ...CHARGE], 1],
  ['an identity that Kuma allows', KUMA, ['web', 'payments', '--tcp'], 0],
  ['an identity that Kuma does not allow', KUMA, ['a/twin', 'payments', '--tcp'], 1],
  ['a token that was not said', TOKEN, ['web', 'payments', ...CHARGE], 2],
  ['a token', TOKEN, ['web', 'payments', ...CHARGE, '--token', 'claims.json'], 0],
  ['no token', TOKEN, ['web', 'payments', ...CHARGE, '--token', 'none'], 1],
] as const)
  test(`${title}: exit ${code}, with the policy that decided`, async () => {
    place.write('all.yaml', WORKLOADS + files);
    const result = await place.run(['policy', 'check', ...args, '--policy', 'all.yaml', '-o', 'json']);
    assert.equal(result.code, code, result.stderr);
    const { verdict, layers } = JSON.parse(result.stdout) as { verdict: string; layers: { decision: string; by: string }[] };
    assert.equal(verdict, ['allowed', 'denied', 'unknown'][code]);
    assert.ok(layers.length > 0 && layers.every(({ by }) => by !== ''));
    if (code === 0) assert.match(layers[0]?.by ?? '', /\(all\.yaml:\d+\)/);
  });

for (const [title, files, args, says] of [
  ['a caller that nobody is', ISTIO, ['nobody', 'payments', ...CHARGE], /no workload of the files is the caller `nobody`[\s\S]*shop\/web/],
  ['a name that two have', ISTIO, ['twin', 'payments', ...CHARGE], /`twin` is a\/twin and b\/twin[\s\S]*NAMESPACE\/NAME/],
  ['a port that is not there', ISTIO, ['web', 'payments', '--port', 'grpc', ...CHARGE], /has no port `grpc`[\s\S]*http/],
  ['a method without a path', ISTIO, ['web', 'payments', '--method', 'GET'], /needs --method and --path/],
  ['a point that enforces nothing', ISTIO, ['web', 'payments', ...CHARGE, '--at', 'gateway'], /sidecar, ztunnel, waypoint/],
  ['claims that are none', TOKEN, ['web', 'payments', ...CHARGE, '--token', 'list.json'], /holds no claims/],
  ['a policy that Istio would refuse', ISTIO.replace('methods: [POST]', 'ports: [99999]'), ['web', 'payments', ...CHARGE], /istio-schema/],
  ['a native policy beside it', `${ISTIO}apiVersion: meshctl.dev/v1\nkind: Policy\nallow: []\n`, ['web', 'payments'], /foreign-policy/],
  ['files without a policy', '', ['web', 'payments', ...CHARGE], /foreign-policy/],
] as const)
  test(`${title}: exit 2, and nothing on stdout`, async () => {
    place.write('all.yaml', WORKLOADS + files);
    const result = await place.run(['policy', 'check', ...args, '--policy', 'all.yaml']);
    assert.deepEqual([result.code, result.stdout], [2, ''], result.stdout);
    assert.match(result.stderr, says);
  });

test('import: a native policy on stdout, what is left out on stderr with its place, and exit 1 for it', async () => {
  place.write('all.yaml', WORKLOADS + ISTIO + NETWORK);
  const result = await place.run(['policy', 'import', 'all.yaml']);
  assert.equal(result.code, 1);
  assert.match(
    result.stdout,
    /^apiVersion: meshctl\.dev\/v1\nkind: Policy\n[\s\S]*- web -> ns:pay: POST \/charge # AuthorizationPolicy pay\/pay \(all\.yaml:\d+\)/,
  );
  assert.match(result.stderr, /all\.yaml:\d+:\d+ {2}NetworkPolicy pay\/pay: /);
  place.write('native.yaml', result.stdout);
  assert.equal((await place.run(['policy', 'lint', 'native.yaml'])).code, 0);
  const whole = await place.run(['policy', 'import', 'all.yaml', '-o', 'json']);
  assert.deepEqual(Object.keys(JSON.parse(whole.stdout)), ['apiVersion', 'kind', 'policy', 'rules', 'left', 'notes']);
});

test('export: resources that lint finds no error in, and each target by its name', async () => {
  place.write(
    'native.yaml',
    'apiVersion: meshctl.dev/v1\nkind: Policy\nservices: {web: {ports: {http: 8080}}, pay: {ports: {http: 8080}}}\nallow:\n  - web -> pay: [POST /charge, "GET /a/** :http"]\n',
  );
  for (const target of ['istio', 'linkerd', 'kubernetes']) {
    const result = await place.run(['policy', 'export', '--to', target, 'native.yaml']);
    assert.equal(result.code, 0, result.stderr);
    place.write('out.yaml', result.stdout);
    const linted = await place.run(['policy', 'lint', 'out.yaml']);
    assert.equal(linted.code, 0, linted.stdout);
    assert.doesNotMatch(result.stdout, /&a1|\*a1/);
  }
});

for (const [title, args, says] of [
  ['import of a policy that Istio would refuse', ['import', 'bad.yaml'], /istio-schema/],
  ['import of no policy', ['import', 'none.yaml'], /holds no policy/],
  ['import of a file that is not there', ['import', 'gone.yaml'], /no such file/],
  ['export to nowhere', ['export', 'native.yaml'], /istio, linkerd, kubernetes/],
  ['export to another mesh', ['export', '--to', 'consul', 'native.yaml'], /istio, linkerd, kubernetes/],
  ['export with a label that is none', ['export', '--to', 'istio', '--label', 'a b', 'native.yaml'], /no label/],
  ['export of a policy with errors', ['export', '--to', 'istio', 'wrong.yaml'], /unknown-service/],
  ['export of a policy of another mesh', ['export', '--to', 'linkerd', 'all.yaml'], /foreign-policy/],
] as const)
  test(`${title} is exit 2 with a word, and nothing on stdout`, async () => {
    place.write('bad.yaml', WORKLOADS + ISTIO.replace('methods: [POST]', 'ports: [99999]'));
    place.write('none.yaml', WORKLOADS);
    place.write('wrong.yaml', 'apiVersion: meshctl.dev/v1\nkind: Policy\nallow:\n  - web -> nobody: any\n');
    const result = await place.run(['policy', ...args]);
    assert.deepEqual([result.code, result.stdout], [2, '']);
    assert.match(result.stderr, says);
  });

const NATIVE = `apiVersion: meshctl.dev/v1
kind: Policy
trustDomain: cluster.local
import:
  - istio: k8s/*.yaml
services:
  pay: {id: ns/pay/sa/pay}
  shopfront: {id: ns/shop/sa/web}
  ops: {id: ns/ops/sa/cli}
allow:
  - ops -> pay: GET /status
tests:
  - name: both say who may
    request: {to: pay, method: POST, path: /charge}
    allow: [shopfront]
    deny: [ops]
`;

test('`import:` of a native policy: the rules of both hold, under the names of the native one', async () => {
  place.write('mixed/policy.yaml', NATIVE);
  place.write('mixed/k8s/a.yaml', WORKLOADS + ISTIO.replace('spec: {', 'spec: {selector: {matchLabels: {app: pay}}, '));
  const check = (...args: string[]) => place.run(['policy', 'check', ...args, '--policy', 'mixed/policy.yaml']);
  assert.equal((await check('shopfront', 'pay', '--method', 'POST', '--path', '/charge')).code, 0);
  assert.equal((await check('ops', 'pay', '--method', 'GET', '--path', '/status')).code, 0);
  const denied = await check('ops', 'pay', '--method', 'POST', '--path', '/charge');
  assert.equal(denied.code, 1);
  const tested = await place.run(['policy', 'test', 'mixed/policy.yaml']);
  assert.equal(tested.code, 0, tested.stdout + tested.stderr);
  const linted = await place.run(['policy', 'lint', 'mixed/policy.yaml']);
  assert.doesNotMatch(linted.stdout, /later-version|contradiction/);
});

for (const [title, change, says] of [
  ['files that are not there', { '- istio: k8s/*.yaml': '- istio: gone/*.yaml' }, /no file fits/],
  ['files without a policy', { '- istio: k8s/*.yaml': '- istio: none.yaml' }, /holds no policy of another mesh/],
  ['what cannot be carried over', { '- istio: k8s/*.yaml': '- istio: left.yaml' }, /left\.yaml:\d+:\d+[\s\S]*cannot be carried over/],
  ['nothing by name', { '- istio: k8s/*.yaml': '- {rootNamespace: x}' }, /one of `istio`, `linkerd`, `kuma`/],
  ['two meshes at once', { '- istio: k8s/*.yaml': '- {istio: a.yaml, kuma: b.yaml}' }, /one of `istio`, `linkerd`, `kuma`/],
] as const)
  test(`\`import:\` of ${title} is an error, and nothing is judged`, async () => {
    place.write('mixed/none.yaml', WORKLOADS);
    place.write('mixed/left.yaml', WORKLOADS + ISTIO.replace('principals', 'notPrincipals'));
    const [[from, to] = ['', '']] = Object.entries(change);
    place.write('mixed/wrong.yaml', NATIVE.replace(from, to));
    const result = await place.run([
      'policy',
      'check',
      'ops',
      'pay',
      '--method',
      'GET',
      '--path',
      '/status',
      '--policy',
      'mixed/wrong.yaml',
    ]);
    assert.deepEqual([result.code, result.stdout], [2, '']);
    assert.match(result.stderr, says);
  });
