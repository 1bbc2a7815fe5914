// A live request as a line or as cells: what `tap` and `top` print.
import { printDuration } from '../base/duration.ts';
import type { TapEvent } from '../mesh/tap.ts';
import type { Cell } from './table.ts';
import { SYMBOL } from './theme.ts';

/** Whether an operator should look at it: denied, refused by a proxy, or failed. */
export function isTrouble({ verdict, refusal, status }: TapEvent): boolean {
  return verdict === 'denied' || refusal !== null || (status ?? 0) >= 500;
}

/** Why it ended as it did, where that is not plain: the rule that denied it, the proxy's own word. */
export function whyOf({ verdict, rule, rulePlace, refusal }: TapEvent): string {
  return verdict === 'denied' ? `denied by ${rule ?? '?'}${rulePlace === null ? '' : ` (${rulePlace})`}` : (refusal ?? '');
}

export function requestOf({ protocol, method, path }: TapEvent): string {
  return protocol === 'tcp' ? 'tcp' : `${method ?? '?'} ${path ?? '?'}`;
}

/** Time, caller, callee, request, status, duration, why. */
export function tapCells(event: TapEvent): Exclude<Cell, string>[] {
  const isBad = isTrouble(event);
  const plain = (text: string): Exclude<Cell, string> => ({ text, meaning: isBad ? 'bad' : 'plain' });
  return [
    plain(new Date(event.atMs).toISOString().slice(11, 23)),
    plain(event.from ?? 'outside'),
    plain(event.service),
    plain(requestOf(event)),
    plain(`${isBad ? `${SYMBOL.bad} ` : ''}${event.status ?? '-'}`),
    plain(printDuration(event.durationMs)),
    plain(whyOf(event)),
  ];
}
