// `meshctl certs list`
import { Fault } from '../../base/fault.ts';
import type { CertificateItem } from '../../control/admin.ts';
import { renderTable } from '../../views/table.ts';
import type { Run } from '../context.ts';
import { document } from '../document.ts';
import { outputOption, textOption, withMesh } from '../input.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const below = percentOf(textOption(input, 'expiring'));
  const { items: all } = await withMesh(context, input, (mesh) => mesh.request('certs.list', null));
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
      { name: 'INSTANCE' },
      { name: 'IDENTITY' },
      { name: 'SERIAL' },
      { name: 'NOT-AFTER' },
      { name: 'LIFE-LEFT', align: 'right' },
      { name: 'GEN', align: 'right' },
    ],
    items.map((item) => [
      item.instance,
      item.spiffeId,
      item.serial,
      item.notAfter,
      { text: `${item.lifeLeftPercent.toFixed(1)}%`, meaning: item.lifeLeftPercent < 20 ? 'bad' : 'plain' },
      String(item.generation),
    ]),
  );
}
