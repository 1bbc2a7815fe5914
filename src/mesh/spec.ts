// The mesh file (`mesh.yaml`): which services there are, how they are started, who calls whom, how traffic comes in.
//
//   in    text of a mesh file
//   out   MeshSpec: a plain value with all defaults filled in, or findings with places
import { decode, type Located, parseYaml, z } from '../base/decode.ts';
import type { Finding } from '../base/finding.ts';
import { didYouMean } from '../base/suggest.ts';
import { INGRESS, isTrustDomain } from './identity.ts';
import { duration, name } from './schemas.ts';
import { PROTOCOLS, type Protocol } from './snapshot.ts';
import type { Traffic, TrafficRoute } from './traffic.ts';
import { namedServices, resolveTraffic, trafficSpec } from './traffic-spec.ts';
import { API_VERSION } from './version.ts';

const port = z.int().min(0).max(65535);

const portSpec = z.strictObject({
  port: port.default(0),
  protocol: z.enum(PROTOCOLS).default('http'),
});

const readySpec = z.strictObject({
  path: z.string().regex(/^\//, 'a path starts with `/`').optional(),
  timeout: duration.prefault('10s'),
});

const serviceSpec = z.strictObject({
  command: z.union([z.string().min(1), z.array(z.string()).min(1)]),
  cwd: z.string().default('.'),
  env: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]).transform(String)).default({}),
  instances: z.int().min(0, 'at least 0 instances').max(100, 'at most 100 instances of a service on one machine').default(1),
  /** Where its instances run, in turn; callers prefer those of their own zone. */
  zones: z.array(name).max(20).default([]),
  ports: z.record(name, portSpec).default({}),
  tier: z.string().optional(),
  calls: z.array(name).default([]),
  ready: readySpec.optional(),
  restart: z.enum(['always', 'on-failure', 'never']).default('on-failure'),
  traffic: trafficSpec.optional(),
  /** What a `%2F` in a path is: a request to refuse, or a letter within its segment (registries, object stores). */
  encodedSlash: z.enum(['refuse', 'keep']).default('refuse'),
  /** The SPIFFE Workload API for its processes: `SPIFFE_ENDPOINT_SOCKET`. */
  workloadApi: z.boolean().default(false),
});

export const meshFile = z.strictObject({
  apiVersion: z.literal(API_VERSION, `\`apiVersion: ${API_VERSION}\` is wanted`),
  kind: z.literal('Mesh', '`kind: Mesh` is wanted'),
  name,
  trustDomain: z.string().refine(isTrustDomain, 'a trust domain is 1 to 255 of a-z, 0-9, `.`, `_` and `-`').optional(),
  namespace: name.default('default'),
  ingress: z
    .strictObject({
      port: port.default(0),
      routes: z.array(z.strictObject({ path: z.string().regex(/^\//, 'a path starts with `/`'), service: name })).default([]),
    })
    .optional(),
  services: z.record(name, serviceSpec),
  policy: z.array(z.string()).default([]),
  certificates: z.strictObject({ ttl: duration.optional() }).default({}),
  telemetry: z.strictObject({ retention: duration.prefault('24h') }).prefault({}),
  tracing: z
    .strictObject({
      ratio: z.number().min(0).max(1).default(1),
      acceptExternal: z.boolean().default(true),
      propagation: z.array(z.enum(['w3c'], 'this version propagates `w3c`')).default(['w3c']),
    })
    .prefault({}),
});

export interface PortSpec {
  readonly name: string;
  /** 0: a free port is chosen at each start. */
  readonly port: number;
  readonly protocol: Protocol;
}

export interface ServiceSpec {
  readonly name: string;
  readonly command: readonly string[];
  /** As written: relative to the mesh file's directory. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly instances: number;
  readonly zones: readonly string[];
  readonly ports: readonly PortSpec[];
  readonly tier: string | undefined;
  readonly calls: readonly string[];
  readonly ready: { readonly path: string | undefined; readonly timeoutMs: number };
  readonly restart: 'always' | 'on-failure' | 'never';
  readonly traffic: Traffic;
  readonly trafficRoutes: readonly TrafficRoute[];
  readonly encodedSlash: 'refuse' | 'keep';
  readonly workloadApi: boolean;
}

/** Where an instance (`web-3`) runs: the zones of its service in turn. Undefined when it says nothing of zones. */
export function zoneOf({ name, zones }: ServiceSpec, instance: string): string | undefined {
  return zones.length === 0 ? undefined : zones[Number(instance.slice(name.length + 1)) % zones.length];
}

export interface MeshSpec {
  readonly name: string;
  readonly trustDomain: string;
  readonly namespace: string;
  readonly ingress: { readonly port: number; readonly routes: readonly { readonly path: string; readonly service: string }[] } | undefined;
  readonly services: Readonly<Record<string, ServiceSpec>>;
  readonly policy: readonly string[];
  /** Life of a workload certificate. */
  readonly certificateTtlMs: number;
  readonly retentionMs: number;
  readonly tracing: { readonly ratio: number; readonly acceptExternal: boolean };
}

/** Life of a workload certificate when the mesh file does not say: SPIRE, Istio and Linkerd are between 1 h and 24 h. */
export const DEFAULT_TTL_MS = 24 * 3_600_000;
/** Shorter lives leave no time to renew (RFC 5280 times have whole seconds). */
export const MIN_TTL_MS = 5000;

/** The mesh file as a value with every default filled in; findings name file, line and column. */
export function parseMeshFile(file: string, text: string): { spec: MeshSpec | undefined; findings: Finding[] } {
  const { documents, findings } = parseYaml(file, text);
  if (findings.length > 0) return { spec: undefined, findings };
  const document = documents[0];
  if (document === undefined || documents.length > 1) {
    const what = document === undefined ? 'the mesh file is empty' : 'a mesh file holds one document';
    return { spec: undefined, findings: [{ rule: 'invalid-value', severity: 'error', what, place: { file, line: 1, column: 1 } }] };
  }
  const decoded = decode(document, meshFile);
  if (decoded.value === undefined) return { spec: undefined, findings: decoded.findings };
  return assemble(document, decoded.value);
}

function assemble(document: Located, raw: z.output<typeof meshFile>): { spec: MeshSpec | undefined; findings: Finding[] } {
  const findings: Finding[] = [];
  const fail = (path: (string | number)[], what: string, fix?: string): void => {
    findings.push({ rule: 'invalid-value', severity: 'error', what, ...(fix === undefined ? {} : { fix }), place: document.place(path) });
  };
  const names = Object.keys(raw.services);
  const services: Record<string, ServiceSpec> = {};
  for (const [serviceName, service] of Object.entries(raw.services)) {
    if (serviceName === INGRESS)
      fail(['services', serviceName], "`ingress` is the mesh's own service and cannot be declared", 'give the service another name');
    const command = typeof service.command === 'string' ? splitCommand(service.command) : service.command;
    if (command === undefined)
      fail(['services', serviceName, 'command'], 'unbalanced quotes in the command', 'write the command as a list');
    service.calls.forEach((callee, i) => {
      if (!names.includes(callee))
        fail(
          ['services', serviceName, 'calls', i],
          `\`${serviceName}\` calls \`${callee}\`, which is not a service of this file${didYouMean(callee, names)}`,
        );
    });
    const ports = Object.entries(service.ports).map(([portName, spec]) => ({ name: portName, ...spec }));
    if (service.instances > 1 && ports.some((spec) => spec.port !== 0)) {
      fail(
        ['services', serviceName, 'ports'],
        `\`${serviceName}\` has ${service.instances} instances and a fixed port: all but the first could not listen`,
        'use `port: 0` and `$PORT`',
      );
    }
    services[serviceName] = {
      name: serviceName,
      command: command ?? [],
      cwd: service.cwd,
      env: service.env,
      instances: service.instances,
      zones: service.zones,
      ports: ports.length > 0 ? ports : [{ name: 'http', port: 0, protocol: 'http' }],
      tier: service.tier,
      calls: service.calls,
      ready: { path: service.ready?.path, timeoutMs: service.ready?.timeout ?? 10_000 },
      restart: service.restart,
      ...resolved(service.traffic),
      encodedSlash: service.encodedSlash,
      workloadApi: service.workloadApi,
    };
    for (const named of service.traffic === undefined ? [] : namedServices(service.traffic)) {
      if (!names.includes(named.service) && named.service !== INGRESS)
        fail(
          ['services', serviceName, 'traffic', ...named.path],
          `\`${named.service}\` is not a service of this file${didYouMean(named.service, names)}`,
        );
    }
  }
  raw.ingress?.routes.forEach((route, i) => {
    if (!names.includes(route.service))
      fail(
        ['ingress', 'routes', i, 'service'],
        `the ingress routes to \`${route.service}\`, which is not a service of this file${didYouMean(route.service, names)}`,
      );
    else if (services[route.service]?.ports[0]?.protocol === 'tcp')
      fail(['ingress', 'routes', i, 'service'], `the ingress speaks HTTP and \`${route.service}\` speaks TCP`);
  });
  const ttlMs = raw.certificates.ttl ?? DEFAULT_TTL_MS;
  if (ttlMs < MIN_TTL_MS) fail(['certificates', 'ttl'], `a certificate life under ${MIN_TTL_MS / 1000}s leaves no time to renew`);
  if (findings.length > 0) return { spec: undefined, findings };
  return {
    findings,
    spec: {
      name: raw.name,
      trustDomain: raw.trustDomain ?? `${raw.name}.local`,
      namespace: raw.namespace,
      ingress: raw.ingress,
      services,
      policy: raw.policy,
      certificateTtlMs: ttlMs,
      retentionMs: raw.telemetry.retention,
      tracing: { ratio: raw.tracing.ratio, acceptExternal: raw.tracing.acceptExternal },
    },
  };
}

function resolved(text: z.output<typeof trafficSpec> | undefined): Pick<ServiceSpec, 'traffic' | 'trafficRoutes'> {
  const { traffic, routes } = resolveTraffic(text);
  return { traffic, trafficRoutes: routes };
}

/** Splits a command as a shell would, without a shell: blanks separate, quotes group, nothing is expanded. */
export function splitCommand(text: string): string[] | undefined {
  const words: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let i = 0; i < text.length; i++) {
    const c = text.charAt(i);
    if (quote !== '') {
      if (c === quote) quote = '';
      else if (c === '\\' && quote === '"' && i + 1 < text.length) word = (word ?? '') + text.charAt(++i);
      else word = (word ?? '') + c;
    } else if (c === '"' || c === "'") {
      quote = c;
      word ??= '';
    } else if (c === ' ' || c === '\t' || c === '\n') {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (c === '\\' && i + 1 < text.length) word = (word ?? '') + text.charAt(++i);
    else word = (word ?? '') + c;
  }
  if (quote !== '') return undefined;
  if (word !== undefined) words.push(word);
  return words.length > 0 ? words : undefined;
}
