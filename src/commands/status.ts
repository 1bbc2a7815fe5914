// `meshctl status`
import { renderTable } from '../views/table.ts';
import { paint, SYMBOL } from '../views/theme.ts';
import type { Run } from './context.ts';
import { document } from './document.ts';
import { outputOption, withMesh } from './input.ts';

/** What `--isolate` adds to embedded mode. */
export const ISOLATED = 'isolated: each instance has a network and users of its own, and reaches others only through its proxy';

/** What embedded mode does not promise without it; said by `up` and `status`. */
export const NOT_ISOLATED =
  'not isolated: policy holds for traffic through the proxies; processes of the same user can still reach each other directly';

const AUDIT = {
  none: '',
  default: ' (audit: what no rule allows passes, and is reported)',
  all: ' (audit: everything with an identity passes, and is reported)',
} as const;

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const status = await withMesh(context, input, (mesh) => mesh.request('status', null));
  const ready = status.instances.every((instance) => instance.state === 'ready' && instance.proxyConnected);
  if (format === 'json') {
    context.print(document('Status', { ...status, ready }));
    return ready ? 0 : 1;
  }
  const rows = status.instances.map((instance) => [
    instance.service,
    instance.instance,
    instance.state === 'ready'
      ? { text: `${SYMBOL.good} ready`, meaning: 'good' as const }
      : {
          text: `${instance.state === 'crashed' ? SYMBOL.bad : SYMBOL.warn} ${instance.state}`,
          meaning: instance.state === 'crashed' ? ('bad' as const) : ('warn' as const),
        },
    instance.proxyConnected
      ? { text: 'connected', meaning: 'plain' as const }
      : { text: `${SYMBOL.warn} not connected`, meaning: 'warn' as const },
    String(instance.restarts),
    instance.pid === null ? '-' : String(instance.pid),
    instance.proxyPid === null ? '-' : String(instance.proxyPid),
    instance.certificateLifeLeftPercent === null ? '-' : `${instance.certificateLifeLeftPercent}%`,
    instance.lastExit ?? '',
  ]);
  context.print(
    renderTable(
      [
        { name: 'SERVICE' },
        { name: 'INSTANCE' },
        { name: 'STATE' },
        { name: 'PROXY' },
        { name: 'RESTARTS', align: 'right' },
        { name: 'PID', align: 'right' },
        { name: 'PROXY-PID', align: 'right' },
        { name: 'CERT-LEFT', align: 'right' },
        { name: 'NOTE' },
      ],
      rows,
    ),
  );
  const policy =
    status.policyUnreadable !== null
      ? `policy revision ${status.policyRevision} is unreadable and refuses everything: ${status.policyUnreadable}`
      : status.policyRevision === 0
        ? 'no policy: every request is denied'
        : `policy revision ${status.policyRevision}${AUDIT[status.policyAudit]}`;
  context.print(
    paint(
      'dim',
      `mesh ${status.name}, trust domain ${status.trustDomain}, pid ${status.supervisorPid}${status.ingressUrl === null ? '' : `, ingress ${status.ingressUrl}`}; ${policy}\n${status.isolated ? ISOLATED : NOT_ISOLATED}\n`,
    ),
  );
  return ready ? 0 : 1;
};
