// `meshctl proxy run -f FILE`: checks the file, then becomes the proxy. No process of the command line stays behind.
import { X509Certificate } from 'node:crypto';
import { basename, dirname, resolve } from 'node:path';
import { Fault, messageOf } from '../../base/fault.ts';
import { readPeer } from '../../certs/peer.ts';
import { standaloneSnapshot } from '../../control/standalone.ts';
import { printSpiffeId, type SpiffeId } from '../../mesh/identity.ts';
import { type ProxyFile, parseProxyFile } from '../../mesh/proxy-file.ts';
import { becomeProxy } from '../../platform/local/become-proxy.ts';
import type { PolicyText } from '../../policy/document.ts';
import type { Standalone } from '../../proxy/bootstrap.ts';
import { renderFindings } from '../../views/report/table.ts';
import type { Context, Run } from '../context.ts';
import { document } from '../document.ts';
import { flag, outputOption, textOption } from '../input.ts';
import { readBytes } from '../read-files.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const name = textOption(input, 'file');
  if (name === undefined) throw new Fault('USAGE', 'usage', 'the file of the proxy is wanted', { hint: 'meshctl proxy run -f proxy.yaml' });
  const started = load(context, name);
  if (!flag(input, 'dryRun')) return becomeProxy(started);
  if (format === 'json') context.print(document('ProxyStart', { ...started }));
  else
    context.print(
      `${name} is fine: ${started.spiffeId}, ${printCount(started.inbound.length + started.outbound.length + started.plain.length)}\n`,
    );
  return 0;
};

function load(context: Context, name: string): Standalone {
  const path = resolve(context.cwd, name);
  const { proxy, policyText, findings } = parseProxyFile(name, readBytes(context, name).toString('utf8'));
  if (proxy === undefined) throw refuse(context, name, findings);
  const at = (file: string): string => resolve(dirname(path), file);
  const identity = {
    certFile: at(proxy.identity.certFile),
    keyFile: at(proxy.identity.keyFile),
    bundleFile: at(proxy.identity.bundleFile),
  };
  const self = identityOf(context, identity.certFile);
  const policyFiles = proxy.policy.map((file) => ({ file, path: at(file) }));
  const policy: PolicyText[] = [
    ...(policyText === undefined ? [] : [{ file: name, text: policyText }]),
    ...policyFiles.map((each) => ({ file: each.file, text: readBytes(context, each.path).toString('utf8') })),
  ];
  const compiled = standaloneSnapshot(proxy, self, policy);
  if (compiled.snapshot === undefined) throw refuse(context, name, compiled.findings);
  return {
    kind: 'standalone',
    service: self.service ?? basename(name),
    spiffeId: printSpiffeId(self),
    identity,
    snapshot: compiled.snapshot,
    ...listenersOf(proxy),
    watch: [path, ...policyFiles.map((each) => each.path)],
  };
}

function listenersOf(proxy: ProxyFile): Pick<Standalone, 'inbound' | 'outbound' | 'plain'> {
  const of = (direction: string) => proxy.listeners.filter((listener) => listener.direction === direction);
  return {
    inbound: of('inbound').map(({ name, protocol, address, app }) => ({
      portName: name,
      protocol,
      ...address,
      appHost: app?.host ?? '127.0.0.1',
      appPort: app?.port ?? 0,
    })),
    outbound: of('outbound').map(({ service = '', address }) => ({
      service,
      protocol: proxy.services[service]?.protocol ?? 'http',
      ...address,
    })),
    plain: proxy.listeners.flatMap(({ direction, address }) =>
      direction === 'ingress' || direction === 'forward' || direction === 'capture' ? [{ kind: direction, ...address }] : [],
    ),
  };
}

function identityOf(context: Context, certFile: string): SpiffeId {
  const text = readBytes(context, certFile);
  try {
    const peer = readPeer(new X509Certificate(text));
    if ('refused' in peer) throw new Error(peer.refused);
    return peer.id;
  } catch (cause) {
    throw new Fault('PROXY_IDENTITY', 'config', `${certFile} is no certificate of a workload: ${messageOf(cause)}`, {
      cause,
      hint: '`meshctl certs issue NAME --out DIR` writes one: use its chain.pem, key.pem and bundle.pem',
    });
  }
}

function refuse(context: Context, name: string, findings: Parameters<typeof renderFindings>[0]): Fault {
  context.note(`${renderFindings(findings)}\n`);
  return new Fault('PROXY_FILE', 'config', `${name} has ${findings.length === 1 ? 'an error' : `${findings.length} errors`}`);
}

function printCount(listeners: number): string {
  return `${listeners} listener${listeners === 1 ? '' : 's'}`;
}
