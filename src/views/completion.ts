// Completion scripts of four shells, made from the catalogue. Static: commands, flags and their fixed values; files for the rest.

interface Option {
  readonly flags: string;
  readonly description: string;
  readonly values?: readonly string[];
}

interface Command {
  readonly path: readonly string[];
  readonly summary: string;
  readonly options?: readonly Option[];
  readonly arguments?: readonly { readonly name: string }[];
}

type Print = (commands: readonly Command[], groups: Readonly<Record<string, string>>) => string;

interface Word {
  readonly word: string;
  readonly description: string;
}

const GLOBAL: readonly Option[] = [
  { flags: '--help', description: 'explain' },
  { flags: '--debug', description: 'show where an error comes from' },
  { flags: '--no-color', description: 'no colours' },
];
const SHELLS = ['bash', 'zsh', 'fish', 'powershell'];

function flagsOf(option: Option): string[] {
  return option.flags.match(/--?[a-zA-Z][a-z-]*/g) ?? [];
}

/** First words, and the verbs of each group. */
function words(commands: readonly Command[], groups: Readonly<Record<string, string>>): { top: Word[]; verbs: Map<string, Word[]> } {
  const top: Word[] = [];
  const verbs = new Map<string, Word[]>();
  for (const command of commands) {
    const [first = '', second] = command.path;
    if (second === undefined) top.push({ word: first, description: command.summary });
    else {
      if (!verbs.has(first)) top.push({ word: first, description: groups[first] ?? '' });
      verbs.set(first, [...(verbs.get(first) ?? []), { word: second, description: command.summary }]);
    }
  }
  return { top, verbs };
}

function optionsOf(command: Command): readonly Option[] {
  return [...(command.options ?? []), ...GLOBAL];
}

const bash: Print = (commands, groups) => {
  const { top, verbs } = words(commands, groups);
  const cases = commands.map((command) => `    '${command.path.join(' ')}') flags='${optionsOf(command).flatMap(flagsOf).join(' ')}' ;;`);
  const values = commands.flatMap((command) =>
    (command.options ?? [])
      .filter((option) => option.values !== undefined)
      .map(
        (option) =>
          `    ${flagsOf(option)
            .map((flag) => `'${command.path.join(' ')} ${flag}'`)
            .join('|')}) COMPREPLY=($(compgen -W '${option.values?.join(' ')}' -- "$cur")); return ;;`,
      ),
  );
  return `# bash completion of meshctl; written by \`meshctl completion bash\`
_meshctl() {
  local cur prev command flags i
  cur="\${COMP_WORDS[COMP_CWORD]}"
  prev="\${COMP_WORDS[COMP_CWORD-1]}"
  command=''
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "\${COMP_WORDS[i]}" in
      -*) ;;
      *) if [ -z "$command" ]; then command="\${COMP_WORDS[i]}"; else case "$command" in ${[...verbs.keys()].join('|')}) command="$command \${COMP_WORDS[i]}" ;; esac; break; fi ;;
    esac
  done
  case "$command $prev" in
${values.join('\n')}
  esac
  case "$command" in
    '') COMPREPLY=($(compgen -W '${top.map(({ word }) => word).join(' ')} --help --version' -- "$cur")); return ;;
${[...verbs].map(([group, list]) => `    '${group}') COMPREPLY=($(compgen -W '${list.map(({ word }) => word).join(' ')}' -- "$cur")); return ;;`).join('\n')}
    'completion') COMPREPLY=($(compgen -W '${SHELLS.join(' ')}' -- "$cur")); return ;;
  esac
  case "$command" in
${cases.join('\n')}
  esac
  case "$cur" in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$cur")) ;;
    *) COMPREPLY=($(compgen -f -- "$cur")) ;;
  esac
}
complete -o filenames -F _meshctl meshctl
`;
};

const zsh: Print = (commands, groups) => {
  const { top, verbs } = words(commands, groups);
  const quote = (text: string): string => text.replaceAll("'", "'\\''").replaceAll('[', '(').replaceAll(']', ')').replaceAll(':', ' -');
  const described = (list: readonly Word[]): string => list.map(({ word, description }) => `'${word}:${quote(description)}'`).join(' ');
  const specs = (command: Command): string =>
    optionsOf(command)
      .flatMap((option) =>
        flagsOf(option).map(
          (flag) =>
            `'${flag}[${quote(option.description)}]${option.flags.includes('<') ? `:value:${option.values === undefined ? '_files' : `(${option.values.join(' ')})`}` : ''}'`,
        ),
      )
      .join(' ');
  return `#compdef meshctl
# zsh completion of meshctl; written by \`meshctl completion zsh\`
_meshctl() {
  local -a list
  if (( CURRENT == 2 )); then
    list=(${described(top)})
    _describe 'command' list
    return
  fi
  local command="$words[2]"
  case "$command" in
${[...verbs].map(([group, list]) => `    ${group})\n      if (( CURRENT == 3 )); then list=(${described(list)}); _describe 'verb' list; return; fi\n      command="$command $words[3]" ;;`).join('\n')}
    completion) _values 'shell' ${SHELLS.join(' ')}; return ;;
  esac
  case "$command" in
${commands.map((command) => `    '${command.path.join(' ')}') _arguments ${specs(command)} '*:file:_files' ;;`).join('\n')}
  esac
}
_meshctl "$@"
`;
};

const fish: Print = (commands, groups) => {
  const { top, verbs } = words(commands, groups);
  const quote = (text: string): string => text.replaceAll("'", "\\'");
  const lines = ['# fish completion of meshctl; written by `meshctl completion fish`', 'complete -c meshctl -n __fish_use_subcommand -f'];
  for (const { word, description } of top) lines.push(`complete -c meshctl -n __fish_use_subcommand -a ${word} -d '${quote(description)}'`);
  for (const [group, list] of verbs) {
    for (const { word, description } of list)
      lines.push(
        `complete -c meshctl -f -n '__fish_seen_subcommand_from ${group}; and not __fish_seen_subcommand_from ${list.map((verb) => verb.word).join(' ')}' -a ${word} -d '${quote(description)}'`,
      );
  }
  lines.push(`complete -c meshctl -f -n '__fish_seen_subcommand_from completion' -a '${SHELLS.join(' ')}'`);
  for (const command of commands) {
    const when = command.path.map((word) => `__fish_seen_subcommand_from ${word}`).join('; and ');
    for (const option of optionsOf(command)) {
      const names = flagsOf(option).map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`));
      const value = option.flags.includes('<') ? (option.values === undefined ? ' -r' : ` -x -a '${option.values.join(' ')}'`) : '';
      lines.push(`complete -c meshctl -n '${when}' ${names.join(' ')}${value} -d '${quote(option.description)}'`);
    }
  }
  return `${lines.join('\n')}\n`;
};

const powershell: Print = (commands, groups) => {
  const { top, verbs } = words(commands, groups);
  const list = (items: readonly string[]): string => `@(${items.map((item) => `'${item}'`).join(', ')})`;
  return `# PowerShell completion of meshctl; written by \`meshctl completion powershell\`
Register-ArgumentCompleter -Native -CommandName meshctl -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $words = @($commandAst.CommandElements | Select-Object -Skip 1 | ForEach-Object { $_.ToString() } | Where-Object { $_ -notlike '-*' -and $_ -ne $wordToComplete })
  $tree = @{
    '' = ${list(top.map(({ word }) => word))}
${[...verbs].map(([group, verbList]) => `    '${group}' = ${list(verbList.map(({ word }) => word))}`).join('\n')}
    'completion' = ${list(SHELLS)}
${commands.map((command) => `    '${command.path.join(' ')} -' = ${list(optionsOf(command).flatMap(flagsOf))}`).join('\n')}
  }
  $key = ($words | Select-Object -First 2) -join ' '
  if (-not $tree.ContainsKey($key) -and -not $tree.ContainsKey("$key -")) { $key = ($words | Select-Object -First 1) -join ' ' }
  if ($wordToComplete -like '-*') { $key = "$key -" }
  $tree[$key] | Where-Object { $_ -like "$wordToComplete*" } | ForEach-Object { [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_) }
}
`;
};

export const COMPLETIONS: ReadonlyMap<string, Print> = new Map([
  ['bash', bash],
  ['zsh', zsh],
  ['fish', fish],
  ['powershell', powershell],
]);
