// `meshctl certs list`
import type { CertificateItem } from '../../control/admin.ts';
import { renderTable } from '../../views/table.ts';
import type { Run } from '../context.ts';
import { document } from '../document.ts';
import { outputOption, withMesh } from '../input.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const { items } = await withMesh(context, input, (mesh) => mesh.request('certs.list', null));
  context.print(format === 'json' ? document('Certificates', { items }) : certificatesTable(items));
  return 0;
};

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
