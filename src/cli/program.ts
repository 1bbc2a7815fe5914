// Catalogue → commander. Knows no command's code: a verb's file is loaded when the verb runs.
import { Command, CommanderError, Option } from 'commander';
import { Fault } from '../base/fault.ts';
import { didYouMean } from '../base/suggest.ts';
import { CATALOGUE, type CommandSpec, GROUPS } from '../commands/catalogue.ts';
import type { Context } from '../commands/context.ts';
import { VERSION } from '../commands/version-number.ts';

/** Runs the command that argv names and gives its exit code. Usage faults are thrown as USAGE. */
export async function runProgram(argv: readonly string[], context: Context): Promise<number> {
  let code = 0;
  const program = makeProgram(
    (spec) =>
      async (...received: unknown[]) => {
        const command = received.at(-1) as Command;
        const { run } = await spec.load();
        code = await run(context, { args: received.slice(0, -2) as string[], options: command.optsWithGlobals() });
      },
    context,
  );
  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return 0;
    throw usageFault(error, argv);
  }
  return code;
}

function makeProgram(
  action: (spec: CommandSpec) => (...received: unknown[]) => Promise<void>,
  context: Pick<Context, 'print' | 'note'>,
): Command {
  const program = base(new Command('meshctl'), context)
    .description('runs, secures and observes a service mesh')
    .version(VERSION, '-V, --version', 'print the version')
    .addOption(new Option('--debug', 'show where an error comes from'))
    .addOption(new Option('--color <when>', 'always, never or auto').choices(['always', 'never', 'auto']))
    .addOption(new Option('--no-color', 'the same as --color never'))
    .helpCommand(false)
    .addHelpText(
      'after',
      '\nExamples:\n  meshctl demo                        a mesh to look at, in one command\n  meshctl init && meshctl up          your own services\n  meshctl trace ID                    follow one request\n\nEvery command explains itself with --help.',
    );
  const groups = new Map<string, Command>();
  for (const spec of CATALOGUE) {
    const [first = '', second] = spec.path;
    let parent = program;
    if (second !== undefined) {
      parent =
        groups.get(first) ??
        base(new Command(first), context)
          .description(GROUPS[first] ?? '')
          .helpCommand(false);
      if (!groups.has(first)) program.addCommand(parent);
      groups.set(first, parent);
    }
    parent.addCommand(makeCommand(spec, second ?? first, context).action(action(spec)));
  }
  return program;
}

function makeCommand(spec: CommandSpec, name: string, context: Pick<Context, 'print' | 'note'>): Command {
  const command = base(new Command(name), context)
    .summary(spec.summary)
    .description(`${spec.summary.charAt(0).toUpperCase()}${spec.summary.slice(1)}.`);
  for (const argument of spec.arguments ?? []) command.argument(argument.name, argument.description);
  for (const { flags, description, repeatable } of spec.options ?? []) {
    const option = new Option(flags, description);
    command.addOption(repeatable ? option.argParser((value: string, before: string[] | undefined) => [...(before ?? []), value]) : option);
  }
  const codes = spec.exitCodes.split('; ').map((each) => `  ${each}`);
  return command.addHelpText(
    'after',
    `\nExamples:\n${spec.examples.map((each) => `  ${each}`).join('\n')}\n\nEXIT CODES:\n${codes.join('\n')}`,
  );
}

function base(command: Command, context: Pick<Context, 'print' | 'note'>): Command {
  return command
    .exitOverride()
    .allowExcessArguments(false)
    .showSuggestionAfterError(false)
    .configureHelp({ sortOptions: false, helpWidth: 100 })
    .configureOutput({
      writeOut: (text) => context.print(text),
      writeErr: (text) => (text.startsWith('error:') ? undefined : context.note(text)),
      outputError: () => undefined,
    });
}

function usageFault(error: CommanderError, argv: readonly string[]): Fault {
  const words = argv.filter((word) => !word.startsWith('-'));
  const group = words[0] ?? '';
  const message = error.message.replace(/^error: /, '').replaceAll("'", '`');
  if (error.code === 'commander.help')
    return new Fault('USAGE', 'usage', GROUPS[group] === undefined ? 'a command is wanted' : `\`meshctl ${group}\` wants a verb`, {
      hint: 'see the list above',
    });
  if (error.code === 'commander.unknownCommand') {
    const inGroup = GROUPS[group] !== undefined && words.length > 1;
    const wrong = (inGroup ? words[1] : group) ?? '';
    const known = CATALOGUE.filter((spec) => !inGroup || spec.path[0] === group).map((spec) =>
      inGroup ? (spec.path[1] ?? '') : (spec.path[0] ?? ''),
    );
    return new Fault(
      'USAGE',
      'usage',
      `\`meshctl ${inGroup ? `${group} ` : ''}${wrong}\` is no command${didYouMean(wrong, new Set(known))}`,
      { hint: '`meshctl --help` lists them' },
    );
  }
  const spec = CATALOGUE.find((each) => each.path.every((part, i) => words[i] === part));
  let suggestion = '';
  if (error.code === 'commander.unknownOption' && spec !== undefined) {
    const wrong = /`(--?[^`]+)`/.exec(message)?.[1] ?? '';
    suggestion = didYouMean(
      wrong,
      (spec.options ?? []).flatMap((option) => option.flags.match(/--[a-z-]+/g) ?? []),
    );
  }
  return new Fault('USAGE', 'usage', `${message}${suggestion}`, {
    hint: `\`meshctl${spec === undefined ? '' : ` ${spec.path.join(' ')}`} --help\` tells what it takes`,
  });
}
