// What a user wrote wrongly: collected, never thrown, always with a place when there is a text.
import type { Place } from './place.ts';

export type Severity = 'error' | 'warning' | 'info';

export interface Finding {
  /** Stable word id, `unknown-service`; documented in docs/rules.md. */
  readonly rule: string;
  readonly severity: Severity;
  readonly what: string;
  readonly why?: string;
  readonly fix?: string;
  readonly place?: Place;
}

const RANK: Record<Severity, number> = { error: 2, warning: 1, info: 0 };

/** Whether one of the findings is as severe as `threshold`, or more. */
export function reaches(findings: readonly Finding[], threshold: Severity): boolean {
  return findings.some((finding) => RANK[finding.severity] >= RANK[threshold]);
}

/** Findings in reading order: file, line, column, then the most severe first. */
export function inOrder(findings: readonly Finding[]): Finding[] {
  return [...findings].sort(
    (a, b) =>
      (a.place?.file ?? '').localeCompare(b.place?.file ?? '') ||
      (a.place?.line ?? 0) - (b.place?.line ?? 0) ||
      (a.place?.column ?? 0) - (b.place?.column ?? 0) ||
      RANK[b.severity] - RANK[a.severity],
  );
}
