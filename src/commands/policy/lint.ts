// `meshctl policy lint FILE…`
import { dirname, resolve } from 'node:path';
import { Fault } from '../../base/fault.ts';
import { reaches, type Severity } from '../../base/finding.ts';
import { printPlace } from '../../base/place.ts';
import { type MeshSpec, parseMeshFile } from '../../mesh/spec.ts';
import { lintPolicy } from '../../policy/lint.ts';
import { renderFindings, summarize } from '../../views/report/table.ts';
import type { Context, Run } from '../context.ts';
import { document } from '../document.ts';
import { listArgument, outputOption, textOption } from '../input.ts';
import { nearestMeshFile } from '../mesh-file.ts';
import { readTexts } from '../read-files.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const failOn = textOption(input, 'failOn') ?? 'error';
  if (failOn !== 'error' && failOn !== 'warning' && failOn !== 'info')
    throw new Fault('USAGE', 'usage', `\`--fail-on ${failOn}\`: error, warning or info is wanted`);
  const names = listArgument(input, 0);
  const files = readTexts(context, names);
  const meshFile = findMeshFile(context, textOption(input, 'mesh'), names[0] ?? '-');
  const { findings } = lintPolicy(files, meshFile === undefined ? undefined : readMesh(context, meshFile));
  const failed = reaches(findings, failOn satisfies Severity);
  if (format === 'json') context.print(document('LintReport', { files: names, mesh: meshFile ?? null, failed, findings }));
  else {
    if (findings.length > 0) context.print(`${renderFindings(findings)}\n`);
    context.print(`${summarize(findings)}${meshFile === undefined ? '; no mesh file: judged by the policy alone' : ''}\n`);
  }
  return failed ? 1 : 0;
};

function findMeshFile(context: Context, named: string | undefined, first: string): string | undefined {
  if (named !== undefined) return named;
  return nearestMeshFile(first === '-' ? context.cwd : dirname(resolve(context.cwd, first)));
}

function readMesh(context: Context, name: string): MeshSpec {
  const [file] = readTexts(context, [name]);
  const { spec, findings } = parseMeshFile(name, file?.text ?? '');
  if (spec === undefined) {
    const first = findings[0];
    const place = first?.place === undefined ? name : printPlace(first.place);
    throw new Fault('MESH_FILE', 'config', `the mesh file has errors: ${place}: ${first?.what}`, {
      hint: 'mend it, or name another one with --mesh',
    });
  }
  return spec;
}
