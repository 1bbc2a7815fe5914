// A native policy as Istio's: for each service one ALLOW, a DENY for its floor and its `deny` rules, and mutual TLS in its namespace.
import type { Callee, ExportInput } from '../export.ts';
import type { NamedService } from '../names.ts';
import type { RuleNode } from '../reader/rule-node.ts';
import type { OpText, WhoText } from '../reader/rule-text.ts';

type Source = Readonly<Record<string, readonly string[]>>;
type Operation = Readonly<Record<string, readonly string[]>>;

interface Part {
  readonly operation: Operation | undefined;
  readonly when: readonly { readonly key: string; readonly values: readonly string[] }[];
}

const resource = (kind: string, name: string, namespace: string, spec: object): object => ({
  apiVersion: 'security.istio.io/v1',
  kind,
  metadata: { name, namespace },
  spec,
});

export function toIstio(input: ExportInput): object[] {
  const { callees, label } = input;
  input.note(`pods are selected by their label \`${label}\``);
  input.note('set `pathNormalization: {normalization: MERGE_SLASHES}`: native paths are matched with their slashes merged');
  const namespaces = [...new Set(callees.map(({ service }) => service.namespace))].sort();
  const strict = namespaces.map((namespace) => resource('PeerAuthentication', 'default', namespace, { mtls: { mode: 'STRICT' } }));
  return [...strict, ...callees.flatMap((callee) => ofCallee(callee, input))];
}

function ofCallee(callee: Callee, input: ExportInput): object[] {
  const { service, allow, deny, passing, passesOthers } = callee;
  const selector = { matchLabels: { [input.label]: service.name } };
  const rules = allow.flatMap((rule) => {
    const from = sourcesOf(rule.from, input);
    return rule.operations.flatMap((operation) => partOf(operation, rule, callee, input)).map((part) => ruleOf(from, part));
  });
  const all = input.trustDomain;
  const floor = passing === undefined ? [] : [passesOthers ? [`${all}/*`] : passing.map((each) => principal(each, all))];
  const denied = [
    ...floor.map((principals) => ({ from: [{ source: principals.length === 0 ? { namespaces: ['*'] } : { notPrincipals: principals } }] })),
    ...deny.flatMap((rule) => {
      const from = sourcesOf(rule.from, input);
      return rule.operations.flatMap((operation) => deniedPart(operation, rule, callee, input)).map((part) => ruleOf(from, part));
    }),
  ];
  return [
    resource('AuthorizationPolicy', service.name, service.namespace, { selector, ...(rules.length === 0 ? {} : { rules: unique(rules) }) }),
    ...(denied.length === 0
      ? []
      : [resource('AuthorizationPolicy', `${service.name}-deny`, service.namespace, { selector, action: 'DENY', rules: unique(denied) })]),
  ];
}

function unique(rules: readonly object[]): object[] {
  return [...new Map(rules.map((rule) => [JSON.stringify(rule), rule])).values()];
}

function ruleOf(from: readonly Source[] | undefined, { operation, when }: Part): object {
  return {
    ...(from === undefined ? {} : { from: from.map((source) => ({ source })) }),
    ...(operation === undefined ? {} : { to: [{ operation }] }),
    ...(when.length === 0 ? {} : { when }),
  };
}

const principal = ({ namespace, service }: NamedService, trustDomain: string): string => `${trustDomain}/ns/${namespace}/sa/${service}`;

/** Undefined for anybody. */
function sourcesOf(who: WhoText, { trustDomain, meant, isWide, services }: ExportInput): Source[] | undefined {
  switch (who.kind) {
    case 'any':
      return undefined;
    case 'mesh':
      return [{ principals: [`${trustDomain}/*`] }];
    case 'ns':
      return [{ principals: [`${trustDomain}/ns/${who.name}/*`] }];
    case 'td':
      return [{ principals: [`${who.trustDomain}/*`] }];
    case 'id':
      return [{ principals: [who.id.replace(/^spiffe:\/\//, '')] }];
    case 'sa':
      return [{ principals: [`${trustDomain}/ns/${who.namespace}/sa/${who.name}`] }];
    case 'tier': {
      const own = meant(who);
      if (!isWide(who)) return [{ principals: own.map((each) => principal(each, trustDomain)) }];
      const others = services.filter((each) => !own.includes(each)).map((each) => principal(each, trustDomain));
      return [{ principals: [`${trustDomain}/*`], ...(others.length === 0 ? {} : { notPrincipals: others }) }];
    }
    case 'name':
      return [{ principals: meant(who).map((each) => principal(each, trustDomain)) }];
  }
}

function portOf(
  port: string | undefined,
  rule: RuleNode,
  { ports, service }: Callee,
  input: ExportInput,
): { ports: string[] } | 'any' | undefined {
  if (port === undefined) return 'any';
  const number = /^\d+$/.test(port) ? port : ports.get(port);
  if (number !== undefined) return { ports: [String(number)] };
  input.leave(rule, `nobody says which number port \`${port}\` of \`${service.name}\` has: write \`ports:\` under \`services:\``);
  return undefined;
}

/** Nothing where it cannot be said without saying more. */
function partOf(operation: OpText, rule: RuleNode, callee: Callee, input: ExportInput): Part[] {
  const port = portOf(operation.port, rule, callee, input);
  if (port === undefined) return [];
  const at = port === 'any' ? undefined : port;
  switch (operation.kind) {
    case 'any':
      return [{ operation: at, when: [] }];
    case 'tcp':
      input.leave(rule, 'Istio cannot tell TCP from HTTP on a port: `tcp` would let HTTP in too');
      return [];
    case 'grpc': {
      const paths = [`/${operation.service}/${operation.method ?? '*'}`];
      return [
        { operation: { methods: ['POST'], paths, ...at }, when: [{ key: 'request.headers[content-type]', values: ['application/grpc*'] }] },
      ];
    }
    case 'http': {
      const paths = pathsOf(operation.path, operation.isPrefix === true);
      if (paths === undefined) {
        input.leave(
          rule,
          `\`${operation.path}\` has no counterpart: Istio's templates end with \`{**}\`, which does not fit the path before it`,
        );
        return [];
      }
      const { methods } = operation;
      const when = (operation.headers ?? []).map(({ name, value }) => ({ key: `request.headers[${name}]`, values: [value] }));
      if (when.some(({ values }) => /^\*|\*$/.test(values[0] ?? ''))) {
        input.leave(rule, 'a value of a header that begins or ends with `*` would be a pattern');
        return [];
      }
      // Without `methods` the path alone says that it is HTTP.
      return [{ operation: { ...(methods === undefined ? {} : { methods }), paths, ...at }, when }];
    }
  }
}

function deniedPart(operation: OpText, rule: RuleNode, callee: Callee, input: ExportInput): Part[] {
  const port = portOf(operation.port, rule, callee, input);
  if (port === undefined) return [];
  if (operation.kind === 'tcp') input.note('a `deny` of `tcp` denies HTTP on that port too');
  return [{ operation: port === 'any' ? undefined : port, when: [] }];
}

/** `/a/**` fits `/a`, `/a/` and all below; a template alone does not fit `/a`. Undefined where two templates would be needed in one. */
function pathsOf(path: string, isPrefix: boolean): string[] | undefined {
  if (isPrefix) return [`${path}*`];
  if (path === '/**') return ['/*'];
  const isTree = path.endsWith('/**');
  const stem = isTree ? path.slice(0, -3) : path;
  const template = stem.replaceAll('/*', '/{*}');
  if (!isTree) return [template];
  return template.includes('{') ? [template, `${template}/{**}`] : [template, `${template}/*`];
}
