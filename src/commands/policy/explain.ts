// `meshctl policy explain SRC DST`: the same answer as `check`, with every stage on the way to it and what would change it.

import type { Attempt } from '../../policy/evaluate.ts';
import { explain } from '../../policy/explain.ts';
import { printOperation } from '../../policy/text.ts';
import { paint, SYMBOL } from '../../views/theme.ts';
import type { Run } from '../context.ts';
import { document } from '../document.ts';
import { outputOption } from '../input.ts';
import { decisionBody, exitCode, printQuestion, printVerdict, readAttempt } from './check.ts';
import { checkForeign } from './check-foreign.ts';
import { foreignPolicies, loadSubject } from './subject.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const foreign = foreignPolicies(context, input);
  if (foreign !== undefined) return checkForeign(context, input, foreign.mesh, foreign.source);
  const subject = await loadSubject(context, input, []);
  const attempt = readAttempt(context, input, subject);
  const { decision, steps, nearest } = explain(subject.policy, attempt);
  const grant =
    nearest !== undefined || (decision.verdict === 'denied' && decision.stage === 'default')
      ? smallestGrant(input.args, attempt)
      : undefined;
  if (format === 'json') {
    context.print(
      document('PolicyExplanation', {
        ...decisionBody(subject, attempt, decision),
        steps: steps.map(({ place, ...step }) => ({ ...step, place: place ?? null })),
        nearest: nearest ?? null,
        grant: grant ?? null,
      }),
    );
    return exitCode(decision);
  }
  const lines = [`${printVerdict(decision)}  ${printQuestion(attempt)}`, paint('dim', `  by ${subject.source}`), ''];
  for (const { stage, outcome, what, place } of steps) {
    const sign =
      outcome === 'not reached'
        ? ' '
        : outcome === 'passed'
          ? paint('good', SYMBOL.good)
          : decision.verdict === 'allowed'
            ? paint('good', SYMBOL.good)
            : paint('bad', SYMBOL.bad);
    const text = outcome === 'not reached' ? paint('dim', 'not reached') : `${what}${place === undefined ? '' : `  ${place}`}`;
    lines.push(`  ${sign} ${stage.padEnd(8)}  ${outcome === 'decided' ? paint('strong', text) : text}`);
  }
  if (nearest !== undefined)
    lines.push(
      '',
      `  nearest: ${nearest.rule}  ${nearest.place}`,
      `           its ${nearest.field} is ${nearest.wanted}, here it is ${nearest.given}`,
    );
  if (grant !== undefined) lines.push('', `  allowed by:  - ${grant}`);
  context.print(`${lines.join('\n')}\n`);
  return exitCode(decision);
};

/** The narrowest rule that would allow what was asked. */
function smallestGrant(args: readonly (string | readonly string[] | undefined)[], { http, port }: Attempt): string {
  const [from, to] = args.map(String);
  const callee = to?.includes(':') && !/^(?:id|ns|sa):/.test(to) ? to.slice(0, to.lastIndexOf(':')) : to;
  const where = port === undefined || port.name === '' ? {} : { port: port.name };
  if (http === undefined) return `${from} -> ${callee}: ${printOperation({ kind: 'tcp', ...where })}`;
  if (http.grpc && http.path !== undefined) {
    const [service = '', method] = http.path.slice(1).split('/');
    return `${from} -> ${callee}: ${printOperation({ kind: 'grpc', service, ...(method === undefined ? {} : { method }) })}`;
  }
  const methods = http.method === undefined ? {} : { methods: [http.method] };
  return `${from} -> ${callee}: ${printOperation({ kind: 'http', ...methods, path: http.path ?? '/**' })}`;
}
