// Kind of fault → exit code. 0 done or yes; 1 no; 2 usage, unreadable or ambiguous; 3 not reachable in time; 4 our own bug; 130 cut short.
import type { FaultKind } from './fault.ts';

const CODES: Readonly<Record<FaultKind, number>> = {
  usage: 2,
  config: 2,
  ambiguous: 2,
  denied: 1,
  'not-found': 1,
  conflict: 1,
  unavailable: 3,
  internal: 4,
};

export function exitCodeFor(kind: FaultKind): number {
  return CODES[kind];
}
