import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMeshFile, splitCommand } from '../../src/mesh/spec.ts';
import { DEFAULT_TRAFFIC } from '../../src/mesh/traffic.ts';

const HEAD = 'apiVersion: meshctl.dev/v1\nkind: Mesh\nname: shop\n';

function finding(body: string): string {
  const { spec, findings } = parseMeshFile('mesh.yaml', HEAD + body);
  assert.equal(spec, undefined, 'the file is refused');
  const [first] = findings;
  return `${first?.place?.line}:${first?.place?.column} ${first?.what}`;
}

test('fills in every default', () => {
  const { spec } = parseMeshFile('mesh.yaml', `${HEAD}services:\n  web: {command: node web.js}\n`);
  assert.deepEqual(spec, {
    name: 'shop',
    trustDomain: 'shop.local',
    namespace: 'default',
    ingress: undefined,
    services: {
      web: {
        name: 'web',
        command: ['node', 'web.js'],
        cwd: '.',
        env: {},
        instances: 1,
        zones: [],
        ports: [{ name: 'http', port: 0, protocol: 'http' }],
        tier: undefined,
        calls: [],
        ready: { path: undefined, timeoutMs: 10_000 },
        restart: 'on-failure',
        traffic: DEFAULT_TRAFFIC,
        trafficRoutes: [],
        workloadApi: false,
        encodedSlash: 'refuse',
      },
    },
    policy: [],
    certificateTtlMs: 86_400_000,
    retentionMs: 86_400_000,
    tracing: { ratio: 1, acceptExternal: true },
  });
});

test('traffic: what is written changes the default, and a route changes what its service says', () => {
  const text = `${HEAD}services:\n  web:\n    command: x\n    traffic:\n      timeouts: {request: 2s}\n      retries: {budget: 50}\n      routes:\n        - {path: /slow/**, methods: [GET], timeouts: {perTry: 500ms}, rateLimit: {requestsPerSecond: 2.5}}\n`;
  const web = parseMeshFile('mesh.yaml', text).spec?.services['web'];
  assert.deepEqual(web?.traffic, {
    ...DEFAULT_TRAFFIC,
    timeouts: { requestMs: 2000, perTryMs: 0, connectMs: 5000, idleMs: 300_000 },
    retries: { ...DEFAULT_TRAFFIC.retries, budget: 0.5 },
  });
  assert.deepEqual(web?.trafficRoutes, [
    {
      path: '/slow/**',
      methods: ['GET'],
      traffic: {
        ...web?.traffic,
        timeouts: { requestMs: 2000, perTryMs: 500, connectMs: 5000, idleMs: 300_000 },
        rateLimit: { scope: 'GET /slow/**', requestsPerSecond: 2.5, burst: 3 },
      },
    },
  ]);
});

for (const [title, body, expected] of [
  [
    'an unknown key',
    'services: {web: {command: x, instnces: 2}}\n',
    /^4:30 unknown key `instnces` in `services\.web` \(did you mean `instances`\?\)/,
  ],
  [
    'a call to an unknown service',
    'services: {web: {command: x, calls: [odrers]}, orders: {command: y}}\n',
    /calls `odrers`.*did you mean `orders`/,
  ],
  ['a route to an unknown service', 'ingress: {routes: [{path: /, service: wbe}]}\nservices: {web: {command: x}}\n', /routes to `wbe`/],
  [
    'a route to a TCP service',
    'ingress: {routes: [{path: /, service: db}]}\nservices: {db: {command: x, ports: {db: {protocol: tcp}}}}\n',
    /speaks TCP/,
  ],
  ['a service called ingress', 'services: {ingress: {command: x}}\n', /`ingress` is the mesh's own/],
  ['a name that DNS does not allow', 'services: {Web_1: {command: x}}\n', /1 to 63 of a-z/],
  ['a duration without unit', 'services: {web: {command: x, ready: {timeout: "10"}}}\n', /a duration such as/],
  ['a fixed port with several instances', 'services: {web: {command: x, instances: 2, ports: {http: {port: 8080}}}}\n', /fixed port/],
  ['a protocol that is none', 'services: {web: {command: x, ports: {http: {protocol: quic}}}}\n', /"http".*"grpc"/],
  [
    'a split to an unknown service',
    'services: {web: {command: x, traffic: {split: [{service: wbe, weight: 1}]}}}\n',
    /`wbe` is not a service.*`web`/,
  ],
  [
    'a mirror of a route to an unknown service',
    'services: {web: {command: x, traffic: {routes: [{path: /x, mirror: {service: y}}]}}}\n',
    /^4:\d+ `y` is not a service/,
  ],
  ['a share over 100 %', 'services: {web: {command: x, traffic: {faults: [{percent: 101}]}}}\n', /at most 100/],
  ['an abort with a status of success', 'services: {web: {command: x, traffic: {faults: [{abort: 200}]}}}\n', /a status from 400 to 599/],
  ['a hundred retries', 'services: {web: {command: x, traffic: {retries: {attempts: 100}}}}\n', /at most 10 retries/],
  ['a balancer that is none', 'services: {web: {command: x, traffic: {balance: random}}}\n', /peakEwma/],
  ['a number where a duration is wanted', 'services: {web: {command: x, traffic: {timeouts: {request: 3}}}}\n', /a duration such as `10s`/],
  ['a slip in a traffic key', 'services: {web: {command: x, traffic: {timeout: {request: 1s}}}}\n', /did you mean `timeouts`/],
  ['a certificate life of two seconds', 'certificates: {ttl: 2s}\nservices: {}\n', /no time to renew/],
  ['unbalanced quotes in a command', "services: {web: {command: 'node \"x'}}\n", /unbalanced quotes/],
  ['a trust domain in upper case', 'trustDomain: Shop\nservices: {}\n', /a trust domain is/],
  ['a port over 65535', 'ingress: {port: 70000}\nservices: {}\n', /ingress\.port/],
  ['a sampling ratio over one', 'tracing: {ratio: 2}\nservices: {}\n', /tracing\.ratio/],
] as const) {
  test(`refuses ${title} with its place`, () => assert.match(finding(body), expected));
}

for (const [text, reason] of [
  ['', 'empty'],
  ['kind: Mesh\n', 'apiVersion'],
  [`${HEAD}services: {}\n---\n${HEAD}services: {}\n`, 'one document'],
] as const) {
  test(`refuses a mesh file: ${reason}`, () => {
    const { spec, findings } = parseMeshFile('mesh.yaml', text);
    assert.equal(spec, undefined);
    assert.ok(findings.some((each) => each.what.includes(reason)));
  });
}

for (const [text, words] of [
  ['node web.js', ['node', 'web.js']],
  ['  a   b ', ['a', 'b']],
  ['sh -c "echo $HOME; rm x"', ['sh', '-c', 'echo $HOME; rm x']],
  ["a 'b c' d", ['a', 'b c', 'd']],
  ['a b\\ c', ['a', 'b c']],
  ['a "" b', ['a', '', 'b']],
  ['a;touch x', ['a;touch', 'x']],
] as const) {
  test(`splits \`${text}\` without a shell`, () => assert.deepEqual(splitCommand(text), words));
}
