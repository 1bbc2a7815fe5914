// Durations as people write them (`30s`, `1h30m`, `250ms`) and as the program keeps them (milliseconds).

const UNIT_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, y: 31_536_000_000 };

/** Milliseconds of `1h30m`, `250ms`, `0`; undefined when the text is no duration. A bare number other than 0 has no unit and is refused. */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0;
  let total = 0;
  let rest = text;
  while (rest !== '') {
    const match = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d|y)/.exec(rest);
    if (match === null) return undefined;
    total += Number(match[1]) * (UNIT_MS[match[2] ?? ''] ?? 0);
    rest = rest.slice(match[0].length);
  }
  return text === '' ? undefined : Math.round(total);
}

/** A duration for people: three digits at most, `1.8ms`, `240ms`, `1.2s`, `3m`, `22h`, `9d`. */
export function printDuration(ms: number): string {
  if (ms < 0) return `-${printDuration(-ms)}`;
  if (ms < 1) return `${trim(ms, 2)}ms`;
  if (ms < 10) return `${trim(ms, 1)}ms`;
  if (ms < 1000) return `${Math.round(ms)}ms`;
  if (ms < 10_000) return `${trim(ms / 1000, 1)}s`;
  if (ms < 120_000) return `${Math.round(ms / 1000)}s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)}m`;
  if (ms < 172_800_000) return `${Math.round(ms / 3_600_000)}h`;
  return `${Math.round(ms / 86_400_000)}d`;
}

function trim(value: number, digits: number): string {
  return String(Number(value.toFixed(digits)));
}
