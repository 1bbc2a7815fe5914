// Every path there can be, as a short list: paths that no pattern tells apart are there once.
//
// Patterns compare whole segments (`*` one that is not empty, a last `**` the rest), and prefixes letters. So at each place a segment is one
// that some pattern writes out, one that goes on where a prefix ends, or any other; and beyond the deepest pattern one more segment is as
// good as many.
import type { Operation } from '../mesh/authorization.ts';
import { matchPath } from './path.ts';

type Http = Extract<Operation, { kind: 'http' }>;

/** One of these occurs in no pattern, unless somebody tries. */
const RARE = [...'xzqjkvwy0123456789~!$;=@+_'];
/** More different paths than this are not gone through. */
const MAX_PATHS = 50_000;

/** Paths that stand for all that a pattern (or a prefix) covers, as far as `others` tell them apart. Undefined when they are too many. */
export function pathsOf(pattern: string, isPrefix: boolean, others: readonly Http[]): string[] | undefined {
  const relevant = others.map(({ path, isPrefix: prefix }) => ({ segments: path.slice(1).split('/'), isPrefix: prefix === true }));
  const own = pattern.slice(1).split('/');
  // A segment that no pattern writes out, and that begins as none does.
  const texts = [pattern, ...others.map(({ path }) => path)].join('');
  const other = RARE.find((each) => !texts.includes(each));
  if (other === undefined) return undefined;
  const open = isPrefix || own.at(-1) === '**';
  const deepest = Math.max(own.length, ...relevant.map(({ segments }) => segments.length)) + 1;
  let found: string[][] = [[]];
  const result: string[] = [];
  for (let depth = 0; depth < deepest; depth++) {
    const choices = new Set<string>([other, '']);
    for (const { segments, isPrefix: prefix } of [...relevant, { segments: own, isPrefix }]) {
      const segment = segments[depth];
      if (segment === undefined || segment.includes('*')) continue;
      choices.add(segment);
      // Where a prefix ends a segment may go on.
      if (prefix && depth === segments.length - 1) choices.add(`${segment}${other}`);
    }
    const next: string[][] = [];
    for (const path of found) {
      for (const choice of choices) {
        // Slashes are merged: an empty segment stands at the end only.
        if (path.at(-1) === '') continue;
        const longer = [...path, choice];
        const text = `/${longer.join('/')}`;
        if (covers(pattern, isPrefix, text)) result.push(text);
        if (open || longer.length < own.length) next.push(longer);
        if (next.length + result.length > MAX_PATHS) return undefined;
      }
    }
    found = isPrefix ? next : next.filter((path) => mayBecome(own, path));
  }
  return result;
}

function covers(pattern: string, isPrefix: boolean, path: string): boolean {
  return isPrefix ? path.startsWith(pattern) : matchPath(pattern, path);
}

/** Whether a path can still grow into one that fits. */
function mayBecome(pattern: readonly string[], path: readonly string[]): boolean {
  for (let i = 0; i < path.length; i++) {
    const wanted = pattern[i];
    if (wanted === '**') return true;
    if (wanted === undefined || (wanted === '*' ? path[i] === '' : wanted !== path[i])) return false;
  }
  return true;
}
