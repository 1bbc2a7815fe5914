// `meshctl policy history`
import { renderTable } from '../../views/table.ts';
import type { Run } from '../context.ts';
import { document } from '../document.ts';
import { outputOption, withMesh } from '../input.ts';

const MODES = { none: 'enforced', default: 'audit', all: 'audit all' } as const;

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const revisions = await withMesh(context, input, (mesh) => mesh.request('policy.history', null));
  const items = revisions.map(({ appliedAtMs, ...rest }) => ({ ...rest, appliedAt: new Date(appliedAtMs).toISOString() }));
  if (format === 'json') context.print(document('PolicyHistory', { items }));
  else
    context.print(
      renderTable(
        [
          { name: 'REVISION', align: 'right' },
          { name: 'HASH' },
          { name: 'APPLIED' },
          { name: 'BY' },
          { name: 'MODE' },
          { name: 'MESSAGE' },
        ],
        items.map((item) => [String(item.revision), item.hash, item.appliedAt, item.user, MODES[item.audit], item.message]),
      ),
    );
  return 0;
};
