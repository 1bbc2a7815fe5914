// `meshctl proxy config INSTANCE`: what a proxy was told: whom it may look for and how it calls them, what it takes itself.
import { printDuration } from '../../base/duration.ts';
import type { ProxySnapshot, Upstream } from '../../mesh/snapshot.ts';
import type { Traffic } from '../../mesh/traffic.ts';
import { renderTable } from '../../views/table.ts';
import type { Run } from '../context.ts';
import { document } from '../document.ts';
import { outputOption, textArgument, withMesh } from '../input.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const instance = textArgument(input, 0) ?? '';
  const config = await withMesh(context, input, (mesh) => mesh.request('proxy.config', { instance }));
  if (format === 'json') context.print(document('ProxyConfig', { ...config }));
  else context.print(render(config));
  return 0;
};

function render(config: ProxySnapshot): string {
  const rules = config.policy.allow.length + config.policy.deny.length;
  const head = `${config.service}  ${config.spiffeId}\nversion ${config.version}, policy revision ${config.policy.revision}, ${rules} rules about it\n`;
  const rows = config.upstreams.flatMap((upstream) => [
    row(upstream, '', upstream.traffic),
    ...upstream.trafficRoutes.map(({ path, methods, traffic }) => row(undefined, `${methods?.join('|') ?? '*'} ${path}`, traffic)),
  ]);
  const columns = ['SERVICE', 'ROUTE', 'SPEAKS', 'ENDPOINTS', 'BALANCE', 'TIME', 'PER TRY', 'RETRIES', 'CIRCUIT', 'EJECT', 'OTHER'];
  return `${head}\n${renderTable(
    columns.map((name) => ({ name })),
    rows,
  )}`;
}

function row(upstream: Upstream | undefined, route: string, traffic: Traffic): string[] {
  const { timeouts, retries, circuit, outliers } = traffic;
  const time = (ms: number): string => (ms === 0 ? '-' : printDuration(ms));
  return [
    upstream === undefined ? '' : `${upstream.service}:${upstream.portName}`,
    route,
    upstream?.protocol ?? '',
    upstream === undefined ? '' : String(upstream.endpoints.length),
    upstream?.endpoints.some(({ zone }) => zone !== undefined) && traffic.zone === 'prefer' ? `${traffic.balance} near` : traffic.balance,
    time(timeouts.requestMs),
    time(timeouts.perTryMs),
    `${retries.attempts} within ${retries.budget * 100}%`,
    `${circuit.maxRequests} in flight`,
    outliers.consecutive === 0 ? '-' : `after ${outliers.consecutive} for ${time(outliers.ejectionMs)}`,
    others(traffic).join(', '),
  ];
}

function others({ health, rateLimit, faults, mirror, split }: Traffic): string[] {
  return [
    ...(health === undefined ? [] : [`health ${health.path ?? 'tcp'} every ${printDuration(health.intervalMs)}`]),
    ...(rateLimit === undefined ? [] : [`takes ${rateLimit.requestsPerSecond}/s`]),
    ...faults.map(({ percent, abort, delayMs, from }) => {
      const what = [...(delayMs > 0 ? [`delay ${printDuration(delayMs)}`] : []), ...(abort === undefined ? [] : [`abort ${abort}`])].join(
        ' and ',
      );
      return `fault ${percent}%: ${what}${from === undefined ? '' : ` from ${from.join(' ')}`}`;
    }),
    ...(mirror === undefined ? [] : [`mirrored to ${mirror.service} ${mirror.percent}%`]),
    ...(split.length === 0 ? [] : [`split ${split.map(({ service, weight }) => `${service}=${weight}`).join(' ')}`]),
  ];
}
