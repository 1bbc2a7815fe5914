// `meshctl metrics`: what Prometheus reads, once on stdout, or served for it to scrape.
import { createServer } from 'node:http';
import { Fault, messageOf } from '../base/fault.ts';
import { printYaml } from '../base/rewrite.ts';
import type { Exposition } from '../signals/exposition.ts';
import { grafanaDashboard, prometheusRules } from '../signals/prometheus-rules.ts';
import type { Context, Run } from './context.ts';
import { textOption, withMesh } from './input.ts';
import { objectiveOption } from './stat.ts';

const OPEN_METRICS = 'application/openmetrics-text; version=1.0.0; charset=utf-8';
const TEXT = 'text/plain; version=0.0.4; charset=utf-8';
const LIMIT_MS = 5000;
const DEFAULT_OBJECTIVE = 99.9;
const LOOPBACK = /^(?:127\.0\.0\.1|localhost|\[::1\])(?::\d+)?$/;

export const run: Run = async (context, input) => {
  const print = textOption(input, 'print');
  if (print !== undefined) return printFor(context, print, objectiveOption(input) ?? DEFAULT_OBJECTIVE);
  const named = textOption(input, 'output') ?? 'text';
  if (named !== 'text' && named !== 'openmetrics')
    throw new Fault('USAGE', 'usage', `\`-o ${named}\` is not known here`, { hint: '`text`, `openmetrics` are' });
  const compat = textOption(input, 'compat');
  if (compat !== undefined && compat !== 'linkerd' && compat !== 'istio')
    throw new Fault('USAGE', 'usage', `\`--compat ${compat}\` is not known: linkerd and istio are`);
  const read = (format: Exposition['format']): Promise<string> =>
    withMesh(context, input, async (mesh) => (await mesh.request('metrics', { format, ...(compat === undefined ? {} : { compat }) })).text);
  const listen = textOption(input, 'listen');
  if (listen === undefined) {
    context.print(await read(named));
    return 0;
  }
  const match = /^(127\.0\.0\.1|localhost|\[::1\]):(\d{1,5})$/.exec(listen);
  if (match === null || Number(match[2]) > 65_535)
    throw new Fault('USAGE', 'usage', `\`--listen ${listen}\` is no HOST:PORT on loopback`, {
      hint: 'it is served in clear, so to this machine only: 127.0.0.1:9464',
    });
  // Whoever has no mesh hears of it now.
  await read('text');
  const server = createServer({ headersTimeout: LIMIT_MS, requestTimeout: LIMIT_MS }, (request, response) => {
    // A page that makes its own name mean this address reads nothing (DNS rebinding).
    if (!LOOPBACK.test(request.headers.host ?? '')) return void response.writeHead(403).end();
    if (request.method !== 'GET' && request.method !== 'HEAD') return void response.writeHead(405, { allow: 'GET, HEAD' }).end();
    if (request.url?.split('?')[0] !== '/metrics') return void response.writeHead(404).end();
    const isOpen = /application\/openmetrics-text/.test(request.headers.accept ?? '');
    read(isOpen ? 'openmetrics' : 'text').then(
      (text) => {
        response.writeHead(200, { 'content-type': isOpen ? OPEN_METRICS : TEXT });
        response.end(request.method === 'HEAD' ? undefined : text);
      },
      (error: unknown) => {
        context.note(`meshctl: ${messageOf(error)}\n`);
        response.writeHead(503).end();
      },
    );
  });
  await new Promise<void>((done, fail) => {
    server.once('error', (cause) =>
      fail(new Fault('PORT_UNUSABLE', 'conflict', `cannot listen on ${listen}: ${messageOf(cause)}`, { cause })),
    );
    server.listen({ host: match[1] === '[::1]' ? '::1' : '127.0.0.1', port: Number(match[2]) }, done);
  });
  const bound = server.address();
  context.print(`http://${match[1]}:${typeof bound === 'object' ? bound?.port : match[2]}/metrics\n`);
  await context.interrupted;
  server.closeAllConnections();
  return 0;
};

/** What another program needs to read these: no mesh is asked. */
function printFor(context: Context, what: string, objective: number): number {
  if (what === 'rules') context.print(printYaml([prometheusRules(objective)]));
  else if (what === 'dashboard') context.print(`${JSON.stringify(grafanaDashboard(), null, 2)}\n`);
  else throw new Fault('USAGE', 'usage', `\`--print ${what}\` is not known: rules and dashboard are`);
  return 0;
}
