// Random policies and requests for property tests, over names few enough that rules and requests meet.
import fc from 'fast-check';
import type { CompiledPolicy, Operation, PolicyService, Rule, Who } from '../../src/mesh/authorization.ts';
import { parseSpiffeId, type SpiffeId } from '../../src/mesh/identity.ts';
import type { Attempt } from '../../src/policy/evaluate.ts';

export const TRUST = 't.local';
const NAMESPACES = ['a', 'b'];
const SERVICES = ['x', 'y', 'ingress'];
export const PATHS = ['/', '/a', '/a/', '/a/b', '/a/b/c', '/b', '/ab', '/a//', '/x.Svc/Get'];
export const PATTERNS = ['/', '/**', '/a', '/a/', '/a/*', '/a/**', '/*', '/*/b', '/*/*/**', '/a/*/c', '/*/', '/x.Svc/*'];
const METHODS = ['GET', 'POST'];

const who: fc.Arbitrary<Who> = fc.oneof(
  fc.constant<Who>({ kind: 'any' }),
  fc.constant<Who>({ kind: 'mesh' }),
  fc.record({ kind: fc.constant('workload' as const), namespace: fc.constantFrom('a', 'b', '*'), service: fc.constantFrom(...SERVICES) }),
  fc.record({ kind: fc.constant('namespace' as const), namespace: fc.constantFrom(...NAMESPACES) }),
  fc.record({ kind: fc.constant('trustDomain' as const), trustDomain: fc.constantFrom(TRUST, 'other.org') }),
  fc.constantFrom<Who>({ kind: 'id', id: 'spiffe://t.local/ns/a/sa/x' }, { kind: 'id', id: 'spiffe://other.org/ns/a/sa/x' }),
  fc.record({
    kind: fc.constant('tier' as const),
    compare: fc.constantFrom('=' as const, '<' as const, '>=' as const),
    rank: fc.nat(2),
  }),
);
const port = fc.option(fc.constantFrom('http', '8080', '9'), { nil: undefined });
export const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ kind: fc.constantFrom('any' as const, 'tcp' as const), port }).map(clean),
  fc
    .record({
      kind: fc.constant('http' as const),
      methods: fc.option(fc.subarray(METHODS, { minLength: 1 }), { nil: undefined }),
      path: fc.constantFrom(...PATTERNS),
      port,
      grpc: fc.option(fc.constant(true as const), { nil: undefined }),
      headers: fc.option(fc.constant([{ name: 'x-a', value: '1' }]), { nil: undefined }),
    })
    .map(clean),
  fc.record({ kind: fc.constant('http' as const), path: fc.constantFrom('/a', '/a/b', '/'), isPrefix: fc.constant(true as const) }),
) as fc.Arbitrary<Operation>;
const list = <T>(of: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(of, { minLength: 1, maxLength: 3 });

function clean<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as T;
}

const rules = (denies: boolean): fc.Arbitrary<Rule[]> =>
  fc
    .array(
      fc.record({
        from: list(who),
        to: list(who),
        operations: list(denies ? operation.filter(({ kind }) => kind !== 'http') : operation),
        untilMs: fc.option(fc.constantFrom(50, 150), { nil: undefined }),
        audit: fc.option(fc.constant(true as const), { nil: undefined }),
      }),
      { maxLength: 8 },
    )
    .map((all) =>
      all.map((each, i) => clean({ id: `${denies ? 'd' : 'a'}${i}`, place: { file: 'p', line: i + 1, column: 1 }, ...each }) as Rule),
    );

const service: fc.Arbitrary<PolicyService> = fc.record({
  name: fc.constant('s'),
  namespace: fc.constantFrom('a', 'b', '*'),
  service: fc.constantFrom('x', 'y', '*'),
  rank: fc.nat(2),
  bridge: fc.boolean(),
});
export const policies: fc.Arbitrary<CompiledPolicy> = fc
  .record({
    default: fc.constantFrom('deny' as const, 'audit' as const),
    tiers: fc.constantFrom([], [0, 1, 2], [0, 0, 1]),
    services: fc.uniqueArray(service, { selector: (each) => `${each.namespace}/${each.service}`, maxLength: 4 }),
    allow: rules(false),
    deny: rules(true),
  })
  .map(({ tiers, ...rest }) => ({
    revision: 1,
    trustDomain: TRUST,
    tiers: tiers.map((accepts, i) => ({ name: `tier${i}`, accepts })),
    ...rest,
  }));

const caller = fc.constantFrom(
  undefined,
  'spiffe://t.local/ns/a/sa/x',
  'spiffe://t.local/ns/b/sa/y',
  'spiffe://other.org/ns/a/sa/x',
  'spiffe://t.local/other',
);
export const attempts: fc.Arbitrary<Attempt> = fc
  .record({
    caller,
    callee: fc.constantFrom(...NAMESPACES.flatMap((namespace) => SERVICES.map((name) => `spiffe://t.local/ns/${namespace}/sa/${name}`))),
    port: fc.constantFrom({ name: 'http', number: 8080 }, { name: 'other', number: 9 }),
    tcp: fc.boolean(),
    method: fc.constantFrom(...METHODS),
    path: fc.constantFrom(...PATHS),
    grpc: fc.boolean(),
    header: fc.constantFrom([], ['1'], ['2'], ['1', '1']),
    atMs: fc.constantFrom(0, 100, 200),
  })
  .map(({ caller: from, callee, tcp, method, path, grpc, header, ...rest }) => ({
    ...rest,
    caller: from === undefined ? undefined : parseSpiffeId(from),
    callee: parseSpiffeId(callee) as SpiffeId,
    http: tcp ? undefined : { method, path, grpc, header: () => header },
  }));
