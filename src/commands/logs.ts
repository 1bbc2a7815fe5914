// `meshctl logs [SERVICE]`: the files under logs/, each line with its instance; -f goes on until it is interrupted.
import { closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Fault } from '../base/fault.ts';
import { printable } from '../base/printable.ts';
import { locateState } from '../platform/local/state-dir.ts';
import { paint } from '../views/theme.ts';
import type { Context, Run } from './context.ts';
import { flag, numberOption, stateOption, textArgument } from './input.ts';

const LOOK_EVERY_MS = 200;
/** Looked at for the last lines; longer ones are cut at the front. */
const MAX_TAIL_BYTES = 256 * 1024;

interface Source {
  readonly name: string;
  readonly path: string;
  offset: number;
  rest: string;
}

export const run: Run = async (context, input) => {
  const tail = numberOption(input, 'tail', 'tail', 0, 100_000) ?? 20;
  const proxies = flag(input, 'proxy');
  const wanted = textArgument(input, 0);
  const { state } = locateState(stateOption(input), context.cwd);
  const find = (): string[] => {
    const names = readdirSync(state.logs)
      .filter((name) => name.endsWith('.log'))
      .map((name) => name.slice(0, -4));
    return names
      .filter(
        (name) =>
          name !== 'control' &&
          name.endsWith('.proxy') === proxies &&
          (wanted === undefined || instanceOf(name) === wanted || serviceOf(name) === wanted),
      )
      .sort();
  };
  const names = find();
  if (names.length === 0)
    throw new Fault(
      'SERVICE_UNKNOWN',
      'not-found',
      wanted === undefined ? 'there are no logs yet' : `nothing called \`${wanted}\` has a log`,
      { hint: '`meshctl status` lists services and instances' },
    );
  const width = Math.max(...names.map((name) => instanceOf(name).length));
  const sources = names.map((name) => open(state.logs, name));
  for (const source of sources) {
    const lines = readNew(source);
    print(context, source, tail === 0 ? [] : lines.slice(-tail), width);
  }
  if (!flag(input, 'follow')) {
    for (const source of sources) if (source.rest !== '') print(context, source, [source.rest], width);
    return 0;
  }
  let stopped = false;
  void context.interrupted.then(() => {
    stopped = true;
  });
  while (!stopped) {
    for (const name of find())
      if (!sources.some((source) => source.name === name))
        sources.push({ name, path: join(state.logs, `${name}.log`), offset: 0, rest: '' });
    for (const source of sources) print(context, source, readNew(source), width);
    await new Promise((done) => setTimeout(done, LOOK_EVERY_MS));
  }
  return 0;
};

function open(directory: string, name: string): Source {
  const path = join(directory, `${name}.log`);
  return { name, path, offset: Math.max(0, statSync(path).size - MAX_TAIL_BYTES), rest: '' };
}

function readNew(source: Source): string[] {
  const size = statSync(source.path, { throwIfNoEntry: false })?.size ?? 0;
  // A rotated file begins anew.
  if (size < source.offset) source.offset = 0;
  if (size === source.offset) return [];
  const bytes = Buffer.alloc(Math.min(size - source.offset, 1024 * 1024));
  const fd = openSync(source.path, 'r');
  const read = readSync(fd, bytes, 0, bytes.length, source.offset);
  closeSync(fd);
  source.offset += read;
  const lines = (source.rest + bytes.toString('utf8', 0, read)).split('\n');
  source.rest = lines.pop() ?? '';
  return lines;
}

function print(context: Context, source: Source, lines: readonly string[], width: number): void {
  for (const line of lines)
    context.print(`${paint('dim', instanceOf(source.name).padEnd(width))}  ${printable(line.replace(/\r$/, ''))}\n`);
}

function instanceOf(name: string): string {
  return name.replace(/\.proxy$/, '');
}

function serviceOf(name: string): string {
  return instanceOf(name).replace(/-\d+$/, '');
}
