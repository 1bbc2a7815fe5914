// What went wrong while running. A fault has a stable code that documents, scripts and metrics can rely on.
//
//   thrown    by rooms that do something
//   caught    in cli/complain.ts (people), proxy/rescue.ts (HTTP), and the loops that retry
//
// What a user wrote wrongly in a file is a Finding (finding.ts), not a fault.

/** What a caller can do about a fault; `base/exit.ts` turns it into the exit code. */
export type FaultKind = 'usage' | 'config' | 'denied' | 'not-found' | 'conflict' | 'ambiguous' | 'unavailable' | 'internal';

export interface FaultOptions {
  /** The next thing to do, as one sentence or command. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/** The wire and `-o json` form of a fault: facts only, no stack. */
export interface FaultRecord {
  readonly code: string;
  readonly kind: FaultKind;
  readonly message: string;
  readonly hint?: string;
}

export class Fault extends Error {
  readonly code: string;
  readonly kind: FaultKind;
  readonly hint: string | undefined;

  constructor(code: string, kind: FaultKind, message: string, options: FaultOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'Fault';
    this.code = code;
    this.kind = kind;
    this.hint = options.hint;
  }

  toRecord(): FaultRecord {
    return {
      code: this.code,
      kind: this.kind,
      message: this.message,
      ...(this.hint === undefined ? {} : { hint: this.hint }),
    };
  }

  static fromRecord(record: FaultRecord): Fault {
    return new Fault(record.code, record.kind, record.message, record.hint === undefined ? {} : { hint: record.hint });
  }

  /** Any thrown value as a fault; what is not one already is a bug of ours and keeps its cause. */
  static from(thrown: unknown): Fault {
    if (thrown instanceof Fault) return thrown;
    return new Fault('INTERNAL', 'internal', messageOf(thrown), { cause: thrown });
  }
}

/** The message of any thrown value, on one line. */
export function messageOf(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message || thrown.name : String(thrown);
  return text.replace(/\s+/g, ' ').trim();
}

/** The `code` of a system error (`ECONNREFUSED`), or undefined. */
export function codeOf(thrown: unknown): string | undefined {
  if (typeof thrown !== 'object' || thrown === null || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'string' ? thrown.code : undefined;
}
