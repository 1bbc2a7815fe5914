// What other meshes decide, as documents: test/spec/policy/*.yaml, each with the upstream source of its cases.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { decideIstio } from '../../src/policy/foreign/istio/decide.ts';
import { decideKuma } from '../../src/policy/foreign/kuma.ts';
import { decideLinkerd } from '../../src/policy/foreign/linkerd/decide.ts';
import { decideNetwork } from '../../src/policy/foreign/network.ts';
import type { ForeignDecision, ForeignRequest } from '../../src/policy/foreign/request.ts';
import { type Resource, readResources } from '../../src/policy/foreign/resources.ts';
import { ROOT } from '../support/cli.ts';

const ENGINES: Readonly<Record<string, (resources: readonly Resource[], request: ForeignRequest) => ForeignDecision>> = {
  istio: (resources, request) =>
    decideIstio(
      resources,
      { rootNamespace: 'istio-system', trustDomain: 'cluster.local', trustDomainAliases: [], pathNormalization: 'BASE' },
      request,
    ),
  kuma: decideKuma,
  linkerd: (resources, request) =>
    decideLinkerd(
      resources,
      { identityDomain: 'cluster.local', clusterNetworks: [], defaultInboundPolicy: 'all-unauthenticated' },
      request,
    ),
  network: decideNetwork,
};

interface Short {
  readonly from?: string;
  readonly fromNamespace?: string | null;
  readonly fromLabels?: Readonly<Record<string, string>> | null;
  readonly fromIp?: string | null;
  readonly to: Partial<ForeignRequest['destination']>;
  readonly http?: string | null;
  readonly host?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly sni?: string;
  readonly token?: ForeignRequest['token'] | 'unknown';
}

function toRequest({ from, fromNamespace, fromLabels, fromIp, to, http, host, headers, sni, token }: Short): ForeignRequest {
  const [method = '', path = ''] = (http ?? '').split(' ');
  return {
    source: {
      identity: from === 'none' ? undefined : from,
      namespace: fromNamespace ?? undefined,
      serviceAccount: undefined,
      ip: fromIp ?? undefined,
      labels: fromLabels ?? undefined,
    },
    destination: {
      workload: 'pay-1',
      namespace: 'pay',
      labels: {},
      service: undefined,
      ip: undefined,
      port: 8080,
      portName: undefined,
      enforcement: 'sidecar',
      ...to,
    },
    http: http === undefined || http === null ? undefined : { method, path, host: host ?? 'pay', headers: headers ?? {} },
    sni,
    remoteIp: undefined,
    authorizers: {},
    token: token === 'unknown' ? undefined : (token ?? null),
  };
}

const directory = join(ROOT, 'test/spec/policy');
for (const file of readdirSync(directory).sort()) {
  const document = parse(readFileSync(join(directory, file), 'utf8'), { merge: true });
  const decide = ENGINES[document.engine];
  test(`${file} names its source and has at least twenty cases`, () => {
    assert.ok(document.source.length > 20 && decide !== undefined);
    assert.ok(document.cases.length >= 20);
    assert.equal(new Set(document.cases.map(({ name }: { name: string }) => name)).size, document.cases.length);
  });
  const used = new Set(document.cases.flatMap(({ given }: { given: string[] }) => given));
  test(`${file} uses every resource that it defines`, () =>
    assert.deepEqual(
      Object.keys(document.resources).filter((name) => !used.has(name)),
      [],
    ));
  for (const { name, given, request, decision } of document.cases)
    test(`${file}: ${name}: ${decision}`, () => {
      const text = given.map((each: string) => String(JSON.stringify(document.resources[each] ?? assert.fail(each)))).join('\n---\n');
      const { resources, findings } = readResources([{ file: 'f', text }]);
      assert.deepEqual(findings, []);
      const found = decide?.(resources, toRequest({ ...document.request, ...request }));
      assert.equal(found?.decision, decision, found?.by ?? 'no engine');
    });
}
