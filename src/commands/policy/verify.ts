// `meshctl policy verify PATH…`: do the policy's invariants hold, over every identity there can be?

import { printPlace } from '../../base/place.ts';
import { type Hop, printRequest } from '../../policy/reachability.ts';
import { type Verification, verify } from '../../policy/verify.ts';
import { paint, SYMBOL } from '../../views/theme.ts';
import type { Run } from '../context.ts';
import { document } from '../document.ts';
import { listArgument, outputOption } from '../input.ts';
import { loadSubject, portsOf } from './subject.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const subject = await loadSubject(context, input, listArgument(input, 0));
  const { policy, names, document: text, mesh, source } = subject;
  const results = verify({ policy, names, invariants: text.invariants, ports: portsOf(mesh), atMs: context.now() });
  const violated = results.filter(({ verdict }) => verdict === 'violated').length;
  const unknown = results.filter(({ verdict }) => verdict === 'unknown').length;
  if (format === 'json')
    context.print(document('PolicyVerification', { policy: source, violated, unknown, invariants: results.map(body) }));
  else {
    for (const result of results) context.print(`${print(result)}\n`);
    if (results.length === 0) context.print(`${source} has no invariants\n`);
    else
      context.print(
        `${results.length} invariants: ${results.length - violated - unknown} hold, ${violated} violated${unknown > 0 ? `, ${unknown} unknown` : ''}\n`,
      );
  }
  return violated > 0 ? 1 : unknown > 0 ? 2 : 0;
};

function body({ invariant, verdict, what, hops, cut }: Verification): object {
  return { id: invariant.id, place: printPlace(invariant.place), why: invariant.why ?? null, verdict, what, hops: hops.map(hopBody), cut };
}

function hopBody({ from, to, request, decision }: Hop): object {
  return { from: from.label, to: to.label, request: printRequest(request), rule: decision.rule, place: decision.place ?? null };
}

function print({ invariant, verdict, what, hops, cut }: Verification): string {
  const sign = verdict === 'holds' ? paint('good', SYMBOL.good) : verdict === 'violated' ? paint('bad', SYMBOL.bad) : paint('warn', '?');
  const lines = [`${sign} ${paint('strong', invariant.id)}  ${paint('dim', printPlace(invariant.place))}`, `  ${what}`];
  if (verdict !== 'holds' && invariant.why !== undefined) lines.push(`  ${paint('dim', `why: ${invariant.why}`)}`);
  for (const { from, to, request, decision } of hops)
    lines.push(
      `    ${from.label} -> ${to.label}  ${printRequest(request)}`,
      paint('dim', `      ${decision.rule}${decision.place === undefined ? '' : `  ${decision.place}`}`),
    );
  if (cut.length > 0 && invariant.kind === 'never') {
    lines.push('  it would hold without');
    for (const edge of cut)
      lines.push(`    ${edge.from} -> ${edge.to}: ${edge.rules.map(({ rule, place }) => `${rule} (${place})`).join(' and ')}`);
  }
  return lines.join('\n');
}
