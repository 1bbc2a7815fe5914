// What surrounds the rules: comments that hide findings, baselines, edits, and which rules make others needless.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { makeSpiffeId } from '../../src/mesh/identity.ts';
import { compilePolicy, meshOfPolicy } from '../../src/policy/compile.ts';
import { editFiles } from '../../src/policy/edits.ts';
import { evaluate } from '../../src/policy/evaluate.ts';
import { ruleCovers } from '../../src/policy/foreign/istio/covers.ts';
import { decideIstio } from '../../src/policy/foreign/istio/decide.ts';
import { type Normalization, normalizeIstioPath } from '../../src/policy/foreign/istio/path.ts';
import { matchPath, spellingsPast } from '../../src/policy/foreign/istio/spellings.ts';
import { readMesh } from '../../src/policy/foreign/model.ts';
import { readResources } from '../../src/policy/foreign/resources.ts';
import { isBefore } from '../../src/policy/foreign/version.ts';
import { lintPolicy } from '../../src/policy/lint.ts';
import { lintAll, printBaseline, readBaseline } from '../../src/policy/lint-all.ts';

const HEAD = 'apiVersion: meshctl.dev/v1\nkind: Policy\n';
const BASE = `${HEAD}services: {web: {}, orders: {}}\nallow:\n  - web -> orders: GET /a/**\n`;
const NOW = Date.parse('2026-11-21T12:00:00Z');
const found = (text: string, nowMs = NOW): string[] =>
  lintAll([{ file: 'p.yaml', text }], undefined, { nowMs }).findings.map(
    ({ rule, severity, place }) => `${place?.line} ${severity} ${rule}`,
  );
const ignore = (rest: string): string => `${BASE}  # meshctl:ignore ${rest}\n  - web -> orders: GET /a/b\n`;
const GOOD = 'redundant until=2026-11-21 reason="going soon"';

test('a comment above a rule hides the finding that it names, with its reason in the report', () => {
  const report = lintAll([{ file: 'p.yaml', text: ignore(GOOD) }], undefined, { nowMs: NOW });
  assert.deepEqual(report.findings, []);
  assert.deepEqual(
    report.suppressed.map(({ rule, reason, place }) => [rule, reason, place?.line]),
    [['redundant', 'going soon', 7]],
  );
});

test('a comment at the end of a line hides what begins there', () => {
  assert.deepEqual(found(`${BASE}  - web -> orders: GET /a/b # meshctl:ignore ${GOOD}\n`), []);
});

test('a comment before the first key of a document is about all of it, and about no other document', () => {
  const istio = (name: string): string =>
    `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: ${name}, namespace: shop}\nspec:\n  rules:\n    - from: [{source: {principals: ["spiffe://a/ns/b/sa/c"]}}]\n`;
  const text = `# meshctl:ignore principal-scheme until=2027-01-01 reason="old"\n${istio('a')}---\n${istio('b')}`;
  const scheme = found(text).filter((each) => each.includes('principal-scheme'));
  assert.deepEqual(scheme, ['14 error principal-scheme']);
});

for (const [title, rest, expected] of [
  ['that has passed its day', GOOD.replace('2026-11-21', '2026-11-20'), ['6 error bad-suppression', '7 warning redundant']],
  ['without a day', 'redundant reason="x"', ['6 error bad-suppression', '7 warning redundant']],
  ['with a day that is none', 'redundant until=soon reason="x"', ['6 error bad-suppression', '7 warning redundant']],
  [
    'with a day that the calendar does not have',
    'redundant until=2027-13-40 reason="x"',
    ['6 error bad-suppression', '7 warning redundant'],
  ],
  ['without a reason', 'redundant until=2027-01-01', ['6 error bad-suppression', '7 warning redundant']],
  ['with an empty reason', 'redundant until=2027-01-01 reason=" "', ['6 error bad-suppression', '7 warning redundant']],
  ['of a rule that does not exist', 'redundent until=2027-01-01 reason="x"', ['6 error bad-suppression', '7 warning redundant']],
  ['that names no rule', 'until=2027-01-01 reason="x"', ['6 error bad-suppression', '7 warning redundant']],
  ['of another rule', 'tier-violation until=2027-01-01 reason="x"', ['6 warning bad-suppression', '7 warning redundant']],
] as const)
  test(`a comment ${title} hides nothing`, () => assert.deepEqual(found(ignore(rest)), expected));

test('a comment about a rule that was not looked for is no idle one', () => {
  const { findings } = lintAll([{ file: 'p.yaml', text: ignore(GOOD) }], undefined, { nowMs: NOW, rules: ['bad-suppression'] });
  assert.deepEqual(findings, []);
});

test('a finding keeps its fingerprint when its line moves, and loses it when the line changes', () => {
  const print = (text: string): string[] =>
    lintAll([{ file: 'p.yaml', text }], undefined, { nowMs: NOW }).findings.map(({ fingerprint }) => fingerprint);
  const text = `${BASE}  - web -> orders: GET /a/b\n  - web -> orders: GET /a/c\n`;
  assert.equal(new Set(print(text)).size, 2);
  assert.deepEqual(print(text.replace('allow:', '# a comment\nallow:')), print(text));
  assert.notDeepEqual(print(text.replace('/a/c', '/a/d')), print(text));
});

test('two findings on equal lines are two in a baseline', () => {
  const text = `${BASE}  - web -> orders: GET /a/b\n  - web -> orders: GET /a/b\n`;
  const { findings } = lintAll([{ file: 'p.yaml', text }], undefined, { nowMs: NOW });
  const { known } = readBaseline('b.json', printBaseline(findings.slice(0, 1)));
  assert.equal(findings.length, 2);
  assert.deepEqual(
    findings.map(({ fingerprint }) => known.has(fingerprint)),
    [true, false],
  );
});

for (const [title, text] of [
  ['no JSON', '{'],
  ['another document', '{"apiVersion":"meshctl.dev/v1","kind":"LintReport","findings":[]}'],
  ['a later format', '{"apiVersion":"meshctl.dev/v1","kind":"LintBaseline","schemaVersion":2,"findings":[]}'],
  ['a list', '[]'],
] as const)
  test(`${title} is no baseline`, () => assert.ok(readBaseline('b.json', text).findings.length > 0));

test('an edit changes its own place only, and is left out where the text is another', () => {
  const place = { file: 'a', line: 1, column: 4 };
  const finding = { rule: 'x', severity: 'error', what: 'x', place, edit: ['spiffe://', ''] } as const;
  const edit = (text: string): string | undefined => editFiles([{ file: 'a', text }], [finding, finding]).files[0]?.text;
  assert.equal(edit('- [spiffe://a, spiffe://b]'), '- [a, spiffe://b]');
  assert.equal(edit('- ["spiffe://a"]'), '- ["a"]');
  assert.equal(edit('- [a]'), undefined);
  assert.equal(edit(''), undefined);
});

const value = fc.constantFrom('a', 'ab', 'a*', '*b', '*', 'abc', 'b');
const path = fc.constantFrom('/a', '/a/b', '/a*', '*/b', '*', '/{*}', '/a/{**}', '/a/{*}', '/a/', '/a/*');
const texts = (one: fc.Arbitrary<string>): fc.Arbitrary<string[]> => fc.array(one, { minLength: 1, maxLength: 2 });
const part = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined });
const rule = fc.record({
  from: part(
    fc.array(
      fc.record({
        source: fc.record(
          { namespaces: texts(value), notPrincipals: texts(fc.constantFrom('td/ns/a/sa/x', 'td/*', '*')) },
          { requiredKeys: [] },
        ),
      }),
      { minLength: 1, maxLength: 2 },
    ),
  ),
  to: part(
    fc.array(
      fc.record({
        operation: fc.record(
          {
            paths: texts(path),
            notPaths: texts(path),
            methods: texts(fc.constantFrom('GET', 'P*', '*')),
            ports: texts(fc.constantFrom('80', '81')),
          },
          { requiredKeys: [] },
        ),
      }),
      { minLength: 1, maxLength: 2 },
    ),
  ),
});

test('where one rule is said to cover another, no request fits the other alone', () => {
  let covered = 0;
  const context = { rootNamespace: 'istio-system', trustDomain: 'td', trustDomainAliases: [], pathNormalization: 'BASE' } as const;
  fc.assert(
    fc.property(rule, rule, (outer, inner) => {
      const policy = (one: object): string =>
        JSON.stringify({
          apiVersion: 'security.istio.io/v1',
          kind: 'AuthorizationPolicy',
          metadata: { name: 'p', namespace: 'shop' },
          spec: { rules: [one] },
        });
      const read = (one: object) => readResources([{ file: 'p', text: policy(one) }]).resources;
      const [wide, narrow] = [outer, inner].map((one) => readMesh(read(one)).authorizations[0]?.rules[0]);
      assert.ok(wide !== undefined && narrow !== undefined);
      if (!ruleCovers(wide, narrow)) return;
      covered++;
      for (const identity of [undefined, 'spiffe://td/ns/a/sa/x', 'spiffe://td/ns/ab/sa/y', 'spiffe://td/ns/b/sa/x'])
        for (const target of ['/a', '/a/b', '/a/', '/b', '/ab', '/a/b/c', '/x/b'])
          for (const [method, port] of [
            ['GET', 80],
            ['POST', 81],
          ] as const) {
            const request = {
              source: { identity, namespace: undefined, serviceAccount: undefined, ip: undefined },
              destination: {
                workload: 'w',
                namespace: 'shop',
                labels: {},
                service: undefined,
                ip: undefined,
                port,
                portName: undefined,
                enforcement: 'sidecar',
              },
              http: { method, path: target, host: 'h', headers: {} },
              sni: undefined,
              remoteIp: undefined,
              authorizers: {},
            } as const;
            if (decideIstio(read(inner), context, request).decision === 'allow')
              assert.equal(
                decideIstio(read(outer), context, request).decision,
                'allow',
                JSON.stringify([outer, inner, identity, target, method]),
              );
          }
    }),
    { numRuns: 3000, seed: 7 },
  );
  assert.ok(covered > 50, String(covered));
});

test('spellings that are listed as passing do pass, in every normalization', () => {
  const modes: Normalization[] = ['NONE', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES'];
  const counts = modes.map((mode) => {
    const past = spellingsPast('/admin', ['/admin'], mode);
    for (const spelling of past) {
      const normal = normalizeIstioPath(spelling, mode);
      assert.ok('path' in normal && !matchPath('/admin', normal.path), spelling);
    }
    return past;
  });
  assert.ok(counts[0]?.includes('/./admin') && counts[0].includes('/%61dmin'));
  assert.ok(counts[1]?.includes('//admin') && !counts[1].includes('/./admin') && !counts[1].includes('/%61dmin'));
  assert.ok(!counts[2]?.includes('//admin') && counts[2]?.includes('/%2fadmin'));
  assert.ok(!counts[3]?.includes('/%2fadmin') && counts[3]?.includes('/ADMIN'));
});

test('a list that holds the other spellings leaves only those that nobody lists', () => {
  assert.deepEqual(spellingsPast('/admin', ['/admin*', '/ADMIN*', '//*', '/%2f*'], 'BASE'), []);
  assert.deepEqual(spellingsPast('/', ['/'], 'BASE'), []);
  assert.deepEqual(spellingsPast('*', ['*'], 'BASE'), []);
});

for (const [version, expected] of [
  ['1.28.5', true],
  ['1.28.6', false],
  ['v1.29.1', true],
  ['1.29.2-rc.1', false],
  ['1.27.9', true],
  ['1.30', false],
  [undefined, false],
] as const)
  test(`${version ?? 'an unknown version'} is ${expected ? '' : 'not '}before the mend`, () =>
    assert.equal(isBefore(version, { '1.28': '1.28.6', '1.29': '1.29.2' }), expected));

const nativeRule = fc
  .tuple(
    fc.constantFrom('web', 'orders', 'both', 'mesh', 'ns:default', 'tier:low', 'tier>=high', 'sa:default/web'),
    fc.constantFrom('orders', 'both', 'mesh', 'tier:high'),
    fc.array(
      fc.constantFrom(
        'any',
        'tcp',
        'any :80',
        'GET /a',
        'GET /a/**',
        'GET|POST /a/*',
        '* /**',
        'GET /a :80',
        'GET /a if header x=y',
        'grpc a.B',
        'grpc a.B/C',
        'GET /*/b',
        'GET /a/',
      ),
      { minLength: 1, maxLength: 2 },
    ),
  )
  .map(([from, to, operations]) => `  - ${JSON.stringify(`${from} -> ${to}`)}: ${JSON.stringify(operations)}\n`);

test('without the rules that are called redundant or shadowed a native policy decides as before', () => {
  const head = `${HEAD}trustDomain: default.local\ntiers: [low, high]\nservices: {web: {tier: low, bridge: true}, orders: {tier: high}, ingress: {tier: low}}\ngroups: {both: [web, orders]}\n`;
  let removed = 0;
  let allowed = 0;
  fc.assert(
    fc.property(fc.array(nativeRule, { minLength: 1, maxLength: 6 }), fc.boolean(), (rules, denies) => {
      const text = (kept: readonly string[]): string =>
        `${head}allow:${kept.length === 0 ? ' []' : ''}\n${kept.join('')}${denies ? 'deny:\n  - web -> orders: any :80\n  - both -> web: tcp\n' : ''}`;
      const compile = (kept: readonly string[]) => {
        const { document } = lintPolicy([{ file: 'p', text: text(kept) }], undefined, { verify: false });
        return compilePolicy(document, [], meshOfPolicy(document), 1);
      };
      const needless = lintPolicy([{ file: 'p', text: text(rules) }], undefined, { verify: false }).findings.filter(
        ({ rule: id }) => id === 'redundant' || id === 'shadowed-rule',
      );
      const first = text(rules).split('\n').indexOf('allow:') + 2;
      const kept = rules.filter((_, i) => !needless.some(({ place }) => place?.line === first + i));
      removed += rules.length - kept.length;
      const [before, after] = [compile(rules), compile(kept)];
      for (const caller of ['web', 'orders', 'other'])
        for (const callee of ['orders', 'web'])
          for (const number of [80, 81])
            for (const http of [
              undefined,
              ['GET', '/a'],
              ['GET', '/a/x'],
              ['POST', '/a/x'],
              ['GET', '/x/b'],
              ['GET', '/a/'],
              ['POST', '/a.B/C'],
            ] as const) {
              const attempt = {
                caller: makeSpiffeId('default.local', 'default', caller),
                callee: makeSpiffeId('default.local', 'default', callee),
                port: { name: '', number },
                http: http && { method: http[0], path: http[1], grpc: http[1] === '/a.B/C', header: () => ['y'] },
                atMs: 0,
              };
              const was = evaluate(before, attempt).verdict;
              if (was === 'allowed') allowed++;
              assert.equal(evaluate(after, attempt).verdict, was, JSON.stringify([rules, needless, attempt]));
            }
    }),
    { numRuns: 800, seed: 3 },
  );
  assert.ok(removed > 100 && allowed > 1000, `${removed} ${allowed}`);
});
