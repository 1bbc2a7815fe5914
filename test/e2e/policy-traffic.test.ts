// Policies beside real traffic: what audit mode lets pass, what was denied, what another policy would decide, what can be learned, and back again.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Workplace } from '../support/cli.ts';

const place = new Workplace();
let ingress = '';
let policy = '';

before(async () => {
  // No load of its own: every request is one of the tests.
  ({ ingressUrl: ingress } = await place.json<{ ingressUrl: string }>(['demo', '-d', '--load', '0']));
  policy = (await place.run(['policy', 'show'])).stdout;
  place.write('same.yaml', policy);
  place.write('closed.yaml', policy.replace(/ {2}- orders -> payments:.*\n/, '').replace(/^tests:[\s\S]*/m, ''));
});
after(async () => {
  await place.run(['down']);
  await place[Symbol.asyncDispose]();
});

const checkout = async (): Promise<Response> => {
  const response = await fetch(`${ingress}/checkout`);
  await response.arrayBuffer();
  return response;
};

interface Denials {
  readonly items: {
    readonly verdict: string;
    readonly from: string;
    readonly to: string;
    readonly request: string;
    readonly count: number;
    readonly requestId: string;
  }[];
}
const ends = (id: string, name: string): boolean => id.endsWith(`/sa/${name}`);

/** Spans are on their way for a moment. */
async function eventually<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
  }
}

test('replay by the policy in force flips nothing; by a narrower one it lists what would be denied, with an example, and is exit 1', async () => {
  assert.equal((await checkout()).status, 200);
  const flips = await eventually(async () => {
    const result = await place.run(['policy', 'replay', 'closed.yaml', '-o', 'json']);
    return result.code === 1 && result.stdout !== '' ? JSON.parse(result.stdout).flips : undefined;
  });
  assert.equal(flips.length, 1);
  const [{ from, to, request, before: was, after: now, requestId }] = flips;
  assert.ok(ends(from, 'orders') && ends(to, 'payments'));
  assert.deepEqual([request, was.verdict, now.verdict, now.stage], ['POST /charge', 'allowed', 'denied', 'default']);
  const same = await place.run(['policy', 'replay', 'same.yaml']);
  assert.equal(same.code, 0, same.stdout);
  assert.match(same.stdout, /^0 of \d+ would be decided otherwise/);
  const traced = await place.run(['policy', 'check', '--from-trace', requestId, '--policy', 'closed.yaml']);
  assert.equal(traced.code, 1);
  assert.match(traced.stdout, /× denied {2}spiffe:\/\/\S+\/sa\/orders -> \S+\/sa\/payments {2}POST \/charge :\S+ {2}\(it was allowed\)/);
  assert.equal((await place.run(['policy', 'check', '--from-trace', requestId])).code, 0);
});

test('what is learned from traffic allows all of it, keeps tiers and promises, and passes lint', async () => {
  const learned = await place.json<{ policy: string; coveredPercent: number; rules: { from: string; to: string; operation: string }[] }>([
    'policy',
    'learn',
  ]);
  assert.match(learned.policy, /- orders -> payments: POST \/charge # \d+ seen/);
  assert.match(learned.policy, /never: tier<high => tier:high/);
  assert.ok(learned.rules.every(({ operation }) => operation !== 'any'));
  place.write('learned.yaml', learned.policy);
  assert.equal((await place.run(['policy', 'lint', 'learned.yaml'])).code, 0);
  assert.equal((await place.run(['policy', 'replay', 'learned.yaml'])).code, 0);
});

test('audit lets pass what no rule allows and lists it; a floor and a `deny` hold', async () => {
  const applied = await place.run(['policy', 'apply', 'closed.yaml', '--audit']);
  assert.equal(applied.code, 0, applied.stderr);
  assert.match(applied.stdout, /^policy\/2 applied; what no rule allows is only reported\n$/);
  assert.match(applied.stderr, /- narrowed {2}orders -> payments {2}POST \/charge\n0 widened, 1 narrowed/);
  assert.match((await place.run(['status'])).stdout, /policy revision 2 \(audit: /);
  assert.equal((await checkout()).status, 200);
  const item = await eventually(async () => {
    const { items } = await place.json<Denials>(['policy', 'denials', '--audited']);
    return items.find(({ from }) => ends(from, 'orders'));
  });
  assert.deepEqual([item.verdict, item.request], ['would-be-denied', 'POST /charge']);
  place.write('deny.yaml', `${policy.replace(/^tests:[\s\S]*/m, '')}deny:\n  - orders -> payments: any\n`);
  assert.equal((await place.run(['policy', 'apply', 'deny.yaml', '--audit'])).code, 0);
  assert.equal((await checkout()).status, 502);
});

test('`--audit=all` needs --yes, and then lets pass even what a `deny` refuses', async () => {
  const asked = await place.run(['policy', 'apply', 'deny.yaml', '--audit=all']);
  assert.deepEqual([asked.code, asked.stdout], [2, '']);
  assert.match(asked.stderr, /add --yes/);
  assert.equal((await place.run(['policy', 'apply', 'deny.yaml', '--audit=all', '--yes'])).code, 0);
  assert.equal((await checkout()).status, 200);
  const { items } = await place.json<{ items: { revision: number; audit: string }[] }>(['policy', 'history']);
  assert.deepEqual(
    items.map(({ audit }) => audit),
    ['none', 'default', 'default', 'all'],
  );
});

test('rollback puts an earlier revision in force as a new one, with its mode', async () => {
  const planned = await place.run(['policy', 'rollback', '1', '--dry-run']);
  assert.equal(planned.code, 0);
  assert.match(planned.stdout, /would be applied/);
  const back = await place.run(['policy', 'rollback', '1']);
  assert.deepEqual([back.code, back.stdout], [0, 'policy/5 applied\n']);
  assert.equal((await place.run(['policy', 'show'])).stdout, policy);
  assert.equal((await checkout()).status, 200);
  assert.doesNotMatch((await place.run(['status'])).stdout, /audit/);
  const denied = await place.json<Denials>(['policy', 'denials']);
  assert.ok(denied.items.some(({ verdict }) => verdict === 'denied'));
});

test('policies of another mesh are applied when all of them can be carried over, and refused whole when not', async () => {
  const workload = (name: string): string =>
    `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, namespace: default, labels: {app: ${name}}}\nspec: {serviceAccountName: ${name}, containers: []}\n---\n`;
  const allow = (from: string, to: string): string =>
    `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: ${to}, namespace: default}\nspec: {selector: {matchLabels: {app: ${to}}}, rules: [{from: [{source: {principals: [cluster.local/ns/default/sa/${from}]}}]}]}\n---\n`;
  const pods = ['web', 'orders', 'payments'].map(workload).join('');
  place.write('istio.yaml', `${pods}${allow('ingress', 'web')}${allow('web', 'orders')}${allow('orders', 'payments')}`);
  const applied = await place.run(['policy', 'apply', 'istio.yaml']);
  assert.deepEqual([applied.code, applied.stdout], [0, 'policy/6 applied\n'], applied.stderr);
  const shown = (await place.run(['policy', 'show'])).stdout;
  assert.match(shown, /web -> orders: any # AuthorizationPolicy default\/orders \(istio\.yaml:\d+\)/);
  place.write('part.yaml', `${pods}${allow('web', 'orders').replace('principals', 'notPrincipals')}`);
  const refused = await place.run(['policy', 'apply', 'part.yaml']);
  assert.deepEqual([refused.code, refused.stdout], [2, '']);
  assert.match(refused.stderr, /part\.yaml:\d+:\d+ {2}AuthorizationPolicy.*\n.*cannot be carried over, so nothing is applied/);
  assert.equal((await place.run(['policy', 'show'])).stdout, shown);
});

for (const [title, args, code, says] of [
  ['rollback to a revision that is not there', ['rollback', '99'], 1, /no policy revision 99/],
  ['rollback to no number', ['rollback', 'first'], 2, /no revision number/],
  ['replay of a file that is not there', ['replay', 'none.yaml'], 2, /no such file/],
  ['replay of a policy with errors', ['replay', 'broken.yaml'], 2, /has an error/],
  ['denials since a word', ['denials', '--since', 'yesterday'], 2, /no duration/],
  ['denials of the last millisecond', ['denials', '--since', '1ms'], 1, /no request was recorded/],
  ['an audit mode that is none', ['apply', 'same.yaml', '--audit=some'], 2, /--audit=all/],
  ['a trace and a caller', ['check', 'web', '--from-trace', '01234567'], 2, /from the trace/],
  ['a trace that is not there', ['check', '--from-trace', '0123456789abcdef'], 1, /no trace or request/],
  ['a check of nobody', ['check'], 2, /a caller and a callee/],
] as const)
  test(`${title} is exit ${code} with a word, and nothing on stdout`, async () => {
    place.write('broken.yaml', policy.replace('orders -> payments', 'odrers -> payments'));
    const result = await place.run(['policy', ...args]);
    assert.deepEqual([result.code, result.stdout], [code, '']);
    assert.match(result.stderr, says);
  });
