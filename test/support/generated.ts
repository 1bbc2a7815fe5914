// Files whose text the program itself knows: written by `npm run snap`, held equal by test/house/generated.test.ts.
import { CATALOGUE, GROUPS } from '../../src/commands/catalogue.ts';
import { FORM_RULES, LINT_RULES } from '../../src/policy/lint.ts';
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
  files.set('docs/rules.md', rulesPage());
  files.set('docs/cli.md', commandsPage());
  return files;
}

function rulesPage(): string {
  const all = [...FORM_RULES, ...LINT_RULES].sort((a, b) => a.id.localeCompare(b.id));
  return `# Lint rules of policies\n\nWhat \`meshctl policy lint\` finds. The ids are stable.\n\n${all.map((rule) => `## ${rule.id}\n\n${rule.summary}\n`).join('\n')}`;
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
