// `meshctl tap [SERVICE]`: live requests as they end. No bodies; fields only when asked for, secrets never.
import { printDuration } from '../base/duration.ts';
import { Fault } from '../base/fault.ts';
import { printable } from '../base/printable.ts';
import type { TapEvent, TapFilter } from '../mesh/tap.ts';
import { normalizePath } from '../policy/path.ts';
import { isTrouble, requestOf, whyOf } from '../views/tap.ts';
import { paint, SYMBOL } from '../views/theme.ts';
import type { Input, Run } from './context.ts';
import { documentLine } from './document.ts';
import { durationOption, flag, numberOption, outputOption, repeatedOption, textArgument, textOption, withMesh } from './input.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const filter = readFilter(input);
  const perSecond = numberOption(input, 'maxRps', 'max-rps', 1, 10_000) ?? 100;
  const count = numberOption(input, 'count', 'count', 1, 1_000_000) ?? Number.POSITIVE_INFINITY;
  const durationMs = durationOption(input, 'duration', 'duration');
  const end = durationMs === undefined ? Number.POSITIVE_INFINITY : context.now() + durationMs;
  let stopped = false;
  const stop = context.interrupted.then(() => {
    stopped = true;
  });
  return withMesh(context, input, async (mesh) => {
    let { id } = await mesh.request('tap.open', { filter, perSecond });
    let shown = 0;
    let dropped = 0;
    let said = 0;
    while (!stopped && shown < count && context.now() < end) {
      const read = await Promise.race([
        mesh.request('tap.read', { id }).catch((error: unknown) => {
          if (error instanceof Fault && error.code === 'TAP_GONE') return 'gone' as const;
          throw error;
        }),
        stop.then(() => undefined),
      ]);
      if (read === undefined) break;
      if (read === 'gone') {
        context.note('meshctl: control began again; what ended meanwhile is not shown\n');
        ({ id } = await mesh.request('tap.open', { filter, perSecond }));
        continue;
      }
      dropped += read.dropped;
      for (const event of read.events.slice(0, count - shown)) {
        shown++;
        context.print(format === 'json' ? documentLine('TapEvent', toDocument(event)) : line(event));
      }
      // Losses are said as they grow, not with every reading.
      if (dropped >= said * 2 + 1) {
        said = dropped;
        context.note(`meshctl: ${dropped} so far were over ${perSecond}/s a proxy and are not shown\n`);
      }
    }
    await mesh.request('tap.close', { id });
    if (format === 'table') context.note(summary(shown, dropped));
    return 0;
  });
};

function summary(shown: number, dropped: number): string {
  return `${shown} shown${dropped === 0 ? '' : `, ${dropped} not shown`}\n`;
}

function readFilter(input: Input): TapFilter {
  const service = textArgument(input, 0);
  const from = textOption(input, 'from');
  const method = textOption(input, 'method');
  const path = textOption(input, 'path');
  const status = textOption(input, 'status');
  const minDurationMs = durationOption(input, 'minDuration', 'min-duration');
  const headers = repeatedOption(input, 'header').map((name) => name.toLowerCase());
  if (status !== undefined && !/^[1-5](?:xx|\d\d)$/.test(status))
    throw new Fault('USAGE', 'usage', `\`--status ${status}\` is no status`, { hint: 'write 404 or 5xx' });
  if (path !== undefined && (!path.startsWith('/') || 'refused' in Object(normalizePath(path.replaceAll('*', 'x')))))
    throw new Fault('USAGE', 'usage', `\`--path ${path}\` is no path`, { hint: 'write /orders/* or /static/**, as in a policy' });
  const bad = headers.find((name) => !/^[a-z0-9!#$%&'*+.^_`|~-]+$/.test(name));
  if (bad !== undefined) throw new Fault('USAGE', 'usage', `\`--header ${bad}\` is no name of a field`);
  return {
    ...(service === undefined ? {} : { service }),
    ...(from === undefined ? {} : { from }),
    ...(method === undefined ? {} : { method: method.toUpperCase() }),
    ...(path === undefined ? {} : { path }),
    ...(status === undefined ? {} : { status }),
    ...(minDurationMs === undefined ? {} : { minDurationMs }),
    ...(flag(input, 'denied') ? { denied: true } : {}),
    ...(headers.length === 0 ? {} : { headers }),
  };
}

function toDocument({ atMs, ...event }: TapEvent): object {
  return { at: new Date(atMs).toISOString(), ...event };
}

function line(event: TapEvent): string {
  const isBad = isTrouble(event);
  const fields = Object.entries(event.headers ?? {}).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  const parts = [
    new Date(event.atMs).toISOString().slice(11, 23),
    isBad ? SYMBOL.bad : SYMBOL.good,
    `${event.from ?? 'outside'} -> ${event.service}`,
    requestOf(event),
    event.status === null ? '-' : String(event.status),
    printDuration(event.durationMs),
    whyOf(event),
    ...fields,
    event.requestId ?? '',
  ];
  return `${paint(isBad ? 'bad' : 'plain', printable(parts.filter((part) => part !== '').join('  ')))}\n`;
}
