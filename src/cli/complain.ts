// Fault → what the user reads on stderr: what failed, the code, the next thing to do. No stack without --debug.
import type { Fault } from '../base/fault.ts';
import { printable } from '../base/printable.ts';

export function complain(fault: Fault, debug: boolean): string {
  const lines = [`meshctl: ${printable(fault.message)} (${fault.code})`];
  if (fault.hint !== undefined) lines.push(`  ${printable(fault.hint)}`);
  if (fault.kind === 'internal') lines.push('  this is a bug of meshctl; `--debug` shows where');
  if (debug) lines.push(fault.stack ?? '', fault.cause instanceof Error ? (fault.cause.stack ?? '') : '');
  return `${lines.join('\n')}\n`;
}
