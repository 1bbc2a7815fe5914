// `meshctl policy lint FILE…`
import { dirname, resolve } from 'node:path';
import { Fault } from '../../base/fault.ts';
import { inOrder, reaches, type Severity } from '../../base/finding.ts';
import { lintForeign } from '../../policy/foreign.ts';
import { lintPolicy } from '../../policy/lint.ts';
import { renderFindings, summarize } from '../../views/report/table.ts';
import type { Context, Run } from '../context.ts';
import { document } from '../document.ts';
import { listArgument, outputOption, textOption } from '../input.ts';
import { nearestMeshFile } from '../mesh-file.ts';
import { readMesh, readPolicyTexts } from './subject.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const failOn = textOption(input, 'failOn') ?? 'error';
  if (failOn !== 'error' && failOn !== 'warning' && failOn !== 'info')
    throw new Fault('USAGE', 'usage', `\`--fail-on ${failOn}\`: error, warning or info is wanted`);
  const names = listArgument(input, 0);
  const files = readPolicyTexts(context, names);
  const meshFile = findMeshFile(context, textOption(input, 'mesh'), names[0] ?? '-');
  const native = lintPolicy(files, meshFile === undefined ? undefined : readMesh(context, meshFile), { skipForeign: true });
  const foreign = lintForeign(files);
  const findings = inOrder([...native.findings, ...foreign.findings]);
  const failed = reaches(findings, failOn satisfies Severity);
  if (format === 'json')
    context.print(
      document('LintReport', {
        files: names,
        mesh: meshFile ?? null,
        failed,
        findings,
        foreign: { judged: foreign.judged, skipped: foreign.skipped },
      }),
    );
  else {
    if (findings.length > 0) context.print(`${renderFindings(findings)}\n`);
    context.print(`${summarize(findings)}${meshFile === undefined ? '; no mesh file: judged by the policy alone' : ''}\n`);
    const skipped = Object.entries(foreign.skipped).map(([kind, count]) => `${count} ${kind}`);
    if (foreign.judged > 0) context.print(`${foreign.judged} policies of other meshes judged by their own schema\n`);
    if (skipped.length > 0) context.print(`skipped: ${skipped.join(', ')}\n`);
  }
  return failed ? 1 : 0;
};

function findMeshFile(context: Context, named: string | undefined, first: string): string | undefined {
  if (named !== undefined) return named;
  return nearestMeshFile(first === '-' ? context.cwd : dirname(resolve(context.cwd, first)));
}
