// Flag and argument values as typed values, or a usage fault that says what is wanted.
import { parseDuration } from '../base/duration.ts';
import { Fault } from '../base/fault.ts';
import type { AuthorityConnection, Context, Input } from './context.ts';

export function textOption(input: Input, name: string): string | undefined {
  const value = input.options[name];
  return typeof value === 'string' ? value : undefined;
}

export function flag(input: Input, name: string): boolean {
  return input.options[name] === true;
}

export function textArgument(input: Input, index: number): string | undefined {
  const value = input.args[index];
  return typeof value === 'string' ? value : undefined;
}

/** A variadic argument. */
export function listArgument(input: Input, index: number): readonly string[] {
  const value = input.args[index];
  if (Array.isArray(value)) return value as readonly string[];
  return typeof value === 'string' ? [value] : [];
}

export function durationOption(input: Input, name: string, flagName: string): number | undefined {
  const text = textOption(input, name);
  if (text === undefined) return undefined;
  const ms = parseDuration(text);
  if (ms === undefined)
    throw new Fault('USAGE', 'usage', `\`--${flagName} ${text}\` is no duration`, { hint: 'write `30s`, `250ms`, `1h30m`, or 0' });
  return ms;
}

export function numberOption(input: Input, name: string, flagName: string, min: number, max: number): number | undefined {
  const text = textOption(input, name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < min || value > max)
    throw new Fault('USAGE', 'usage', `\`--${flagName} ${text}\`: a number from ${min} to ${max} is wanted`);
  return value;
}

/** An option that may be given more than once. */
export function repeatedOption(input: Input, name: string): readonly string[] {
  const value = input.options[name];
  return Array.isArray(value) ? (value as string[]) : typeof value === 'string' ? [value] : [];
}

/** The value of `-o`: one of `allowed`, the first of which is the default. */
export function outputOption<T extends string>(input: Input, allowed: readonly [T, ...T[]]): T {
  const text = textOption(input, 'output');
  if (text === undefined) return allowed[0];
  const found = allowed.find((each) => each === text);
  if (found === undefined)
    throw new Fault('USAGE', 'usage', `\`-o ${text}\` is not known here`, {
      hint: `${allowed.map((each) => `\`${each}\``).join(', ')} ${allowed.length > 1 ? 'are' : 'is'}`,
    });
  return found;
}

export function stateOption(input: Input): string | undefined {
  return textOption(input, 'state');
}

/** Runs with a connection to the authority that `--dir` or `--state` means, which is closed afterwards. */
export async function withAuthority<T>(context: Context, input: Input, use: (authority: AuthorityConnection) => Promise<T>): Promise<T> {
  const authority = await context.connectAuthority(textOption(input, 'dir'), stateOption(input));
  try {
    return await use(authority);
  } finally {
    authority.close();
  }
}

/** Runs with a connection that is closed afterwards. */
export async function withMesh<T>(
  context: Context,
  input: Input,
  use: (mesh: Awaited<ReturnType<Context['connect']>>) => Promise<T>,
): Promise<T> {
  const mesh = await context.connect(stateOption(input));
  try {
    return await use(mesh);
  } finally {
    mesh.close();
  }
}
