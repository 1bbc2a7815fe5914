// Files whose text the program itself knows: written by `npm run snap`, held equal by test/house/generated.test.ts.
import { CERTIFICATE_RULES } from '../../src/certs/lint.ts';
import { CATALOGUE, GROUPS } from '../../src/commands/catalogue.ts';
import { RULE_PAGES } from '../../src/policy/form-pages.ts';
import type { RulePage } from '../../src/policy/rule.ts';
import { ownMetrics } from '../../src/signals/exposition.ts';
import { COMPLETIONS } from '../../src/views/completion.ts';

const COMPLETION_FILES: Readonly<Record<string, string>> = {
  bash: 'meshctl.bash',
  zsh: '_meshctl',
  fish: 'meshctl.fish',
  powershell: 'meshctl.ps1',
};

/** Path from the root → text. */
export function generatedFiles(): Map<string, string> {
  const files = new Map<string, string>();
  for (const [shell, print] of COMPLETIONS) files.set(`completions/${COMPLETION_FILES[shell]}`, print(CATALOGUE, GROUPS));
  files.set('docs/rules/README.md', rulesIndex());
  for (const page of RULE_PAGES) files.set(`docs/rules/${page.id}.md`, rulePage(page));
  files.set('docs/certificate-rules.md', certificateRules());
  files.set('docs/metrics.md', metricsPage());
  files.set('docs/cli.md', commandsPage());
  return files;
}

function rulesIndex(): string {
  const rows = RULE_PAGES.map(({ id, severity, summary, see }) => {
    const first = summary.slice(0, summary.search(/[.:](?: |$)/));
    return `| [${id}](${id}.md) | ${severity} | ${first.replaceAll('|', '\\|')} | ${(see ?? []).join(', ')} |`;
  });
  return `# Lint rules of policies

What \`meshctl policy lint\` finds, one page a rule. The ids are stable. Of Istio, Linkerd and Kubernetes it judges what the files hold: where none
of them is a namespace, a workload or a service account, nothing is said about missing ones.

| rule | severity | what | also known as |
| --- | --- | --- | --- |
${rows.join('\n')}
`;
}

function certificateRules(): string {
  const rows = CERTIFICATE_RULES.map(({ id, severity, summary }) => `| ${id} | ${severity} | ${summary} |`);
  return `# Lint rules of certificates\n\nWhat \`meshctl certs lint\` finds. The ids are stable.\n\n| rule | severity | what |\n| --- | --- | --- |\n${rows.join('\n')}\n`;
}

function metricsPage(): string {
  const rows = ownMetrics().map(({ name, type, help }) => `| \`${type === 'counter' ? `${name}_total` : name}\` | ${type} | ${help} |`);
  return `# Metrics

What \`meshctl metrics\` prints and serves ([signals.md](signals.md#prometheus) says how). Names are stable. Durations are OpenTelemetry's semantic
conventions as Prometheus spells them, with their bucket bounds from 5 ms to 10 s.

| name | type | what |
| --- | --- | --- |
${rows.join('\n')}

Labels: \`service\` and \`instance\` of the proxy that says so; \`client\` or \`server\` is the other end (\`-\`: no identity, from outside);
\`http_response_status_class\` is \`2xx\` to \`5xx\`, \`error_type\` is \`5xx\` or why the proxy refused ([faults.md](faults.md#refusals)); \`http_route\` is \`GET /orders/{id}\`.
`;
}

/** The wrong example, mended. */
export function mended({ wrong, mend }: RulePage): string {
  return mend.reduce((text, [from, to]) => text.replace(from, () => to), wrong);
}

function rulePage(page: RulePage): string {
  const see = page.see === undefined ? '' : `\nAlso known as, or behind it: ${page.see.join(', ')}.\n`;
  const yaml = (text: string): string => `\`\`\`yaml\n${text}\`\`\`\n`;
  return `# ${page.id}\n\nSeverity: ${page.severity}.\n\n${page.summary}\n${see}\n## Wrong\n\n${yaml(page.wrong)}\n## Right\n\n${yaml(mended(page))}`;
}

function commandsPage(): string {
  const parts = CATALOGUE.map((command) => {
    const name = `meshctl ${command.path.join(' ')}${(command.arguments ?? []).map((argument) => ` ${argument.name}`).join('')}`;
    const rows = [
      ...(command.arguments ?? []).map((argument) => ({ flags: argument.name, description: argument.description })),
      ...(command.options ?? []),
    ];
    const table = rows.length === 0 ? '' : `\n${rows.map((row) => `- \`${row.flags}\`: ${row.description}`).join('\n')}\n`;
    return `## ${name}\n\n${command.summary.charAt(0).toUpperCase()}${command.summary.slice(1)}.\n${table}\n\`\`\`sh\n${command.examples.join('\n')}\n\`\`\`\n\nExit codes: ${command.exitCodes}.\n`;
  });
  return `# Commands\n\nEvery command has \`--help\`. \`-o json\` prints one document with \`apiVersion\` and \`kind\` (streams: one a line) and nothing else on stdout. Errors and notes go to stderr.\n\n${parts.join('\n')}`;
}
