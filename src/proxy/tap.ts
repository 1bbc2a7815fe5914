// Who looks at live requests, and what they see. While nobody does it costs one comparison a request; what is seen is bounded in number.
import { isSecretField, type TapEvent, type TapFilter } from '../mesh/tap.ts';
import { matchPath } from '../policy/path.ts';
import { type Fields, fieldsOf } from './codec/fields.ts';

interface Look {
  readonly filter: TapFilter;
  readonly perSecond: number;
  untilMs: number;
  second: number;
  seen: number;
  events: TapEvent[];
  dropped: number;
}

/** Over this what is shown of a field is cut. */
const MAX_VALUE = 256;

export class Tap {
  readonly #looks = new Map<number, Look>();

  /** Begins to look, or goes on, for so long. */
  open(id: number, filter: TapFilter, perSecond: number, forMs: number): void {
    const untilMs = Date.now() + forMs;
    const known = this.#looks.get(id);
    if (known !== undefined) known.untilMs = untilMs;
    else this.#looks.set(id, { filter, perSecond, untilMs, second: 0, seen: 0, events: [], dropped: 0 });
  }

  close(id: number): void {
    this.#looks.delete(id);
  }

  get isOpen(): boolean {
    return this.#looks.size > 0;
  }

  /** One that ended; `fields` are those of the request. */
  see(event: TapEvent, fields: Fields): void {
    const now = Date.now();
    for (const look of this.#looks.values()) {
      if (!fits(look.filter, event)) continue;
      const second = Math.floor(now / 1000);
      if (look.second !== second) {
        look.second = second;
        look.seen = 0;
      }
      if (++look.seen > look.perSecond) {
        look.dropped++;
        continue;
      }
      const { headers } = look.filter;
      look.events.push(headers === undefined ? event : { ...event, headers: shown(headers, fields) });
    }
  }

  /** What was seen since it was taken last; looks that nobody has asked for lately end. */
  take(): { tap: number; events: TapEvent[]; dropped: number }[] {
    const now = Date.now();
    const taken: { tap: number; events: TapEvent[]; dropped: number }[] = [];
    for (const [tap, look] of this.#looks) {
      if (look.events.length > 0 || look.dropped > 0) taken.push({ tap, events: look.events, dropped: look.dropped });
      look.events = [];
      look.dropped = 0;
      if (look.untilMs < now) this.#looks.delete(tap);
    }
    return taken;
  }
}

function fits(filter: TapFilter, event: TapEvent): boolean {
  const { from, method, path, status, minDurationMs, denied } = filter;
  if (from !== undefined && (event.from ?? 'outside') !== from) return false;
  if (method !== undefined && event.method !== method) return false;
  if (path !== undefined && (event.path === null || !matchPath(path, event.path))) return false;
  if (status !== undefined && !isStatus(status, event.status)) return false;
  if (minDurationMs !== undefined && event.durationMs < minDurationMs) return false;
  return denied !== true || event.verdict === 'denied';
}

function isStatus(wanted: string, status: number | null): boolean {
  if (status === null) return false;
  return wanted.endsWith('xx') ? Math.floor(status / 100) === Number(wanted[0]) : status === Number(wanted);
}

function shown(names: readonly string[], fields: Fields): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name): [string, string][] => {
      const values = fieldsOf(fields, name);
      if (values.length === 0) return [];
      return [[name, isSecretField(name) ? '(redacted)' : values.join(', ').slice(0, MAX_VALUE)]];
    }),
  );
}
