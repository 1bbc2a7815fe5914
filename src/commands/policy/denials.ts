// `meshctl policy denials`: what was denied, and what only audit mode let pass.
import { printObserved } from '../../policy/observed.ts';
import { renderTable } from '../../views/table.ts';
import type { Run } from '../context.ts';
import { document } from '../document.ts';
import { flag, outputOption, withMesh } from '../input.ts';
import { describeTraffic, readTraffic, shortId } from './traffic.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const traffic = await readTraffic(context, input);
  const { spec } = await withMesh(context, input, (mesh) => mesh.request('mesh.spec', null));
  const denied = traffic.observed.filter(({ verdict, audited }) => audited || (verdict === 'denied' && !flag(input, 'audited')));
  const name = (id: string | null): string => shortId(id, spec.trustDomain, spec.namespace);
  const items = denied.map((one) => ({
    count: one.count,
    verdict: one.audited ? 'would-be-denied' : 'denied',
    from: one.callerId,
    to: one.calleeId,
    request: printObserved(one),
    by: one.rule,
    firstSeen: new Date(one.firstMs).toISOString(),
    lastSeen: new Date(one.lastMs).toISOString(),
    requestId: one.requestId || one.traceId,
  }));
  if (format === 'json') context.print(document('PolicyDenials', { requests: traffic.requests, items }));
  else {
    if (items.length > 0)
      context.print(
        renderTable(
          [
            { name: 'COUNT', align: 'right' },
            { name: 'VERDICT' },
            { name: 'CALLER' },
            { name: 'CALLEE' },
            { name: 'REQUEST' },
            { name: 'BY' },
            { name: 'LAST' },
            { name: 'EXAMPLE' },
          ],
          items.map((item) => [
            String(item.count),
            item.verdict === 'denied' ? { text: 'denied', meaning: 'bad' } : { text: 'would be denied', meaning: 'warn' },
            name(item.from),
            name(item.to),
            item.request,
            item.by ?? '',
            item.lastSeen.slice(0, 19),
            item.requestId,
          ]),
        ),
      );
    const total = (verdict: string): number => items.filter((item) => item.verdict === verdict).reduce((sum, { count }) => sum + count, 0);
    context.print(`${total('denied')} denied, ${total('would-be-denied')} would be, of ${describeTraffic(traffic)}\n`);
  }
  return 0;
};
