// `meshctl proxy status`
import { renderTable } from '../../views/table.ts';
import { SYMBOL } from '../../views/theme.ts';
import type { Run } from '../context.ts';
import { document } from '../document.ts';
import { outputOption, withMesh } from '../input.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const { proxies } = await withMesh(context, input, (mesh) => mesh.request('proxy.status', null));
  if (format === 'json') context.print(document('ProxyStatus', { items: proxies }));
  else {
    const rows = proxies.map((proxy) => [
      proxy.instance,
      proxy.connected ? 'connected' : { text: `${SYMBOL.warn} not connected`, meaning: 'warn' as const },
      proxy.inSync
        ? { text: `${SYMBOL.good} in sync`, meaning: 'good' as const }
        : { text: `${SYMBOL.bad} behind`, meaning: 'bad' as const },
      proxy.wantVersion ?? '-',
      proxy.haveVersion ?? '-',
      String(proxy.policyRevision),
      proxy.nack ?? '',
    ]);
    context.print(
      renderTable(
        [
          { name: 'PROXY' },
          { name: 'FEED' },
          { name: 'SYNC' },
          { name: 'WANTED' },
          { name: 'HAS' },
          { name: 'POLICY', align: 'right' },
          { name: 'NOTE' },
        ],
        rows,
      ),
    );
  }
  return proxies.every((proxy) => proxy.inSync) ? 0 : 1;
};
