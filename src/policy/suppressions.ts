// `# meshctl:ignore RULE until=YYYY-MM-DD reason="…"`: a finding that somebody has decided to live with, until a day, for a reason.
//
// At the end of a line it is about what begins on that line; alone on a line, about what begins on the next one; before the first key of a
// document, about all of it. "What begins" is the line and every line below it that is further in.
import type { Finding } from '../base/finding.ts';
import type { Place } from '../base/place.ts';
import type { PolicyText } from './document.ts';

interface Suppression {
  readonly rules: readonly string[];
  readonly place: Place;
  /** First and last line that it is about. */
  readonly from: number;
  readonly to: number;
  readonly reason: string;
}

export interface Suppressed {
  readonly finding: Finding;
  readonly reason: string;
}

const MARK = /(^|\s)#\s*meshctl:ignore\b(.*)$/;
const RULE = 'bad-suppression';

/**
 * Findings without those that a comment hides, and with what is wrong with the comments. `known`: ids that there are; `ran`: those that were
 * looked for, so that a comment about another is no idle one. `nowMs` decides what has expired: the day itself still counts, in UTC.
 */
export function suppress(
  files: readonly PolicyText[],
  findings: readonly Finding[],
  known: (rule: string) => boolean,
  ran: (rule: string) => boolean,
  nowMs: number,
): { findings: Finding[]; suppressed: Suppressed[] } {
  const wrong: Finding[] = [];
  const all = files.flatMap((file) => read(file, known, nowMs, wrong));
  const idle = new Set(all);
  const suppressed: Suppressed[] = [];
  const kept = findings.filter((finding) => {
    const { place, rule } = finding;
    if (place === undefined) return true;
    const by = all.find(
      (each) => each.rules.includes(rule) && each.place.file === place.file && place.line >= each.from && place.line <= each.to,
    );
    if (by === undefined) return true;
    idle.delete(by);
    suppressed.push({ finding, reason: by.reason });
    return false;
  });
  for (const each of idle)
    if (each.rules.some(ran))
      wrong.push({
        rule: RULE,
        severity: 'warning',
        what: `nothing here is a finding of ${each.rules.map((rule) => `\`${rule}\``).join(', ')}`,
        fix: 'remove the comment',
        place: each.place,
      });
  return { findings: [...kept, ...wrong], suppressed };
}

function read({ file, text }: PolicyText, known: (rule: string) => boolean, nowMs: number, wrong: Finding[]): Suppression[] {
  if (!text.includes('meshctl:ignore')) return [];
  const lines = text.split('\n');
  return lines.flatMap((line, i): Suppression[] => {
    const match = MARK.exec(line);
    if (match === null) return [];
    const place = { file, line: i + 1, column: line.indexOf('#', match.index) + 1 };
    const fail = (what: string, fix: string): [] => {
      wrong.push({ rule: RULE, severity: 'error', what, fix, place });
      return [];
    };
    const form = 'write `# meshctl:ignore RULE until=YYYY-MM-DD reason="why"`';
    const rest = match[2] ?? '';
    const reason = /\breason="([^"]+)"/.exec(rest)?.[1]?.trim() ?? '';
    const until = /\buntil=(\S+)/.exec(rest)?.[1];
    const rules = (/^\s*([a-z0-9,-]+)(?:\s|$)/.exec(rest)?.[1] ?? '').split(',').filter((each) => each !== '');
    if (rules.length === 0) return fail('it names no rule', form);
    const unknown = rules.find((rule) => !known(rule));
    if (unknown !== undefined) return fail(`no rule is called \`${unknown}\``, 'docs/rules/ lists them');
    if (reason === '') return fail('it gives no reason', form);
    const end = /^\d{4}-\d{2}-\d{2}$/.test(until ?? '') ? Date.parse(`${until}T23:59:59.999Z`) : Number.NaN;
    if (Number.isNaN(end)) return fail('it names no day until which it holds', form);
    if (end < nowMs) return fail(`it held until ${until}`, 'mend what it hid, or decide anew');
    const isAlone = line.slice(0, place.column - 1).trim() === '';
    const start = isAlone ? nextLine(lines, i + 1) : i;
    return [{ rules, place, from: start + 1, to: endOf(lines, start) + 1, reason }];
  });
}

const isBlank = (line: string): boolean => /^\s*(?:#.*)?$/.test(line);
const isBoundary = (line: string): boolean => /^(?:---|\.\.\.)(?:\s|$)/.test(line);
const indent = (line: string): number => line.length - line.trimStart().length;

function nextLine(lines: readonly string[], from: number): number {
  let i = from;
  while (i < lines.length - 1 && isBlank(lines[i] ?? '')) i++;
  return i;
}

/** The last line of what begins at `start`; of a whole document when that is its first key. */
function endOf(lines: readonly string[], start: number): number {
  const own = indent(lines[start] ?? '');
  let before = start - 1;
  while (before >= 0 && isBlank(lines[before] ?? '')) before--;
  const isFirst = own === 0 && (before < 0 || isBoundary(lines[before] ?? ''));
  let end = start;
  for (let i = start + 1; i < lines.length; i++) {
    const line = lines[i] ?? '';
    if (isBoundary(line)) break;
    if (isBlank(line)) continue;
    if (!isFirst && indent(line) <= own) break;
    end = i;
  }
  return end;
}
