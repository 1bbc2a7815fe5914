// `meshctl certs lint FILE…`: is each certificate as it should be?
import { Fault } from '../../base/fault.ts';
import { type Finding, inOrder, reaches } from '../../base/finding.ts';
import { CERTIFICATE_RULES, lintCertificates } from '../../certs/lint.ts';
import { summarize } from '../../views/report/table.ts';
import type { Run } from '../context.ts';
import { document } from '../document.ts';
import { listArgument, outputOption, textOption } from '../input.ts';
import { LINT_FORMATS, printLint, severityOption } from '../lint-report.ts';
import { readBytes } from '../read-files.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, LINT_FORMATS);
  const failOn = severityOption(input, 'failOn', 'fail-on', 'error');
  const profile = textOption(input, 'profile') ?? 'spiffe';
  if (profile !== 'spiffe' && profile !== 'rfc5280')
    throw new Fault('USAGE', 'usage', `\`--profile ${profile}\` is not known: spiffe and rfc5280 are`);
  const names = listArgument(input, 0);
  let count = 0;
  const all = names.flatMap((name): Finding[] => {
    const file = name === '-' ? '<stdin>' : name;
    const linted = lintCertificates(file, readBytes(context, name), profile);
    if (linted.count === 0) throw new Fault('CERT_UNREADABLE', 'usage', `\`${name}\` holds no certificate, neither PEM nor DER`);
    count += linted.count;
    return linted.findings;
  });
  const plain = inOrder(all);
  const findings = plain.map((each) => ({ ...each, fingerprint: `${each.rule}:${each.place?.line ?? 0}` }));
  const failed = reaches(findings, failOn);
  printLint(context, format, {
    command: 'certs lint',
    title: 'Certificate lint',
    findings,
    suppressed: [],
    rules: () => CERTIFICATE_RULES.map((each) => ({ ...each, help: each.summary })),
    cases: () =>
      findings.map((finding) => ({
        name: `${finding.rule}: ${finding.what}`,
        file: finding.place?.file ?? '',
        line: finding.place?.line ?? 1,
        failures: reaches([finding], failOn) ? [finding.what] : [],
      })),
    summary: `${count} certificate${count === 1 ? '' : 's'}: ${summarize(findings)}\n`,
    json: () =>
      document('CertificateLintReport', {
        files: names,
        certificates: count,
        failed,
        findings: plain,
      }),
  });
  return failed ? 1 : 0;
};
