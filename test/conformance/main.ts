// `npm run --silent conformance -- DIR [-o json]`: reads a directory of cases (DIR/SOURCE/cases.jsonl, one case a line, with the files that it
// names beside it) and prints, per source and kind, how many pass, fail and are not supported.
//
// The code under test gets the files, the request and the context; it never sees what is expected, nor where a case comes from.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { decideIstio, type IstioContext } from '../../src/policy/foreign/istio/decide.ts';
import { type Normalization, normalizeIstioPath } from '../../src/policy/foreign/istio/path.ts';
import { validateIstio } from '../../src/policy/foreign/istio/validate.ts';
import { decideLinkerd } from '../../src/policy/foreign/linkerd/decide.ts';
import { validateLinkerd } from '../../src/policy/foreign/linkerd/validate.ts';
import { readMesh, type Settings } from '../../src/policy/foreign/model.ts';
import type { ForeignRequest } from '../../src/policy/foreign/request.ts';
import { readResources } from '../../src/policy/foreign/resources.ts';
import { judgeForeign } from '../../src/policy/foreign.ts';
import { LINT_RULES } from '../../src/policy/rules.ts';

interface Case {
  readonly id: string;
  readonly kind: string;
  readonly files: readonly string[];
  // biome-ignore lint/suspicious/noExplicitAny: cases are JSON of many shapes
  readonly request: any;
  // biome-ignore lint/suspicious/noExplicitAny: cases are JSON of many shapes
  readonly context: any;
  /** Which part of another linter is asked. */
  readonly analyzer?: string;
  readonly expect: Readonly<Record<string, unknown>>;
}

type Texts = readonly { readonly file: string; readonly text: string }[];
/** What the code says of a case; undefined where it has no answer of that kind. */
type Answer = Readonly<Record<string, unknown>> | undefined;

/** What each of istioctl's analyzers speaks of; Kiali's cases name their codes. */
const ANALYZERS: Readonly<Record<string, readonly string[]>> = {
  'authn.BlockedCIDRsAnalyzer': ['IST0175'],
  'authz.AuthorizationPoliciesAnalyzer': ['IST0101', 'IST0127'],
  'destinationrule.CaCertificateAnalyzer': ['IST0128', 'IST0129'],
  'k8sgateway.SelectorAnalyzer': ['IST0166'],
  'virtualservice.JWTClaimRouteAnalyzer': ['IST0149'],
};

const SEVERITIES = ['unknown', 'info', 'warning', 'error'];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { output: { type: 'string', short: 'o', default: 'table' } },
});
const directory = positionals[0];
if (directory === undefined || !existsSync(directory)) {
  process.stderr.write('conformance: name a directory of cases\n');
  process.exit(2);
}

const report: Record<
  string,
  { kinds: Record<string, { pass: number; fail: number; unsupported: number; failures: { id: string; why: string }[] }> }
> = {};
for (const source of readdirSync(directory).sort()) {
  const list = join(directory, source, 'cases.jsonl');
  if (!existsSync(list)) continue;
  const kinds: (typeof report)[string]['kinds'] = {};
  report[source] = { kinds };
  for (const line of readFileSync(list, 'utf8').split('\n')) {
    if (line.trim() === '') continue;
    const one = JSON.parse(line) as Case;
    kinds[one.kind] ??= { pass: 0, fail: 0, unsupported: 0, failures: [] };
    const tally = kinds[one.kind] as (typeof kinds)[string];
    const files = one.files.map((file) => ({ file, text: readFileSync(join(directory, source, file), 'utf8') }));
    const answer = one.kind === 'analyze' ? analyze(one, files) : answerFor(one.kind, files, one.request, one.context ?? {});
    const why = answer === undefined ? undefined : difference(one.expect, answer);
    if (answer === undefined) tally.unsupported++;
    else if (why === undefined) tally.pass++;
    else {
      tally.fail++;
      tally.failures.push({ id: one.id, why });
    }
  }
}

if (values.output === 'json') process.stdout.write(`${JSON.stringify({ sources: report }, null, 2)}\n`);
else
  for (const [source, { kinds }] of Object.entries(report))
    for (const [kind, { pass, fail, unsupported, failures }] of Object.entries(kinds)) {
      process.stdout.write(`${source} ${kind}: ${pass} pass, ${fail} fail, ${unsupported} unsupported\n`);
      for (const failure of failures) process.stdout.write(`  ${failure.id}: ${failure.why}\n`);
    }

function difference(expect: Readonly<Record<string, unknown>>, answer: Readonly<Record<string, unknown>>): string | undefined {
  if ('messages' in expect) return differenceOfMessages(expect, answer['messages'] as readonly Readonly<Record<string, unknown>>[]);
  const wrong = Object.entries(expect).find(([key, value]) =>
    key === 'message_contains' ? !String(answer[key]).includes(String(value)) : canonical(answer[key]) !== canonical(value),
  );
  return wrong === undefined ? undefined : `${wrong[0]}: expected ${canonical(wrong[1])}, is ${canonical(answer[wrong[0]])}`;
}

/** Every message that is expected, each once and at its place, and nothing else. A rule answers to each code that it knows itself by. */
function differenceOfMessages(
  { messages }: Readonly<Record<string, unknown>>,
  found: readonly Readonly<Record<string, unknown>>[],
): string | undefined {
  const rest = [...found];
  for (const message of messages as readonly {
    code: string;
    severity?: string;
    resource?: Readonly<Record<string, unknown>>;
    path?: string;
  }[]) {
    const at = rest.findIndex(
      (each) =>
        (each['codes'] as readonly string[]).includes(message.code) &&
        Object.entries(message.resource ?? {}).every(([key, value]) => each[key] === value) &&
        (message.path === undefined || each['path'] === message.path) &&
        SEVERITIES.indexOf(String(each['severity'])) >= SEVERITIES.indexOf(message.severity ?? 'unknown'),
    );
    if (at < 0) return `expected ${message.code} about ${JSON.stringify(message.resource)} at ${message.path}`;
    rest.splice(at, 1);
  }
  return rest.length === 0
    ? undefined
    : `found ${rest.map((each) => `${each['rule']} about ${each['kind']} ${each['name']} at ${each['path']}`).join(', ')} too`;
}

function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return JSON.stringify(value) ?? 'nothing';
  return JSON.stringify(Object.fromEntries(Object.entries(value).sort(([a], [b]) => a.localeCompare(b))));
}

function answerFor(kind: string, files: Texts, request: Case['request'], context: Case['context']): Answer {
  if (kind === 'normalize') return normalizeIstioPath(request.path, request.normalization as Normalization);
  if (kind === 'decide' && 'root_namespace' in context) {
    const { decision, dryRun } = decideIstio(readResources(files).resources, istioContext(context), toRequest(request));
    return { decision, dry_run: dryRun };
  }
  if (kind === 'decide' && 'identity_domain' in context) {
    const linkerd = {
      identityDomain: context.identity_domain,
      clusterNetworks: context.cluster_networks ?? [],
      defaultInboundPolicy: context.default_inbound_policy ?? 'all-unauthenticated',
    };
    return { decision: decideLinkerd(readResources(files).resources, linkerd, toRequest(request)).decision };
  }
  if (kind === 'validate') {
    const { resources, findings } = readResources(files);
    const judged = resources.map((resource) => validateIstio(resource) ?? validateLinkerd(resource));
    if (judged.length === 0 || judged.includes(undefined)) return undefined;
    const all = [...findings, ...judged.flatMap((each) => each ?? [])];
    const valid = !all.some(({ severity }) => severity === 'error');
    // What is refused is not warned of.
    return {
      valid,
      warning: valid && all.some(({ severity }) => severity === 'warning'),
      message_contains: all.map(({ what }) => what).join('\n'),
    };
  }
  return undefined;
}

/** Messages of one analyzer, about one resource when the request has a focus. Undefined for analyzers that are not there. */
function analyze({ analyzer, request, context, expect }: Case, files: Texts): Answer {
  // What the case is about is said by its scope, which is no part of the answer.
  const codes = analyzer === undefined ? (String(expect['scope']).match(/[A-Z]{3}\d{4}/g) ?? []) : ANALYZERS[analyzer];
  if (codes === undefined) return undefined;
  const asked = new Map(LINT_RULES.map(({ id, see }) => [id, (see ?? []).filter((code) => codes.includes(code))]));
  if ([...asked.values()].flat().length === 0) return undefined;
  const focus = request?.focus;
  const found = judgeForeign(readMesh(readResources(files).resources, settingsOf(context ?? {}))).filter(
    ({ rule, resource }) =>
      asked.get(rule)?.length !== 0 &&
      (focus === undefined || (resource.kind === focus.kind && resource.name === focus.name && resource.namespace === focus.namespace)),
  );
  return {
    messages: found.map(({ rule, severity, resource, path }) => ({
      rule,
      codes: asked.get(rule),
      severity,
      kind: resource.kind,
      name: resource.name,
      namespace: resource.namespace,
      path: path.reduce<string>(
        (text, part) => (typeof part === 'number' ? `${text}[${part}]` : text === '' ? part : `${text}/${part}`),
        '',
      ),
    })),
  };
}

function settingsOf(context: Case['context']): Partial<Settings> {
  const accounts: Readonly<Record<string, readonly string[]>> | undefined = context.service_accounts;
  return {
    ...(context.root_namespace === undefined ? {} : { rootNamespace: context.root_namespace }),
    ...(context.auto_mtls === undefined ? {} : { autoMtls: context.auto_mtls }),
    ...(context.outbound_traffic_policy === undefined ? {} : { isOutboundOpen: context.outbound_traffic_policy === 'ALLOW_ANY' }),
    ...(context.known_trust_domains === undefined ? {} : { knownTrustDomains: context.known_trust_domains }),
    ...(accounts === undefined
      ? {}
      : {
          accounts: accounts[context.cluster] ?? [],
          remoteAccounts: Object.entries(accounts).flatMap(([cluster, each]) => (cluster === context.cluster ? [] : each)),
        }),
  };
}

function istioContext(context: Case['context']): IstioContext {
  return {
    rootNamespace: context.root_namespace,
    trustDomain: context.trust_domain ?? 'cluster.local',
    trustDomainAliases: context.trust_domain_aliases ?? [],
    pathNormalization: context.path_normalization ?? 'BASE',
  };
}

function toRequest({ source, destination, http, sni, remote_ip, ext_authz, jwt }: Case['request']): ForeignRequest {
  return {
    source: {
      identity: source.mtls ? (source.principal ?? source.identity ?? undefined) : undefined,
      namespace: source.namespace ?? undefined,
      serviceAccount: source.service_account ?? undefined,
      ip: source.ip,
    },
    destination: {
      workload: destination.workload,
      namespace: destination.namespace,
      labels: destination.labels ?? {},
      service: destination.service,
      ip: destination.ip,
      port: destination.port,
      portName: destination.port_name,
      enforcement: destination.enforcement ?? 'sidecar',
    },
    http: http ?? undefined,
    sni,
    remoteIp: remote_ip,
    authorizers: ext_authz ?? {},
    token: jwt === undefined || jwt === null ? null : { isValid: jwt.valid, claims: jwt.claims ?? {} },
  };
}
