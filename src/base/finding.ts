// What a user wrote wrongly: collected, never thrown, always with a place when there is a text.
import type { Place } from './place.ts';

export type Severity = 'error' | 'warning' | 'info';

export interface Finding {
  /** Stable word id, `unknown-service`; documented in docs/rules/. */
  readonly rule: string;
  readonly severity: Severity;
  readonly what: string;
  readonly why?: string;
  readonly fix?: string;
  readonly place?: Place;
  /** A change at the place that mends it without a decision: what stands there, and what should. */
  readonly edit?: readonly [string, string];
}

/** A finding beside the text that it is about. */
export interface Reported extends Finding {
  /** The line of the place, as it stands in the file. */
  readonly excerpt?: string;
  /** The same from run to run, wherever in the file the line has moved to. */
  readonly fingerprint: string;
}

const RANK: Record<Severity, number> = { error: 2, warning: 1, info: 0 };

/** Whether one of the findings is as severe as `threshold`, or more. */
export function reaches(findings: readonly Finding[], threshold: Severity): boolean {
  return atLeast(findings, threshold).length > 0;
}

/** Findings at or above a severity. */
export function atLeast<F extends Finding>(findings: readonly F[], threshold: Severity): F[] {
  return findings.filter(({ severity }) => RANK[severity] >= RANK[threshold]);
}

/** Findings in reading order: file, line, column, then the most severe first. */
export function inOrder<F extends Finding>(findings: readonly F[]): F[] {
  return [...findings].sort(
    (a, b) =>
      (a.place?.file ?? '').localeCompare(b.place?.file ?? '') ||
      (a.place?.line ?? 0) - (b.place?.line ?? 0) ||
      (a.place?.column ?? 0) - (b.place?.column ?? 0) ||
      RANK[b.severity] - RANK[a.severity],
  );
}
