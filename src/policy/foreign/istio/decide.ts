// What Istio decides: AuthorizationPolicies and PeerAuthentications × a request, judged by Istio's own semantics at the point that enforces.
//
//   order    mTLS mode, CUSTOM, DENY, then ALLOW: without one that selects the workload everything is allowed
//   sidecar  on a TCP port an ALLOW rule with an HTTP field is left out, and a DENY rule loses its HTTP fields and so gets wider
//   ztunnel  an ALLOW rule with an HTTP field is left out; a DENY clause that loses all its fields never matches
//
// Source: istio.io, Security / Authorization Policy; pilot/pkg/security/authz/builder and ztunnel's RBAC.
import { quotePattern } from '../../../base/pattern.ts';
import { isInBlock } from '../ip.ts';
import { peerMode, readAuthorization } from '../model.ts';
import { all, any, type ForeignDecision, type ForeignRequest, type Match, not, toMatch } from '../request.ts';
import { hasLabels, isMap, mapList, matchLabelsOf, printResource, type Resource, specOf, targetsOf, textList } from '../resources.ts';
import { isTemplate, matchString, matchTemplate, type Normalization, normalizeIstioPath } from './path.ts';
import { type CheckedToken, checkAgainst, matchClaim, NO_TOKEN, principalOf } from './token.ts';

export interface IstioContext {
  readonly rootNamespace: string;
  readonly trustDomain: string;
  readonly trustDomainAliases: readonly string[];
  readonly pathNormalization: Normalization;
}

type Action = 'ALLOW' | 'DENY' | 'CUSTOM' | 'AUDIT';

interface Policy {
  readonly resource: Resource;
  readonly action: Action;
  readonly provider: string | undefined;
  readonly rules: readonly Readonly<Record<string, unknown>>[];
  readonly isDryRun: boolean;
}

export function decideIstio(resources: readonly Resource[], context: IstioContext, request: ForeignRequest): ForeignDecision {
  const known = resources.filter(({ apiVersion }) => apiVersion.startsWith('security.istio.io/'));
  const mode = peerMode({ resources: known, settings: context }, request.destination, request.destination.port);
  if (mode === 'STRICT' && request.source.identity === undefined) return { decision: 'deny', by: 'PeerAuthentication: STRICT', dryRun: {} };
  const policies = known
    .filter(({ kind }) => kind === 'AuthorizationPolicy')
    .map(toPolicy)
    .filter((policy) => selects(policy.resource, context, request));
  const checked = request.destination.enforcement === 'ztunnel' ? NO_TOKEN : checkToken(known, context, request);
  if (checked.refused !== undefined) return { decision: 'deny', by: checked.refused, dryRun: {} };
  const judge = new Judge(context, request, checked);
  const of = (action: Action, isDryRun: boolean): Policy[] =>
    policies.filter((policy) => policy.action === action && policy.isDryRun === isDryRun);
  const dryRun = watched(of('DENY', true), of('ALLOW', true), judge);
  const decided = (decision: ForeignDecision['decision'], by: string): ForeignDecision => ({ decision, by, dryRun });
  if (judge.path === undefined && request.http !== undefined) return decided('deny', 'the path is refused before any rule');
  let open: string | undefined;
  if (request.destination.enforcement !== 'ztunnel') {
    const providers = new Map<string, Match>();
    for (const policy of of('CUSTOM', false))
      providers.set(policy.provider ?? '', any([providers.get(policy.provider ?? '') ?? 'no', judge.matches(policy)]));
    for (const [provider, match] of [...providers].sort(([a], [b]) => a.localeCompare(b))) {
      if (match === 'no') continue;
      const said = request.authorizers[provider];
      if (match === 'yes' && said === 'deny') return decided('deny', `external authorizer ${provider}`);
      if (said !== 'allow') open ??= `it depends on the external authorizer ${provider}`;
    }
  }
  for (const policy of of('DENY', false)) {
    const match = judge.matches(policy);
    if (match === 'yes') return decided('deny', name(policy));
    if (match === 'maybe') open ??= `it depends on ${name(policy)}`;
  }
  const allows = of('ALLOW', false);
  if (allows.length === 0) return open === undefined ? decided('allow', 'no ALLOW policy selects the workload') : decided('unknown', open);
  const matches = allows.map((policy) => judge.matches(policy));
  const found = matches.indexOf('yes');
  if (found >= 0) return open === undefined ? decided('allow', name(allows[found] as Policy)) : decided('unknown', open);
  if (matches.includes('maybe')) return decided('unknown', `it depends on ${name(allows[matches.indexOf('maybe')] as Policy)}`);
  return decided('deny', 'no ALLOW policy matches');
}

function watched(denies: readonly Policy[], allows: readonly Policy[], judge: Judge): ForeignDecision['dryRun'] {
  const hit = (policies: readonly Policy[]): boolean => policies.some((policy) => judge.matches(policy) === 'yes');
  return {
    ...(denies.length === 0 ? {} : { deny: hit(denies) ? ('deny' as const) : ('allow' as const) }),
    ...(allows.length === 0 ? {} : { allow: hit(allows) ? ('allow' as const) : ('deny' as const) }),
  };
}

const name = ({ resource }: Policy): string => printResource(resource);

function toPolicy(resource: Resource): Policy {
  const { action, provider, isDryRun } = readAuthorization(resource);
  return { resource, action: action as Action, provider, isDryRun, rules: mapList(specOf(resource)['rules']) ?? [] };
}

/** Whether a policy is in force where the request arrives. */
function selects(resource: Resource, context: IstioContext, { destination }: ForeignRequest): boolean {
  const spec = specOf(resource);
  const isRoot = resource.namespace === context.rootNamespace;
  const targets = targetsOf(spec);
  if (targets.length > 0) return targets.some((target) => isTarget(target, resource, isRoot, destination));
  // Waypoints look at what is attached to them only.
  if (destination.enforcement === 'waypoint') return false;
  return (isRoot || resource.namespace === destination.namespace) && hasLabels(destination.labels, matchLabelsOf(spec['selector']));
}

/** The token against every RequestAuthentication that is in force there. */
function checkToken(known: readonly Resource[], context: IstioContext, request: ForeignRequest): CheckedToken {
  const rules = known
    .filter((each) => each.kind === 'RequestAuthentication' && selects(each, context, request))
    .flatMap((each) => mapList(specOf(each)['jwtRules']) ?? []);
  return request.http === undefined ? NO_TOKEN : checkAgainst(rules, request.token);
}

function isTarget(
  target: Readonly<Record<string, unknown>>,
  resource: Resource,
  isRoot: boolean,
  { enforcement, namespace, service, labels }: ForeignRequest['destination'],
): boolean {
  if (target['kind'] === 'Service' || target['kind'] === 'ServiceEntry')
    return enforcement === 'waypoint' && resource.namespace === namespace && service?.split('.')[0] === target['name'];
  const gateway = labels['gateway.networking.k8s.io/gateway-name'];
  if (target['kind'] === 'Gateway') return resource.namespace === namespace && gateway !== undefined && gateway === target['name'];
  if (target['kind'] === 'GatewayClass') return isRoot && (enforcement === 'waypoint' || gateway !== undefined);
  return false;
}

const HTTP_OPERATION = ['hosts', 'methods', 'paths'];
const HTTP_SOURCE = ['requestPrincipals'];
const ZTUNNEL_SOURCE = ['principals', 'namespaces', 'serviceAccounts', 'ipBlocks'];
const ZTUNNEL_KEYS = new Set(['source.ip', 'source.namespace', 'source.principal', 'destination.ip', 'destination.port']);

/** `ports` and `notPorts` → [`ports`, its values, its negated values], for every field that is there. */
function fieldsIn(
  clause: Readonly<Record<string, unknown>>,
): { field: string; values: string[] | undefined; notValues: string[] | undefined }[] {
  const names = new Set(Object.keys(clause).map((key) => (/^not[A-Z]/.test(key) ? key.charAt(3).toLowerCase() + key.slice(4) : key)));
  return [...names].map((field) => ({
    field,
    values: textList(clause[field]),
    notValues: textList(clause[`not${field.charAt(0).toUpperCase()}${field.slice(1)}`]),
  }));
}

class Judge {
  /** As rules see it; undefined for TCP, and for one that is refused. */
  readonly path: string | undefined;
  readonly #context: IstioContext;
  readonly #request: ForeignRequest;
  readonly #token: CheckedToken;

  constructor(context: IstioContext, request: ForeignRequest, token: CheckedToken) {
    this.#context = context;
    this.#request = request;
    this.#token = token;
    const normal = request.http === undefined ? undefined : normalizeIstioPath(request.http.path, context.pathNormalization);
    this.path = normal !== undefined && 'path' in normal ? normal.path : undefined;
  }

  matches(policy: Policy): Match {
    return any(policy.rules.map((rule) => this.#rule(rule, policy)));
  }

  #rule(rule: Readonly<Record<string, unknown>>, policy: Policy): Match {
    const from = mapList(rule['from'])?.map(({ source }) => (isMap(source) ? source : {}));
    const to = mapList(rule['to'])?.map(({ operation }) => (isMap(operation) ? operation : {}));
    const when = mapList(rule['when']) ?? [];
    const isZtunnel = this.#request.destination.enforcement === 'ztunnel';
    const isTcp = this.#request.http === undefined || isZtunnel;
    const foreign = (field: string, known: readonly string[]): boolean => (isTcp ? known.includes(field) : false);
    const sourceFields = isZtunnel
      ? (field: string) => !ZTUNNEL_SOURCE.includes(field) && field !== 'trustDomains'
      : (field: string) => foreign(field, HTTP_SOURCE);
    const operationFields = (field: string): boolean => foreign(field, HTTP_OPERATION);
    const keys = isZtunnel ? (key: string) => !ZTUNNEL_KEYS.has(key) : (key: string) => isTcp && key.startsWith('request.');
    const isForeign =
      (from ?? []).some((source) => fieldsIn(source).some(({ field }) => sourceFields(field))) ||
      (to ?? []).some((operation) => fieldsIn(operation).some(({ field }) => operationFields(field))) ||
      when.some(({ key }) => keys(String(key)));
    // An ALLOW that cannot be judged here allows nothing.
    if (isForeign && policy.action === 'ALLOW') return 'no';
    const clause = (one: Readonly<Record<string, unknown>>, drop: (field: string) => boolean, match: Field): Match => {
      const known = fieldsIn(one).filter(({ field }) => !drop(field) && !(isZtunnel && field === 'trustDomains'));
      // ztunnel: what is left with nothing never matches; a sidecar takes it for everything.
      if (isZtunnel && known.length === 0 && fieldsIn(one).length > 0) return 'no';
      return all(known.map(({ field, values, notValues }) => this.#field(field, values, notValues, match, policy)));
    };
    const froms = from === undefined ? 'yes' : any(from.map((source) => clause(source, sourceFields, this.#source)));
    const tos = to === undefined ? 'yes' : any(to.map((operation) => clause(operation, operationFields, this.#operation)));
    const kept = when.filter(({ key }) => !keys(String(key)));
    if (isZtunnel && when.length > 0 && kept.length === 0) return 'no';
    const whens = all(
      kept.map(({ key, values, notValues }) => this.#field(String(key), textList(values), textList(notValues), this.#condition, policy)),
    );
    return all([froms, tos, whens]);
  }

  #field(field: string, values: string[] | undefined, notValues: string[] | undefined, match: Field, policy: Policy): Match {
    const one = (value: string): Match => match(field, value, policy);
    return all([values === undefined ? 'yes' : any(values.map(one)), notValues === undefined ? 'yes' : not(any(notValues.map(one)))]);
  }

  /** `<trust domain>/ns/…/sa/…`; undefined without mTLS. */
  get #principal(): string | undefined {
    return this.#request.source.identity?.replace(/^spiffe:\/\//, '');
  }

  readonly #source: Field = (field, value, policy) => {
    const principal = this.#principal;
    const { source, remoteIp } = this.#request;
    switch (field) {
      case 'principals':
        return toMatch(this.#isPrincipal(value, principal));
      case 'namespaces':
        return toMatch(principal !== undefined && namespacePattern(value).test(principal));
      case 'serviceAccounts': {
        const [namespace, account] = value.includes('/') ? value.split('/') : [policy.resource.namespace, value];
        return toMatch(principal?.endsWith(`/ns/${namespace}/sa/${account}`) === true);
      }
      case 'trustDomains':
        return toMatch(this.#isTrustDomain(value, principal));
      case 'requestPrincipals':
        return this.#token.isKnown ? toMatch(matchString(value, principalOf(this.#token.claims))) : 'maybe';
      case 'ipBlocks':
        return inBlock(value, source.ip);
      case 'remoteIpBlocks':
        return inBlock(value, remoteIp ?? source.ip);
      default:
        return 'maybe';
    }
  };

  readonly #operation: Field = (field, value) => {
    const { http, destination } = this.#request;
    switch (field) {
      case 'hosts':
        return toMatch(matchString(value.toLowerCase(), http?.host.toLowerCase()));
      case 'methods':
        return toMatch(matchString(value, http?.method));
      case 'paths':
        return toMatch(isTemplate(value) ? this.path !== undefined && matchTemplate(value, this.path) : matchString(value, this.path));
      case 'ports':
        return toMatch(Number(value) === destination.port);
      default:
        return 'maybe';
    }
  };

  readonly #condition: Field = (key, value, policy) => {
    const { source, destination, http, sni, remoteIp } = this.#request;
    const header = /^request\.headers\[(.+)\]$/.exec(key)?.[1]?.toLowerCase();
    if (header !== undefined) return toMatch(matchString(value, headerOf(http, header)));
    if (key.startsWith('request.auth.')) return this.#token.isKnown ? toMatch(matchClaim(key, value, this.#token)) : 'maybe';
    switch (key) {
      case 'source.ip':
        return inBlock(value, source.ip);
      case 'remote.ip':
        return inBlock(value, remoteIp ?? source.ip);
      case 'source.namespace':
        return this.#source('namespaces', value, policy);
      case 'source.principal':
        return this.#source('principals', value, policy);
      case 'source.serviceAccount':
        return this.#source('serviceAccounts', value, policy);
      case 'source.trustDomain':
        return this.#source('trustDomains', value, policy);
      case 'destination.ip':
        return inBlock(value, destination.ip);
      case 'destination.port':
        return toMatch(Number(value) === destination.port);
      case 'connection.sni':
        return sni === undefined ? 'no' : toMatch(matchString(value, sni));
      default:
        return 'maybe';
    }
  };

  // The local trust domain, its aliases and `cluster.local` stand for each other.
  get #ownDomains(): readonly string[] {
    return [this.#context.trustDomain, 'cluster.local', ...this.#context.trustDomainAliases];
  }

  #isPrincipal(pattern: string, principal: string | undefined): boolean {
    const slash = pattern.indexOf('/');
    const domain = pattern.slice(0, slash);
    if (slash > 0 && this.#ownDomains.includes(domain))
      return this.#ownDomains.some((own) => matchString(own + pattern.slice(slash), principal));
    return matchString(pattern, principal);
  }

  #isTrustDomain(pattern: string, principal: string | undefined): boolean {
    if (principal === undefined) return false;
    const domain = principal.slice(0, principal.indexOf('/'));
    if (this.#ownDomains.includes(pattern)) return this.#ownDomains.includes(domain);
    return matchString(pattern, domain);
  }
}

type Field = (field: string, value: string, policy: Policy) => Match;

function inBlock(block: string, address: string | undefined): Match {
  return address === undefined ? 'maybe' : toMatch(isInBlock(block, address));
}

/** `*` anywhere is any run of characters. */
function namespacePattern(value: string): RegExp {
  const text = value
    .split('*')
    .map((part) => quotePattern(part))
    .join('.*');
  return new RegExp(`^.*/ns/${text}/.*$`);
}

function headerOf(http: ForeignRequest['http'], header: string): string | undefined {
  if (header === ':method') return http?.method;
  if (header === ':path') return http?.path;
  if (header === ':authority' || header === 'host') return http?.host;
  return Object.entries(http?.headers ?? {}).find(([key]) => key.toLowerCase() === header)?.[1];
}
