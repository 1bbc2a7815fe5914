// The file of `meshctl proxy run`: one proxy without a control plane.
//
//   in    text of a file with one `kind: Proxy` document; native policy documents may follow it after `---`
//   out   ProxyFile: a plain value with all defaults filled in, or findings with places
import { decode, type Located, parseYaml, z } from '../base/decode.ts';
import type { Finding } from '../base/finding.ts';
import { didYouMean } from '../base/suggest.ts';
import { parseSpiffeId } from './identity.ts';
import { name } from './schemas.ts';
import { PROTOCOLS, type Protocol } from './snapshot.ts';
import { namedServices, type TrafficText, trafficSpec } from './traffic-spec.ts';
import { API_VERSION } from './version.ts';

const path = z.string().min(1, 'a file name is wanted');
const protocol = z.enum(PROTOCOLS).default('http');

const ADDRESS = /^(?:(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):)?([0-9]{1,5})$/;

/** `host:port` or `port`; the host is 127.0.0.1 when it is left out. */
const address = z
  .union([z.int(), z.string()])
  .refine((given) => readAddress(given) !== undefined, '`host:port`, or a port from 0 to 65535, is wanted')
  .transform((given) => readAddress(given) ?? { host: '127.0.0.1', port: 0 });

/** An address, alone or with the zone that it is in. */
const endpoint = z.union([
  address,
  z.strictObject({ address, zone: name }).transform(({ address: { host, port }, zone }) => ({ host, port, zone })),
]);

function readAddress(given: string | number): { host: string; port: number } | undefined {
  const match = ADDRESS.exec(String(given));
  const port = Number(match?.[2]);
  if (match === null || port > 65535) return undefined;
  return { host: match[1]?.replace(/^\[|\]$/g, '') ?? '127.0.0.1', port };
}

const proxyDocument = z.strictObject({
  apiVersion: z.literal(API_VERSION, `\`apiVersion: ${API_VERSION}\` is wanted`),
  kind: z.literal('Proxy', '`kind: Proxy` is wanted'),
  identity: z.strictObject({ certFile: path, keyFile: path, bundleFile: path }),
  /** Where the proxy runs: endpoints of the same zone are preferred. */
  zone: name.optional(),
  listeners: z
    .array(
      z.strictObject({
        name: name.optional(),
        direction: z.enum(['inbound', 'outbound', 'ingress', 'forward', 'capture']),
        address,
        protocol,
        /** Outbound: the service of this file that it leads to. */
        service: name.optional(),
        /** Inbound: where the application listens. */
        app: address.optional(),
      }),
    )
    .min(1, 'at least one listener is wanted'),
  services: z
    .record(
      name,
      z.strictObject({
        identity: z.string().refine((id) => parseSpiffeId(id) !== undefined, 'a SPIFFE id such as `spiffe://shop.local/ns/default/sa/web`'),
        protocol,
        endpoints: z.array(endpoint).default([]),
        /** Where callers believe the service to be: what a captured connection was meant for. */
        addresses: z.array(address).default([]),
        traffic: trafficSpec.optional(),
      }),
    )
    .default({}),
  routes: z.array(z.strictObject({ path: z.string().regex(/^\//, 'a path starts with `/`'), service: name })).default([]),
  policy: z.array(path).default([]),
  tracing: z.strictObject({ ratio: z.number().min(0).max(1).default(1), acceptExternal: z.boolean().default(true) }).prefault({}),
});

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface ProxyListener {
  readonly name: string;
  readonly direction: 'inbound' | 'outbound' | 'ingress' | 'forward' | 'capture';
  readonly address: Address;
  readonly protocol: Protocol;
  readonly service: string | undefined;
  readonly app: Address | undefined;
}

export interface ProxyService {
  readonly identity: string;
  readonly protocol: Protocol;
  readonly endpoints: readonly (Address & { readonly zone?: string })[];
  readonly addresses: readonly Address[];
  readonly traffic: TrafficText | undefined;
}

export interface ProxyFile {
  readonly zone?: string | undefined;
  readonly identity: { readonly certFile: string; readonly keyFile: string; readonly bundleFile: string };
  readonly listeners: readonly ProxyListener[];
  readonly services: Readonly<Record<string, ProxyService>>;
  readonly routes: readonly { readonly path: string; readonly service: string }[];
  /** Policy files, as written: relative to this file's directory. */
  readonly policy: readonly string[];
  readonly tracing: { readonly ratio: number; readonly acceptExternal: boolean };
}

/** The proxy's document as a value with every default filled in, and the text of the policy documents beside it (same lines). */
export function parseProxyFile(
  file: string,
  text: string,
): { proxy: ProxyFile | undefined; policyText: string | undefined; findings: Finding[] } {
  const { documents, findings } = parseYaml(file, text);
  const failed = (all: Finding[]) => ({ proxy: undefined, policyText: undefined, findings: all });
  if (findings.length > 0) return failed(findings);
  const own = documents.filter((document) => kindOf(document) !== 'Policy');
  const document = own[0];
  if (document === undefined || own.length > 1) {
    const what = document === undefined ? 'there is no `kind: Proxy` document' : 'a file holds one `kind: Proxy` document';
    return failed([{ rule: 'invalid-value', severity: 'error', what, place: { file, line: 1, column: 1 } }]);
  }
  const decoded = decode(document, proxyDocument);
  if (decoded.value === undefined) return failed(decoded.findings);
  const raw = decoded.value;
  const problems = check(document, raw);
  if (problems.length > 0) return failed(problems);
  const proxy: ProxyFile = {
    ...raw,
    services: Object.fromEntries(Object.entries(raw.services).map(([key, each]) => [key, { ...each, traffic: each.traffic }])),
    listeners: raw.listeners.map((listener, i) => ({
      ...listener,
      name: listener.name ?? listener.service ?? `${listener.direction}-${i}`,
      service: listener.service,
      app: listener.app,
    })),
  };
  return { proxy, policyText: documents.length > 1 ? withoutOthers(text, documents) : undefined, findings: [] };
}

function check(document: Located, raw: z.output<typeof proxyDocument>): Finding[] {
  const findings: Finding[] = [];
  const names = Object.keys(raw.services);
  const fail = (at: (string | number)[], what: string): void => {
    findings.push({ rule: 'invalid-value', severity: 'error', what, place: document.place(at) });
  };
  const known = (at: (string | number)[], service: string): void => {
    if (!names.includes(service)) fail(at, `\`${service}\` is not under \`services\`${didYouMean(service, names)}`);
  };
  raw.listeners.forEach((listener, i) => {
    if (listener.direction === 'inbound' && listener.app === undefined)
      fail(['listeners', i], 'an inbound listener says in `app` where the application listens');
    if (listener.direction === 'outbound' && listener.service === undefined)
      fail(['listeners', i], 'an outbound listener says in `service` where it leads');
    if (listener.direction !== 'inbound' && listener.app !== undefined) fail(['listeners', i, 'app'], '`app` is for inbound listeners');
    if (listener.direction !== 'outbound' && listener.service !== undefined)
      fail(['listeners', i, 'service'], '`service` is for outbound listeners');
    else if (listener.service !== undefined) known(['listeners', i, 'service'], listener.service);
  });
  raw.routes.forEach((route, i) => {
    known(['routes', i, 'service'], route.service);
  });
  for (const [service, { traffic }] of Object.entries(raw.services)) {
    for (const named of traffic === undefined ? [] : namedServices(traffic)) {
      const caller = named.path.includes('from');
      if (!caller) known(['services', service, 'traffic', ...named.path], named.service);
    }
  }
  return findings;
}

function kindOf(document: Located): unknown {
  const { data } = document;
  return typeof data === 'object' && data !== null && 'kind' in data ? data.kind : undefined;
}

// Every line of the proxy's own document is emptied, so that what is left has its places.
function withoutOthers(text: string, documents: readonly Located[]): string {
  let index = 0;
  let begun = false;
  return text
    .split('\n')
    .map((line) => {
      const separator = /^---(?:\s|$)/.test(line);
      if (separator && begun) index++;
      if (separator || !/^\s*(?:#|$|%)/.test(line)) begun = true;
      const document = documents[index];
      return document !== undefined && kindOf(document) === 'Policy' && !separator ? line : separator && index > 0 ? '---' : '';
    })
    .join('\n');
}
