// What Istio refuses at admission, or warns of: AuthorizationPolicy, PeerAuthentication and RequestAuthentication, by its schema and its webhook.
// Source: istio.io/api (CRD schemas with their CEL rules) and pkg/config/validation. Messages of the schema are worded as the API server's.
import type { Finding, Severity } from '../../../base/finding.ts';
import { isBlock } from '../ip.ts';
import { isMap, type Resource, specOf } from '../resources.ts';
import { isTemplate } from './path.ts';

type Path = readonly (string | number)[];
type Map = Readonly<Record<string, unknown>>;

/** Findings of one resource; an error means that Istio would not take it. Undefined for kinds that are not judged here. */
export function validateIstio(resource: Resource): Finding[] | undefined {
  if (!resource.apiVersion.startsWith('security.istio.io/')) return undefined;
  const check = new Check(resource);
  switch (resource.kind) {
    case 'AuthorizationPolicy':
      check.authorizationPolicy();
      break;
    case 'PeerAuthentication':
      check.peerAuthentication();
      break;
    case 'RequestAuthentication':
      check.requestAuthentication();
      break;
    default:
      return undefined;
  }
  return check.findings;
}

const ACTIONS = ['ALLOW', 'DENY', 'AUDIT', 'CUSTOM'];
const MODES = ['UNSET', 'DISABLE', 'PERMISSIVE', 'STRICT'];
const BOOLEANS = /^(?:1|t|T|TRUE|true|True|0|f|F|FALSE|false|False)$/;
const TARGETS = new Set([
  'gateway.networking.k8s.io/Gateway',
  'gateway.networking.k8s.io/GatewayClass',
  '/Service',
  'core/Service',
  'networking.istio.io/ServiceEntry',
]);
const SOURCE_FIELDS = ['principals', 'requestPrincipals', 'namespaces', 'ipBlocks', 'remoteIpBlocks', 'serviceAccounts', 'trustDomains'];
const OPERATION_FIELDS = ['hosts', 'ports', 'methods', 'paths'];
const IDENTITY_FIELDS = ['principals', 'requestPrincipals', 'namespaces', 'serviceAccounts', 'trustDomains'];
const HTTP_FIELDS = ['hosts', 'methods', 'paths'];
const PLAIN_KEYS = new Set([
  'source.ip',
  'remote.ip',
  'source.namespace',
  'source.principal',
  'source.serviceAccount',
  'source.trustDomain',
  'request.auth.principal',
  'request.auth.audiences',
  'request.auth.presenter',
  'destination.ip',
  'destination.port',
  'connection.sni',
]);
const MAX_TARGETS = 16;
const MAX_SERVICE_ACCOUNTS = 16;
const MAX_SERVICE_ACCOUNT_CHARS = 320;

const both = (fields: readonly string[]): string[] =>
  fields.flatMap((field) => [field, `not${field.charAt(0).toUpperCase()}${field.slice(1)}`]);
const positive = (field: string): string => (/^not[A-Z]/.test(field) ? field.charAt(3).toLowerCase() + field.slice(4) : field);
/** `spec.rules[0].to`. */
const printPath = (path: Path): string =>
  path.map((part, i) => (typeof part === 'number' ? `[${part}]` : i === 0 ? part : `.${part}`)).join('');

class Check {
  readonly findings: Finding[] = [];
  readonly #resource: Resource;
  readonly #spec: Map;

  constructor(resource: Resource) {
    this.#resource = resource;
    this.#spec = specOf(resource);
  }

  authorizationPolicy(): void {
    const spec = this.#spec;
    const action = spec['action'] ?? 'ALLOW';
    if (!ACTIONS.includes(String(action))) this.#error(['spec', 'action'], `action must be one of ${ACTIONS.join(', ')}`);
    this.#dryRun(String(action));
    this.#target();
    this.#provider(String(action));
    if (spec['rules'] === undefined || spec['rules'] === null) {
      if (action === 'DENY' || action === 'CUSTOM')
        this.#error(['spec'], `\`rules\` must be given for ${action}: without them it is never triggered`);
      return;
    }
    this.#each(['spec', 'rules'], spec['rules'], (path, rule) => this.#rule(path, rule, String(action)));
  }

  peerAuthentication(): void {
    const spec = this.#spec;
    this.#target();
    this.#mode(['spec', 'mtls'], spec['mtls']);
    const ports = spec['portLevelMtls'];
    if (ports === undefined || ports === null) return;
    const path = ['spec', 'portLevelMtls'];
    if (!isMap(ports)) return this.#error(path, `${printPath(path)} in body must be of type object`);
    if (Object.keys(ports).length === 0) this.#error(path, `${printPath(path)} in body should have at least 1 properties`);
    if (Object.keys(ports).some((port) => !/^\d+$/.test(port) || Number(port) < 1 || Number(port) > 65_535))
      this.#error(path, 'port must be between 1-65535');
    if (!isMap(spec['selector']) || !isMap(spec['selector']['matchLabels']) || Object.keys(spec['selector']['matchLabels']).length === 0)
      this.#error(path, 'portLevelMtls requires selector');
    for (const [port, mode] of Object.entries(ports)) this.#mode([...path, port], mode);
  }

  requestAuthentication(): void {
    if ('istio.io/dry-run' in this.#resource.annotations)
      this.#error(['metadata', 'annotations', 'istio.io/dry-run'], 'dry-run is for AuthorizationPolicy only');
    this.#target();
    if (this.#spec['jwtRules'] !== undefined)
      this.#each(['spec', 'jwtRules'], this.#spec['jwtRules'], (path, rule) => this.#jwtRule(path, rule));
  }

  #error(path: Path, what: string): void {
    this.#find('error', 'istio-schema', path, what);
  }

  #find(severity: Severity, rule: string, path: Path, what: string, fix?: string): void {
    this.findings.push({ rule, severity, what, ...(fix === undefined ? {} : { fix }), place: this.#resource.place(path) });
  }

  /** Every element of a list of maps; what is none is an error. */
  #each(path: Path, value: unknown, visit: (path: Path, element: Map) => void): void {
    if (!Array.isArray(value)) return this.#error(path, `${printPath(path)} in body must be of type array`);
    value.forEach((element: unknown, i) => {
      const at = [...path, i];
      if (isMap(element)) visit(at, element);
      else this.#error(at, `${printPath(at)} in body must be of type object: "${element === null ? 'null' : typeof element}"`);
    });
  }

  /** A list of texts, none of them empty. */
  #texts(path: Path, value: unknown): string[] {
    if (value === undefined) return [];
    if (!Array.isArray(value)) {
      this.#error(path, `${printPath(path)} in body must be of type array`);
      return [];
    }
    return value.map((each: unknown, i) => {
      const text = typeof each === 'string' ? each : each === null ? '' : String(each);
      if (text === '') this.#error([...path, i], `${printPath([...path, i])} in body should be at least 1 chars long`);
      return text;
    });
  }

  #dryRun(action: string): void {
    const value = this.#resource.annotations['istio.io/dry-run'];
    if (value === undefined) return;
    const path = ['metadata', 'annotations', 'istio.io/dry-run'];
    if (!BOOLEANS.test(value)) this.#error(path, `\`${value}\` is neither true nor false`);
    if (action !== 'ALLOW' && action !== 'DENY') this.#error(path, `dry-run is for ALLOW and DENY, not for ${action}`);
  }

  #target(): void {
    const { selector, targetRef, targetRefs } = this.#spec;
    if ([selector, targetRef, targetRefs].filter((each) => each !== undefined && each !== null).length > 1)
      this.#error(['spec'], 'only one of targetRefs or selector can be set');
    if (selector !== undefined) this.#selector(['spec', 'selector'], selector);
    if (isMap(targetRef)) this.#targetRef(['spec', 'targetRef'], targetRef);
    if (targetRefs === undefined) return;
    if (Array.isArray(targetRefs) && targetRefs.length > MAX_TARGETS)
      this.#error(['spec', 'targetRefs'], `at most ${MAX_TARGETS} targetRefs`);
    this.#each(['spec', 'targetRefs'], targetRefs, (path, target) => this.#targetRef(path, target));
  }

  #selector(path: Path, selector: unknown): void {
    if (!isMap(selector)) return;
    const labels = isMap(selector['matchLabels']) ? selector['matchLabels'] : {};
    const at = [...path, 'matchLabels'];
    if (Object.keys(labels).length === 0 && this.#resource.kind !== 'PeerAuthentication')
      this.#find(
        'warning',
        'selector-empty',
        path,
        'a selector without labels selects every workload of the namespace',
        'leave it out, or name labels',
      );
    for (const [key, value] of Object.entries(labels)) {
      if (key === '') this.#error(at, 'key must not be empty');
      if (key.includes('*')) this.#error(at, `wildcard not allowed in label selector: \`${key}\``);
      if (String(value).includes('*')) this.#error([...at, key], `wildcard not allowed in label selector: \`${value}\``);
    }
  }

  #targetRef(path: Path, target: Map): void {
    const text = (key: string): string => (typeof target[key] === 'string' ? (target[key] as string) : '');
    const pattern = /^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$/;
    const group = /^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
    if (!group.test(text('group')))
      this.#error([...path, 'group'], `${printPath([...path, 'group'])} in body should match '${group.source}'`);
    if (!pattern.test(text('kind')))
      this.#error([...path, 'kind'], `${printPath([...path, 'kind'])} in body should match '${pattern.source}'`);
    else if (!TARGETS.has(`${text('group')}/${text('kind')}`))
      this.#error(
        [...path, 'kind'],
        `a target is a Gateway, GatewayClass, Service or ServiceEntry, not \`${text('group')}/${text('kind')}\``,
      );
    if (text('name') === '') this.#error(path, `${printPath([...path, 'name'])} in body should be at least 1 chars long`);
    if (text('namespace') !== '') this.#error([...path, 'namespace'], 'cross namespace referencing is not currently supported');
    if (
      text('kind') === 'GatewayClass' &&
      this.#resource.namespace !== undefined &&
      this.#resource.namespace !== 'istio-system' &&
      this.#resource.kind === 'AuthorizationPolicy'
    )
      this.#find('info', 'istio-schema', path, 'a GatewayClass is targeted from the root namespace only');
  }

  #provider(action: string): void {
    const { provider } = this.#spec;
    if (action === 'CUSTOM') {
      if (!isMap(provider) || typeof provider['name'] !== 'string' || provider['name'] === '')
        this.#error(['spec'], 'CUSTOM wants `provider.name`');
    } else if (provider !== undefined && provider !== null)
      this.#error(['spec', 'provider'], `\`provider\` is for CUSTOM, not for ${action}`);
  }

  #rule(path: Path, rule: Map, action: string): void {
    for (const key of ['from', 'to'] as const) {
      const inner = key === 'from' ? 'source' : 'operation';
      if (rule[key] === undefined) continue;
      const at = [...path, key];
      if (Array.isArray(rule[key]) && rule[key].length === 0) this.#error(at, `\`${key}\` must not be an empty list`);
      this.#each(at, rule[key], (each, entry) => {
        const clause = entry[inner];
        if (!isMap(clause)) return this.#error(each, `\`${key}\` wants \`${inner}\``);
        if (Object.keys(clause).length === 0) return this.#error([...each, inner], `\`${inner}\` must not be empty`);
        if (key === 'from') this.#source([...each, inner], clause, action);
        else this.#operation([...each, inner], clause);
      });
    }
    if (rule['when'] !== undefined)
      this.#each([...path, 'when'], rule['when'], (each, condition) => this.#condition(each, condition, action));
    if (action === 'DENY') this.#widensOnTcp(path, rule);
  }

  #source(path: Path, source: Map, action: string): void {
    for (const field of both(SOURCE_FIELDS)) {
      if (source[field] === undefined) continue;
      const at = [...path, field];
      if (Array.isArray(source[field]) && source[field].length === 0) this.#error(at, `\`${field}\` must not be an empty list`);
      const values = this.#texts(at, source[field]);
      if (action === 'CUSTOM' && IDENTITY_FIELDS.includes(positive(field))) this.#error(at, `\`${field}\` cannot be used with CUSTOM`);
      this.#values(at, positive(field), values);
    }
    const has = (fields: readonly string[]): boolean => both(fields).some((field) => source[field] !== undefined);
    if (has(['serviceAccounts']) && has(['principals', 'namespaces']))
      this.#error(path, 'serviceAccounts cannot be used with principals or namespaces in one source');
  }

  #operation(path: Path, operation: Map): void {
    for (const field of both(OPERATION_FIELDS)) {
      if (operation[field] === undefined) continue;
      const at = [...path, field];
      if (Array.isArray(operation[field]) && operation[field].length === 0) this.#error(at, `\`${field}\` must not be an empty list`);
      this.#values(at, positive(field), this.#texts(at, operation[field]));
    }
  }

  /** The forms of values, by the field that they stand in. */
  #values(path: Path, field: string, values: readonly string[]): void {
    if (field === 'serviceAccounts' && values.length > MAX_SERVICE_ACCOUNTS)
      this.#error(path, `at most ${MAX_SERVICE_ACCOUNTS} serviceAccounts`);
    values.forEach((value, i) => {
      const problem = value === '' ? undefined : problemOf(field, value);
      if (problem !== undefined) this.#error([...path, i], problem);
    });
  }

  #condition(path: Path, condition: Map, action: string): void {
    const key = typeof condition['key'] === 'string' ? condition['key'] : '';
    if (key === '') return this.#error(path, '`key` must not be empty');
    const values = this.#texts([...path, 'values'], condition['values']);
    const notValues = this.#texts([...path, 'notValues'], condition['notValues']);
    if (values.length + notValues.length === 0) this.#error(path, '`values` or `notValues` must be given');
    const field = fieldOfKey(key);
    if (field === undefined) return this.#error([...path, 'key'], `unknown attribute \`${key}\``);
    if (
      action === 'CUSTOM' &&
      (key.startsWith('request.auth.') || /^source\.(?:principal|namespace|serviceAccount|trustDomain)$/.test(key))
    )
      this.#error([...path, 'key'], `\`${key}\` cannot be used with CUSTOM`);
    this.#values([...path, 'values'], field, values);
    this.#values([...path, 'notValues'], field, notValues);
  }

  // On a TCP port a DENY loses its HTTP fields and denies what is left: often everything.
  #widensOnTcp(path: Path, rule: Map): void {
    const operations = Array.isArray(rule['to'])
      ? rule['to'].flatMap((each: unknown) => (isMap(each) && isMap(each['operation']) ? [each['operation']] : []))
      : [];
    const has = (clause: Map, fields: readonly string[]): boolean => both(fields).some((field) => clause[field] !== undefined);
    const open = operations.some((operation) => has(operation, HTTP_FIELDS) && !has(operation, ['ports']));
    if (open)
      this.#find(
        'warning',
        'l7-deny-no-port',
        path,
        'configured AuthorizationPolicy will deny all traffic to TCP ports under its scope due to the use of only HTTP attributes in a DENY rule',
        'explicitly specify the port',
      );
  }

  #mode(path: Path, value: unknown): void {
    if (value === undefined || value === null) return;
    const mode = isMap(value) ? (value['mode'] ?? 'UNSET') : undefined;
    if (!MODES.includes(String(mode))) this.#error(path, `mode must be one of ${MODES.join(', ')}`);
  }

  #jwtRule(path: Path, rule: Map): void {
    const text = (key: string): string => (typeof rule[key] === 'string' ? (rule[key] as string) : '');
    if (text('issuer') === '' && text('jwksUri') === '') this.#error(path, 'issuer or jwksUri must be given');
    if (text('jwksUri') !== '') this.#url([...path, 'jwksUri'], text('jwksUri'));
    if (text('jwksUri') !== '' && text('jwks') !== '') this.#error(path, 'only one of jwks or jwksUri can be set');
    if (text('jwks') !== '') this.#jwks([...path, 'jwks'], text('jwks'));
    for (const field of ['audiences', 'fromParams', 'fromCookies', 'spaceDelimitedClaims']) this.#texts([...path, field], rule[field]);
    if (rule['fromHeaders'] !== undefined)
      this.#each([...path, 'fromHeaders'], rule['fromHeaders'], (at, header) => {
        if (typeof header['name'] !== 'string' || header['name'] === '')
          this.#error(at, `${printPath([...at, 'name'])} in body should be at least 1 chars long`);
      });
    if (rule['outputClaimToHeaders'] === undefined) return;
    const pattern = /^[-_A-Za-z0-9]+$/;
    this.#each([...path, 'outputClaimToHeaders'], rule['outputClaimToHeaders'], (at, output) => {
      const header = [...at, 'header'];
      if (typeof output['header'] !== 'string' || !pattern.test(output['header']))
        this.#error(header, `${printPath(header)} in body should match '${pattern.source}'`);
      if (typeof output['claim'] !== 'string' || output['claim'] === '')
        this.#error([...at, 'claim'], `${printPath([...at, 'claim'])} in body should be at least 1 chars long`);
    });
  }

  #url(path: Path, text: string): void {
    if (!/^https?:\/\//.test(text)) return this.#error(path, 'url must have scheme http:// or https://');
    if (!URL.canParse(text)) this.#error(path, `\`${text}\` is no URL`);
  }

  #jwks(path: Path, text: string): void {
    let keys: unknown;
    try {
      const parsed: unknown = JSON.parse(text);
      keys = isMap(parsed) ? parsed['keys'] : undefined;
    } catch {
      keys = undefined;
    }
    if (!Array.isArray(keys) || !keys.every((key) => isMap(key) && typeof key['kty'] === 'string'))
      return this.#error(path, 'jwks is no JSON Web Key Set');
    if (keys.some((key: Map) => ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k'].some((member) => member in key)))
      this.#find('warning', 'private-key-in-policy', path, 'the key set holds private keys', 'give the public halves only');
  }
}

/** What the values of a condition are. Undefined for a key that nobody knows. */
function fieldOfKey(key: string): string | undefined {
  if (key === 'source.ip' || key === 'remote.ip' || key === 'destination.ip') return 'ipBlocks';
  if (key === 'destination.port') return 'ports';
  if (key === 'source.serviceAccount') return 'serviceAccounts';
  if (key === 'source.trustDomain') return 'trustDomains';
  if (PLAIN_KEYS.has(key)) return 'text';
  if (/^request\.headers\[[^[\]]+\]$/.test(key) || /^request\.auth\.claims(?:\[[^[\]]+\])+$/.test(key)) return 'text';
  return key.startsWith('experimental.envoy.filters.') ? 'text' : undefined;
}

function problemOf(field: string, value: string): string | undefined {
  switch (field) {
    case 'ipBlocks':
    case 'remoteIpBlocks':
      return isBlock(value) ? undefined : `bad IP address or CIDR range \`${value}\``;
    case 'ports':
      return /^\d{1,5}$/.test(value) && Number(value) <= 65_535 ? undefined : `bad port \`${value}\``;
    case 'serviceAccounts':
      return serviceAccountProblem(value);
    case 'trustDomains':
      return trustDomainProblem(value);
    case 'paths':
      return templateProblem(value);
    default:
      return undefined;
  }
}

function serviceAccountProblem(value: string): string | undefined {
  if (value.includes('*')) return `a wildcard is not allowed in \`${value}\``;
  if (value.length > MAX_SERVICE_ACCOUNT_CHARS) return `more than ${MAX_SERVICE_ACCOUNT_CHARS} characters`;
  const parts = value.split('/');
  return parts.length > 2 || parts.includes('') ? `\`${value}\` is neither \`namespace/account\` nor \`account\`` : undefined;
}

function trustDomainProblem(value: string): string | undefined {
  if (value.includes('/')) return `a trust domain has no \`/\`: \`${value}\``;
  const stars = value.split('*').length - 1;
  if (stars > 1) return `at most one \`*\`: \`${value}\``;
  return stars === 1 && !value.startsWith('*') && !value.endsWith('*')
    ? `\`*\` stands at the beginning or the end: \`${value}\``
    : undefined;
}

const LITERAL = /^[a-zA-Z0-9\-._~!$&'()+,;=:@%]*$/;

/** `{*}` is one segment, `{**}` the last; beside them there is no other wildcard and no other brace. */
function templateProblem(value: string): string | undefined {
  if (!isTemplate(value) && !/[{}]/.test(value)) return undefined;
  const segments = value.replace(/^\//, '').split('/');
  const rest = segments.indexOf('{**}');
  if (rest >= 0 && rest !== segments.length - 1) return `\`{**}\` stands at the end: \`${value}\``;
  const bad = segments.find((segment) => segment !== '{*}' && segment !== '{**}' && !LITERAL.test(segment));
  return bad === undefined ? undefined : `\`${bad}\` cannot stand in a template: \`${value}\``;
}
