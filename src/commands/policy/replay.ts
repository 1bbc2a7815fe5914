// `meshctl policy replay PATH…`: recorded requests judged by another policy, and those that it would decide otherwise.
import { type Decision, evaluate } from '../../policy/evaluate.ts';
import { attemptOf, type Observed, printObserved } from '../../policy/observed.ts';
import { renderTable } from '../../views/table.ts';
import type { Run } from '../context.ts';
import { document } from '../document.ts';
import { listArgument, outputOption } from '../input.ts';
import { loadBeside } from './subject.ts';
import { describeTraffic, readTraffic, shortId } from './traffic.ts';

interface Flip {
  readonly observed: Observed;
  readonly now: Decision;
  count: number;
}

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const traffic = await readTraffic(context, input);
  const subject = await loadBeside(context, input, listArgument(input, 0));
  const { policy, mesh } = subject;
  const atMs = context.now();
  const flips = new Map<string, Flip>();
  let judged = 0;
  for (const observed of traffic.observed) {
    const attempt = attemptOf(observed, atMs);
    if (attempt === undefined) continue;
    const now = evaluate(policy, attempt);
    judged += observed.count;
    if (now.verdict === observed.verdict && now.audited === observed.audited) continue;
    const key = JSON.stringify([observed.callerId, observed.calleeId, printObserved(observed), observed.verdict, now.verdict, now.rule]);
    const known = flips.get(key);
    if (known === undefined) flips.set(key, { observed, now, count: observed.count });
    else known.count += observed.count;
  }
  const all = [...flips.values()].sort((a, b) => b.count - a.count);
  const name = (id: string | null): string => shortId(id, policy.trustDomain, mesh.namespace);
  if (format === 'json')
    context.print(
      document('PolicyReplay', {
        policy: subject.source,
        requests: judged,
        flips: all.map(({ observed, now, count }) => ({
          count,
          from: observed.callerId,
          to: observed.calleeId,
          request: printObserved(observed),
          before: { verdict: observed.verdict, rule: observed.rule, audited: observed.audited },
          after: {
            verdict: now.verdict,
            stage: now.stage,
            rule: now.rule,
            place: now.place ?? null,
            missing: now.missing,
            audited: now.audited,
          },
          requestId: observed.requestId,
        })),
      }),
    );
  else {
    if (all.length > 0)
      context.print(
        renderTable(
          [
            { name: 'COUNT', align: 'right' },
            { name: 'CHANGE' },
            { name: 'CALLER' },
            { name: 'CALLEE' },
            { name: 'REQUEST' },
            { name: 'BY' },
            { name: 'EXAMPLE' },
          ],
          all.map(({ observed, now, count }) => [
            String(count),
            {
              text: `${word(observed)} → ${now.verdict === 'unknown' ? `unknown (${now.missing.join(', ')})` : word(now)}`,
              meaning: now.verdict === 'allowed' ? 'warn' : 'bad',
            },
            name(observed.callerId),
            name(observed.calleeId),
            printObserved(observed),
            `${now.rule}${now.place === undefined ? '' : ` (${now.place})`}`,
            observed.requestId || observed.traceId,
          ]),
        ),
      );
    const flipped = all.reduce((sum, { count }) => sum + count, 0);
    context.print(`${flipped} of ${judged} would be decided otherwise (${describeTraffic(traffic)})\n`);
  }
  return all.length > 0 ? 1 : 0;
};

const word = ({ verdict, audited }: { verdict: string; audited: boolean }): string => (audited ? 'allowed, reported' : verdict);
