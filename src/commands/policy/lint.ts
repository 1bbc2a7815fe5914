// `meshctl policy lint PATH…`
import { existsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { Fault } from '../../base/fault.ts';
import { atLeast, type Reported, reaches, type Severity } from '../../base/finding.ts';
import type { MeshSpec } from '../../mesh/spec.ts';
import { writeAtomic } from '../../platform/node/files.ts';
import type { PolicyText } from '../../policy/document.ts';
import { editFiles } from '../../policy/edits.ts';
import { RULE_PAGES } from '../../policy/form-pages.ts';
import { isVersion, type LintOptions, type LintReport, lintAll, printBaseline, readBaseline } from '../../policy/lint-all.ts';
import type { JunitCase } from '../../views/report/junit.ts';
import { renderFindings, summarize } from '../../views/report/table.ts';
import type { Context, Input, Run } from '../context.ts';
import { document } from '../document.ts';
import { flag, listArgument, outputOption, repeatedOption, textOption, withMesh } from '../input.ts';
import { LINT_FORMATS, printLint, severityOption } from '../lint-report.ts';
import { nearestMeshFile } from '../mesh-file.ts';
import { readTexts } from '../read-files.ts';
import { readMesh, readPolicyTexts } from './subject.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, LINT_FORMATS);
  const failOn = severityOption(input, 'failOn', 'fail-on', 'error');
  const show = severityOption(input, 'show', 'show', 'info');
  const options = lintOptions(input);
  const names = listArgument(input, 0);
  const live = flag(input, 'live') ? await readLive(context, input, names) : undefined;
  if (names.length === 0 && live === undefined)
    throw new Fault('USAGE', 'usage', 'nothing is named', { hint: 'meshctl policy lint PATH…, or --live for the policy in force' });
  const files = live?.files ?? readPolicyTexts(context, names);
  const meshFile = live === undefined ? findMeshFile(context, textOption(input, 'mesh'), names[0] ?? '-') : undefined;
  const mesh = live?.spec ?? (meshFile === undefined ? undefined : readMesh(context, meshFile));
  let report = lintAll(files, mesh, options);
  if (flag(input, 'fix')) {
    if (live !== undefined)
      throw new Fault('USAGE', 'usage', '`--fix` writes files: save the policy with `meshctl policy show`, and apply it again');
    const edited = editFiles(files, report.findings);
    for (const { file, text } of edited.files) {
      if (file === '<stdin>') throw new Fault('USAGE', 'usage', '`--fix` writes files, and stdin is none');
      const path = resolve(context.cwd, file);
      writeAtomic(path, text, statSync(path).mode & 0o777);
    }
    context.note(`${edited.count} fixed in ${edited.files.length} file${edited.files.length === 1 ? '' : 's'}\n`);
    if (edited.count > 0) report = lintAll(readPolicyTexts(context, names), mesh, options);
  }
  const writeTo = textOption(input, 'writeBaseline');
  if (writeTo !== undefined) {
    writeAtomic(resolve(context.cwd, writeTo), printBaseline(report.findings), 0o644);
    context.note(`${report.findings.length} findings written to ${writeTo}\n`);
    return 0;
  }
  const known = baselineOf(context, textOption(input, 'baseline'));
  const fresh = report.findings.filter(({ fingerprint }) => !known.has(fingerprint));
  const failed = reaches(fresh, failOn);
  const shown = atLeast(fresh, show);
  const left = report.findings.length - fresh.length;
  const summary = summaryOf(report, fresh, left, mesh !== undefined);
  printLint(context, format, {
    command: 'policy lint',
    title: 'Policy lint',
    findings: shown,
    suppressed: report.suppressed,
    rules: () =>
      RULE_PAGES.map(({ id, severity, summary: text, wrong }) => ({
        id,
        severity,
        summary: text,
        help: `${text}\n\n\`\`\`yaml\n${wrong}\`\`\`\n`,
      })),
    cases: () => junitCases(files, shown, failOn),
    summary,
    json: () =>
      document('LintReport', {
        files: names,
        mesh: meshFile ?? null,
        failed,
        findings: shown,
        suppressed: report.suppressed,
        inBaseline: left,
        foreign: { judged: report.judged, skipped: report.skipped },
      }),
  });
  return failed ? 1 : 0;
};

/** The policy in force with the services of its mesh. Throws POLICY_NONE. */
async function readLive(
  context: Context,
  input: Input,
  names: readonly string[],
): Promise<{ files: readonly PolicyText[]; spec: MeshSpec }> {
  if (names.length > 0) throw new Fault('USAGE', 'usage', '`--live` judges the policy in force, and files are named too');
  return withMesh(context, input, async (mesh) => {
    const { files, revision } = await mesh.request('policy.show', {});
    const { spec } = await mesh.request('mesh.spec', null);
    return { files: files.map(({ file, text }) => ({ file: `policy/${revision}:${file}`, text })), spec };
  });
}

function lintOptions(input: Input): LintOptions {
  const rules = repeatedOption(input, 'rule').flatMap((each) => each.split(','));
  const unknown = rules.find((rule) => !RULE_PAGES.some(({ id }) => id === rule));
  if (unknown !== undefined) throw new Fault('USAGE', 'usage', `no rule is called \`${unknown}\``, { hint: 'docs/rules/ lists them' });
  const version = textOption(input, 'meshVersion');
  if (version !== undefined && !isVersion(version))
    throw new Fault('USAGE', 'usage', `\`--mesh-version ${version}\` is no version`, { hint: 'write `1.28.5`' });
  const rootNamespace = textOption(input, 'rootNamespace');
  return {
    rules: rules.length === 0 ? undefined : rules,
    ...(version === undefined ? {} : { version }),
    ...(rootNamespace === undefined ? {} : { rootNamespace }),
  };
}

function baselineOf(context: Context, file: string | undefined): ReadonlySet<string> {
  if (file === undefined) return new Set();
  const [text] = readTexts(context, [file]);
  const { known, findings } = readBaseline(file, text?.text ?? '');
  if (findings.length === 0) return known;
  context.note(`${renderFindings(findings)}\n`);
  throw new Fault('USAGE', 'usage', `${file} is no baseline of \`policy lint\``, { hint: 'make one with --write-baseline FILE' });
}

function summaryOf(report: LintReport, fresh: readonly Reported[], left: number, hasMesh: boolean): string {
  const skipped = Object.entries(report.skipped).map(([kind, count]) => `${count} ${kind}`);
  const lines = [
    `${summarize(fresh)}${hasMesh ? '' : '; no mesh file: judged by the policy alone'}`,
    ...(report.suppressed.length > 0 ? [`${report.suppressed.length} hidden by comments in the files`] : []),
    ...(left > 0 ? [`${left} known from the baseline`] : []),
    ...(report.judged > 0 ? [`${report.judged} policies of other meshes judged by their own schema`] : []),
    ...(skipped.length > 0 ? [`skipped: ${skipped.join(', ')}`] : []),
  ];
  return `${lines.join('\n')}\n`;
}

/** One case a finding, failed when it is as severe as `--fail-on`; a file without any is one that passed. */
function junitCases(files: readonly { readonly file: string }[], findings: readonly Reported[], failOn: Severity): JunitCase[] {
  return files.flatMap(({ file }) => {
    const own = findings.filter(({ place }) => (place?.file ?? files[0]?.file) === file);
    if (own.length === 0) return [{ name: 'policy lint', file, line: 1, failures: [] }];
    return own.map((finding) => ({
      name: `${finding.rule}: ${finding.what}`,
      file,
      line: finding.place?.line ?? 1,
      failures: reaches([finding], failOn) ? [finding.what, ...(finding.fix === undefined ? [] : [`fix: ${finding.fix}`])] : [],
    }));
  });
}

function findMeshFile(context: Context, named: string | undefined, first: string): string | undefined {
  if (named !== undefined) return named;
  const path = resolve(context.cwd, first);
  return nearestMeshFile(first === '-' || !existsSync(path) ? context.cwd : dirname(path));
}
