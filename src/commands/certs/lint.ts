// `meshctl certs lint FILE…`: is each certificate as it should be?
import { Fault } from '../../base/fault.ts';
import { type Finding, inOrder, reaches, type Severity } from '../../base/finding.ts';
import { CERTIFICATE_RULES, lintCertificates } from '../../certs/lint.ts';
import { renderGithub } from '../../views/report/github.ts';
import { renderJunit } from '../../views/report/junit.ts';
import { renderMarkdown } from '../../views/report/markdown.ts';
import { renderSarif } from '../../views/report/sarif.ts';
import { renderFindings, summarize } from '../../views/report/table.ts';
import type { Run } from '../context.ts';
import { document } from '../document.ts';
import { listArgument, outputOption, textOption } from '../input.ts';
import { readBytes } from '../read-files.ts';
import { VERSION } from '../version-number.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json', 'sarif', 'junit', 'github', 'markdown']);
  const failOn = textOption(input, 'failOn') ?? 'error';
  if (failOn !== 'error' && failOn !== 'warning' && failOn !== 'info')
    throw new Fault('USAGE', 'usage', `\`--fail-on ${failOn}\`: error, warning or info is wanted`);
  const names = listArgument(input, 0);
  let count = 0;
  const all = names.flatMap((name): Finding[] => {
    const file = name === '-' ? '<stdin>' : name;
    const linted = lintCertificates(file, readBytes(context, name));
    if (linted.count === 0) throw new Fault('CERT_UNREADABLE', 'usage', `\`${name}\` holds no certificate, neither PEM nor DER`);
    count += linted.count;
    return linted.findings;
  });
  const findings = inOrder(all);
  const failed = reaches(findings, failOn satisfies Severity);
  const summary = `${count} certificate${count === 1 ? '' : 's'}: ${summarize(findings)}\n`;
  switch (format) {
    case 'json':
      context.print(document('CertificateLintReport', { files: names, certificates: count, failed, findings }));
      break;
    case 'sarif': {
      const fingerprinted = findings.map((finding) => ({ ...finding, fingerprint: `${finding.rule}:${finding.place?.line ?? 0}` }));
      const rules = CERTIFICATE_RULES.map((each) => ({ ...each, help: each.summary }));
      context.print(renderSarif({ version: VERSION, rules, findings: fingerprinted, suppressed: [] }));
      break;
    }
    case 'junit':
      context.print(
        renderJunit(
          'certs lint',
          findings.map((finding) => ({
            name: `${finding.rule}: ${finding.what}`,
            file: finding.place?.file ?? '',
            line: finding.place?.line ?? 1,
            failures: reaches([finding], failOn) ? [finding.what] : [],
          })),
        ),
      );
      break;
    case 'github':
      context.print(renderGithub(findings));
      context.note(summary);
      break;
    case 'markdown':
      context.print(renderMarkdown(findings, summary, 'Certificate lint'));
      break;
    default:
      if (findings.length > 0) context.print(`${renderFindings(findings)}\n`);
      context.print(summary);
  }
  return failed ? 1 : 0;
};
