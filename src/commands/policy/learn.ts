// `meshctl policy learn`: the least policy that allows what was seen.
import { replaceList } from '../../base/rewrite.ts';
import { compilePolicy } from '../../policy/compile.ts';
import { evaluate } from '../../policy/evaluate.ts';
import { type LearnedRule, learn } from '../../policy/learn.ts';
import { lintPolicy } from '../../policy/lint.ts';
import { collectNames } from '../../policy/names.ts';
import { attemptOf } from '../../policy/observed.ts';
import type { Run } from '../context.ts';
import { document } from '../document.ts';
import { flag, outputOption, withMesh } from '../input.ts';
import { currentPolicy } from './subject.ts';
import { describeTraffic, readTraffic } from './traffic.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['yaml', 'json']);
  const traffic = await readTraffic(context, input);
  const { spec, files } = await withMesh(context, input, async (mesh) => ({
    spec: (await mesh.request('mesh.spec', null)).spec,
    // A mesh without a policy denies everything; what was denied may be learned from all the same.
    files: (await currentPolicy(mesh))?.files ?? [],
  }));
  const current = lintPolicy(files, spec, { verify: false });
  const wanted = traffic.observed.filter(({ verdict }) => verdict === 'allowed' || flag(input, 'denied'));
  const { rules, left } = learn(wanted, collectNames(current.document, spec), spec.trustDomain);
  const text = print(files.map((file) => file.text).join('---\n'), rules, describeTraffic(traffic));
  const learned = lintPolicy([{ file: 'learned.yaml', text }], spec, { verify: false });
  const policy = compilePolicy(learned.document, learned.findings, spec, 0);
  const atMs = context.now();
  const allowed = traffic.observed
    .filter((one) => {
      const attempt = attemptOf(one, atMs);
      return attempt !== undefined && evaluate(policy, attempt).verdict === 'allowed';
    })
    .reduce((sum, { count }) => sum + count, 0);
  const coveredPercent = (allowed / (traffic.requests - traffic.overflow)) * 100;
  const used = new Set(traffic.observed.map(({ rule }) => rule));
  const before = compilePolicy(current.document, current.findings, spec, 0);
  const unused = [...before.allow]
    .filter(({ id }) => !used.has(id))
    .map(({ id, place }) => ({ rule: id, place: `${place.file}:${place.line}` }));
  if (format === 'json') {
    const time = (ms: number): string => new Date(ms).toISOString();
    context.print(
      document('LearnedPolicy', {
        requests: traffic.requests,
        coveredPercent,
        ratio: traffic.ratio,
        rules: rules.map(({ firstMs, lastMs, ...rest }) => ({ ...rest, firstSeen: time(firstMs), lastSeen: time(lastMs) })),
        unused,
        left: left.map(({ callerId, calleeId, count }) => ({ from: callerId, to: calleeId, count })),
        policy: text,
      }),
    );
    return 0;
  }
  context.print(text);
  context.note(`${describeTraffic(traffic)}; ${coveredPercent.toFixed(1)} % of them are allowed by it\n`);
  if (unused.length > 0)
    context.note(`rules of the policy in force that nothing used: ${unused.map(({ rule, place }) => `${rule} (${place})`).join(', ')}\n`);
  const outside = left.reduce((sum, { count }) => sum + count, 0);
  if (outside > 0) context.note(`${outside} requests came from outside: the ingress takes them without a rule\n`);
  return 0;
};

/** The policy in force with its `allow` replaced, so that tiers, groups, `deny` and promises stay; a fresh one where there is none. */
function print(text: string, rules: readonly LearnedRule[], seen: string): string {
  const edges = new Map<string, LearnedRule[]>();
  for (const rule of rules) edges.set(`${rule.from} -> ${rule.to}`, [...(edges.get(`${rule.from} -> ${rule.to}`) ?? []), rule]);
  const items = [...edges].map(([edge, group]) => {
    const operations = group.map(({ operation }) => operation);
    const count = group.reduce((sum, each) => sum + each.count, 0);
    const last = new Date(Math.max(...group.map(({ lastMs }) => lastMs))).toISOString().slice(0, 10);
    return { value: { [edge]: operations.length === 1 ? operations[0] : operations }, comment: `${count} seen, last ${last}` };
  });
  const base = text.trim() === '' ? 'apiVersion: meshctl.dev/v1\nkind: Policy\n' : text;
  return `# Learned from ${seen}.\n${replaceList(base, 'allow', items)}`;
}
