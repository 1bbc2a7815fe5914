// The index against a plain reading of the same rules on random policies and requests; verdicts where something is not known;
// gRPC, header conditions, rules that end, rules that only audit.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { CompiledPolicy, Operation, PolicyService, Rule, Who } from '../../src/mesh/authorization.ts';
import { parseSpiffeId, type SpiffeId } from '../../src/mesh/identity.ts';
import { type MeshSpec, parseMeshFile } from '../../src/mesh/spec.ts';
import { compilePolicy } from '../../src/policy/compile.ts';
import { type Attempt, type Decision, evaluate } from '../../src/policy/evaluate.ts';
import { lintPolicy } from '../../src/policy/lint.ts';
import { matchPath } from '../../src/policy/path.ts';
import { attempts, policies, TRUST } from '../support/policies.ts';

/** The same meaning, written as one would read it aloud: no index, no order of evaluation within a stage but that of the text. */
function plainly(policy: CompiledPolicy, attempt: Attempt): string {
  const entry = (id: SpiffeId): PolicyService | undefined =>
    id.trustDomain !== TRUST
      ? undefined
      : [...policy.services]
          .sort(
            (a, b) => Number(a.service === '*') - Number(b.service === '*') || Number(a.namespace === '*') - Number(b.namespace === '*'),
          )
          .find(
            (each) => ['*', id.service].includes(each.service) && ['*', id.namespace].includes(each.namespace) && id.service !== undefined,
          );
  const rank = (id: SpiffeId): number => (id.trustDomain === TRUST ? (entry(id)?.rank ?? 0) : -1);
  const means = (who: Who, id: SpiffeId | undefined): boolean => {
    if (who.kind === 'any') return true;
    if (id === undefined) return false;
    const own = id.trustDomain === TRUST;
    if (who.kind === 'mesh') return own;
    if (who.kind === 'id') return who.id === `spiffe://${id.trustDomain}${id.path}`;
    if (who.kind === 'workload') return own && id.service === who.service && ['*', id.namespace].includes(who.namespace);
    if (who.kind === 'namespace') return own && id.namespace === who.namespace;
    if (who.kind === 'trustDomain') return id.trustDomain === who.trustDomain;
    const mine = rank(id);
    return own && (who.compare === '=' ? mine === who.rank : who.compare === '<' ? mine < who.rank : mine >= who.rank);
  };
  const covers = (op: Operation): boolean => {
    if (op.port !== undefined && op.port !== attempt.port?.name && op.port !== String(attempt.port?.number)) return false;
    if (op.kind === 'any') return true;
    const { http } = attempt;
    if (op.kind === 'tcp' || http === undefined) return op.kind === 'tcp' && http === undefined;
    return (
      (op.methods === undefined || op.methods.includes(http.method ?? '')) &&
      (op.isPrefix ? (http.path ?? '').startsWith(op.path) : matchPath(op.path, http.path ?? '')) &&
      (!op.grpc || http.grpc === true) &&
      (op.headers ?? []).every(({ name, value }) => JSON.stringify(http.header(name)) === JSON.stringify([value]))
    );
  };
  const deciding = (all: readonly Rule[]): Rule | undefined => {
    const fitting = all.filter(
      (rule) =>
        (rule.untilMs === undefined || attempt.atMs < rule.untilMs) &&
        rule.to.some((each) => means(each, attempt.callee)) &&
        rule.from.some((each) => means(each, attempt.caller)) &&
        rule.operations.some(covers),
    );
    return fitting.find((rule) => !rule.audit) ?? fitting[0];
  };
  if (attempt.caller === undefined) {
    if (attempt.callee.service !== 'ingress') return 'denied identity';
    if (!policy.allow.some((rule) => rule.from.some(({ kind }) => kind === 'any'))) return 'allowed identity';
  } else if (policy.tiers.length > 0) {
    const callee = entry(attempt.callee);
    const floor = policy.tiers[callee?.rank ?? 0]?.accepts ?? 0;
    if (!callee?.bridge && !entry(attempt.caller)?.bridge && rank(attempt.caller) < floor) return 'denied tier';
  }
  const denied = deciding(policy.deny);
  if (denied !== undefined) return `denied ${denied.id}`;
  const allowed = deciding(policy.allow);
  if (allowed !== undefined) return `allowed ${allowed.id}${allowed.audit ? ' audited' : ''}`;
  return policy.default === 'audit' ? 'allowed default audited' : 'denied default';
}

function shortly(decision: Decision): string {
  const by = decision.stage === 'deny' || decision.stage === 'allow' ? decision.rule : decision.stage;
  return `${decision.verdict} ${by}${decision.audited && decision.verdict === 'allowed' ? ' audited' : ''}`;
}

test('the index decides as a plain reading of the rules does, with the same rule', () => {
  fc.assert(
    fc.property(policies, fc.array(attempts, { minLength: 1, maxLength: 20 }), (policy, all) => {
      for (const attempt of all) assert.equal(shortly(evaluate(policy, attempt)), plainly(policy, attempt));
    }),
    { numRuns: 3000 },
  );
});

test('where something is not known the verdict is unknown just when it depends on it', () => {
  const hidden = fc.record({ method: fc.boolean(), path: fc.boolean(), grpc: fc.boolean(), header: fc.boolean(), port: fc.boolean() });
  fc.assert(
    fc.property(policies, attempts, hidden, (policy, attempt, hide) => {
      const { http } = attempt;
      const known = evaluate(policy, attempt);
      const asked = evaluate(policy, {
        ...attempt,
        port: hide.port ? undefined : attempt.port,
        http:
          http === undefined
            ? undefined
            : {
                method: hide.method ? undefined : http.method,
                path: hide.path ? undefined : http.path,
                grpc: hide.grpc ? undefined : http.grpc,
                header: hide.header ? () => undefined : http.header,
              },
      });
      // What is said in spite of it holds for what it turns out to be.
      if (asked.verdict !== 'unknown') assert.equal(asked.verdict, known.verdict);
      else assert.ok(asked.missing.length > 0);
      if (!Object.values(hide).includes(true)) assert.notEqual(asked.verdict, 'unknown');
    }),
    { numRuns: 3000 },
  );
});

const MESH = parseMeshFile(
  'mesh.yaml',
  'apiVersion: meshctl.dev/v1\nkind: Mesh\nname: t\nservices: {web: {command: x}, pay: {command: x, ports: {grpc: {protocol: grpc}}}}\n',
).spec as MeshSpec;

function judge(allow: string, request: Partial<NonNullable<Attempt['http']>> & { atMs?: number; values?: readonly string[] }): Decision {
  const { document, findings } = lintPolicy(
    [{ file: 'p.yaml', text: `apiVersion: meshctl.dev/v1\nkind: Policy\nallow:\n${allow}\n` }],
    MESH,
  );
  assert.deepEqual(
    findings.filter(({ severity }) => severity === 'error'),
    [],
  );
  return evaluate(compilePolicy(document, findings, MESH, 1), {
    caller: parseSpiffeId('spiffe://t.local/ns/default/sa/web'),
    callee: parseSpiffeId('spiffe://t.local/ns/default/sa/pay') as SpiffeId,
    port: { name: 'grpc', number: 9000 },
    http: { method: 'POST', path: '/pay.v1.Payments/Charge', grpc: true, header: () => request.values ?? [], ...request },
    atMs: request.atMs ?? Date.parse('2027-01-31T12:00:00Z'),
  });
}

const GRPC = '  - web -> pay: grpc pay.v1.Payments/Charge';
for (const [title, allow, request, verdict] of [
  ['a call of gRPC', GRPC, {}, 'allowed'],
  ['another method of the service', GRPC, { path: '/pay.v1.Payments/Refund' }, 'denied'],
  ['the same path without the content type', GRPC, { grpc: false }, 'denied'],
  ['the same path by GET', GRPC, { method: 'GET' }, 'denied'],
  ['every method of a service', '  - web -> pay: grpc pay.v1.Payments', { path: '/pay.v1.Payments/Refund' }, 'allowed'],
  ['every method of a service, with a star', '  - web -> pay: grpc pay.v1.Payments/* :grpc', {}, 'allowed'],
  ['a longer service name', '  - web -> pay: grpc pay.v1.Pay', {}, 'denied'],
  ['another port', '  - web -> pay: grpc pay.v1.Payments :9001', {}, 'denied'],
  ['a field that is as wanted', '  - web -> pay: "* /** if header X-Role = admin user"', { values: ['admin user'] }, 'allowed'],
  ['a field that is absent', '  - web -> pay: "* /** if header x-role=admin"', { values: [] }, 'denied'],
  ['a field of another case', '  - web -> pay: "* /** if header x-role=admin"', { values: ['Admin'] }, 'denied'],
  ['a field that comes twice, each as wanted', '  - web -> pay: "* /** if header x-role=admin"', { values: ['admin', 'admin'] }, 'denied'],
  ['a field that comes twice, once as wanted', '  - web -> pay: "* /** if header x-role=admin"', { values: ['user', 'admin'] }, 'denied'],
  ['values joined by a comma', '  - web -> pay: "* /** if header x-role=admin"', { values: ['user, admin'] }, 'denied'],
  ['a prefix', '  - {from: web, to: pay, prefix: /pay.v1}', {}, 'allowed'],
  ['a prefix that is longer', '  - {from: web, to: pay, prefix: /pay.v1.Payments/ChargeMore}', {}, 'denied'],
  ['the day on which a rule ends', '  - {from: web, to: pay, path: /**, until: 2027-01-31}', {}, 'allowed'],
  ['the day after', '  - {from: web, to: pay, path: /**, until: 2027-01-30}', {}, 'denied'],
  ['a time at which a rule ends', '  - {from: web, to: pay, path: /**, until: "2027-01-31T12:00:00Z"}', {}, 'denied'],
] as const) {
  test(`${title}: ${verdict}`, () => assert.equal(judge(allow, request).verdict, verdict));
}

test('a rule that only audits allows and says so, unless another one allows anyway', () => {
  const audit = '  - {from: web, to: pay, path: /**, audit: true, name: watched}';
  assert.deepEqual([judge(audit, {}).verdict, judge(audit, {}).audited, judge(audit, {}).rule], ['allowed', true, 'watched']);
  const both = judge(`${audit}\n  - web -> pay: any`, {});
  assert.deepEqual([both.audited, both.rule], [false, 'web -> pay: any']);
});

for (const [title, allow, what] of [
  ['a gRPC service that is none', 'web -> pay: grpc /x', /no gRPC service/],
  ['a gRPC operation without service', 'web -> pay: grpc', /names no service/],
  ['a condition that is none', 'web -> pay: "GET / if x=1"', /no condition/],
  ['a condition without value', 'web -> pay: "GET / if header x="', /no condition/],
  ['HTTP and TCP together', '{from: web, to: pay, path: /a, tcp: true}', /one of them/],
  ['a path and a prefix', '{from: web, to: pay, path: /a, prefix: /a}', /exclude/],
  ['methods without a path', '{from: web, to: pay, methods: [GET]}', /a path is missing/],
  ['a prefix with a star', '{from: web, to: pay, prefix: /a*}', /holds no/],
  ['a path that never matches', '{from: web, to: pay, path: /a//b}', /slashes/],
  ['an end that is no day', '{from: web, to: pay, path: /a, until: soon}', /is no day/],
  ['a key that nobody knows', '{from: web, to: pay, path: /a, untill: 2027-01-01}', /unknown key `untill`.*`until`/],
  ['a caller that is none', '{from: Web, to: pay, path: /a}', /no name/],
] as const) {
  test(`refuses ${title}`, () => {
    const { findings } = lintPolicy([{ file: 'p.yaml', text: `apiVersion: meshctl.dev/v1\nkind: Policy\nallow:\n  - ${allow}\n` }], MESH);
    assert.match(findings.map(({ what: text }) => text).join('\n'), what);
    assert.ok(findings.some(({ severity, place }) => severity === 'error' && place?.line === 4));
  });
}
