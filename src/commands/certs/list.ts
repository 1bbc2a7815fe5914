// `meshctl certs list`
import { Fault } from '../../base/fault.ts';
import type { CertificateItem } from '../../control/certs.ts';
import { renderTable } from '../../views/table.ts';
import { SYMBOL } from '../../views/theme.ts';
import type { Run } from '../context.ts';
import { document } from '../document.ts';
import { outputOption, textOption, withAuthority } from '../input.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const below = percentOf(textOption(input, 'expiring'));
  const { items: all } = await withAuthority(context, input, (authority) => authority.request('certs.list', null));
  const items = below === undefined ? all : all.filter(({ lifeLeftPercent }) => lifeLeftPercent < below);
  context.print(format === 'json' ? document('Certificates', { items }) : certificatesTable(items));
  return below !== undefined && items.length > 0 ? 1 : 0;
};

/** `20%` or `20`. */
function percentOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d+(?:\.\d+)?%?$/.test(text) ? Number(text.replace('%', '')) : Number.NaN;
  if (!(value > 0 && value <= 100)) throw new Fault('USAGE', 'usage', `\`--expiring ${text}\`: a share of life such as 20% is wanted`);
  return value;
}

export function certificatesTable(items: readonly CertificateItem[]): string {
  return renderTable(
    [
      { name: 'HOLDER' },
      { name: 'IDENTITY' },
      { name: 'SERIAL' },
      { name: 'NOT-AFTER' },
      { name: 'LIFE-LEFT', align: 'right' },
      { name: 'GEN', align: 'right' },
      { name: 'OLD-CONNS', align: 'right' },
    ],
    items.map((item) => [
      item.channel === 'proxy'
        ? (item.instance ?? '')
        : item.instance === null
          ? `(${item.channel})`
          : `${item.instance} (${item.channel})`,
      item.spiffeId,
      item.serial,
      item.notAfter,
      item.revoked
        ? { text: `${SYMBOL.bad} revoked`, meaning: 'bad' }
        : { text: `${item.lifeLeftPercent.toFixed(1)}%`, meaning: item.lifeLeftPercent < 20 ? 'bad' : 'plain' },
      String(item.generation),
      item.staleConnections === null ? '-' : String(item.staleConnections),
    ]),
  );
}
