// `meshctl policy diff OLD NEW`: what a change allows that was not allowed, and what it takes away, each with a request that shows it.
import { Fault } from '../../base/fault.ts';
import { type Change, diffPolicies } from '../../policy/diff.ts';
import { printRequest } from '../../policy/reachability.ts';
import { codeCell } from '../../views/report/markdown.ts';
import { paint } from '../../views/theme.ts';
import type { Run } from '../context.ts';
import { document } from '../document.ts';
import { listArgument, outputOption, textArgument, textOption } from '../input.ts';
import { loadSides, portsOf } from './subject.ts';

const THRESHOLDS = ['widened', 'narrowed', 'changed'] as const;

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json', 'markdown']);
  const failIf = textOption(input, 'failIf');
  if (failIf !== undefined && !THRESHOLDS.some((each) => each === failIf))
    throw new Fault('USAGE', 'usage', `\`--fail-if ${failIf}\`: ${THRESHOLDS.join(', ')} is wanted`);
  const [before, after] = await loadSides(context, input, textArgument(input, 0) ?? '', listArgument(input, 1));
  if (before.policy.trustDomain !== after.policy.trustDomain)
    throw new Fault(
      'USAGE',
      'usage',
      `the two are of different trust domains: ${before.policy.trustDomain} and ${after.policy.trustDomain}`,
    );
  const diff = diffPolicies(before.policy, after.policy, [...portsOf(before.mesh), ...portsOf(after.mesh)], context.now());
  const { widened, narrowed, isExact } = diff;
  if (format === 'json')
    context.print(
      document('PolicyDiff', {
        before: before.source,
        after: after.source,
        isExact,
        widened: widened.map(body),
        narrowed: narrowed.map(body),
      }),
    );
  else if (format === 'markdown') context.print(markdown(widened, narrowed, isExact));
  else {
    for (const change of widened)
      context.print(
        `${paint('bad', '+ widened ')}  ${print(change)}\n    ${paint('dim', `now ${by(change.after)}; before ${by(change.before)}`)}\n`,
      );
    for (const change of narrowed)
      context.print(
        `${paint('good', '- narrowed')}  ${print(change)}\n    ${paint('dim', `before ${by(change.before)}; now ${by(change.after)}`)}\n`,
      );
    context.print(
      `${widened.length} widened, ${narrowed.length} narrowed${isExact ? '' : '; some rules cover too many paths, of those only examples were tried'}\n`,
    );
  }
  const failed =
    failIf === 'changed'
      ? widened.length + narrowed.length
      : failIf === 'widened'
        ? widened.length
        : failIf === 'narrowed'
          ? narrowed.length
          : 0;
  return failed > 0 ? 1 : 0;
};

const print = ({ from, to, request }: Change): string => `${from.label} -> ${to.label}  ${printRequest(request)}`;

function by({ verdict, rule, place }: Change['after']): string {
  return `${verdict} by ${rule}${place === undefined ? '' : ` (${place})`}`;
}

function body({ from, to, request, before, after }: Change): object {
  const short = ({ verdict, stage, rule, place }: Change['after']): object => ({ verdict, stage, rule, place: place ?? null });
  return { from: from.label, to: to.label, request: printRequest(request), before: short(before), after: short(after) };
}

function markdown(widened: readonly Change[], narrowed: readonly Change[], isExact: boolean): string {
  const table = (title: string, changes: readonly Change[], side: 'before' | 'after'): string => {
    if (changes.length === 0) return '';
    const rows = changes.map(
      (change) =>
        `| ${codeCell(change.from.label)} | ${codeCell(change.to.label)} | ${codeCell(printRequest(change.request))} | ${codeCell(by(change[side]))} |`,
    );
    return `### ${title}\n\n| caller | callee | for example | by |\n| --- | --- | --- | --- |\n${rows.join('\n')}\n\n`;
  };
  const note = isExact ? '' : 'Some rules cover too many paths; of those only examples were tried.\n';
  return `${table('Allowed now, and was not', widened, 'after')}${table('Allowed before, and is not any more', narrowed, 'before')}${widened.length} widened, ${narrowed.length} narrowed.\n${note}`;
}
