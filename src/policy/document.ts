// The native policy document: text → syntax tree with places, or findings.
// Several documents given together are one policy: lists are united; `trustDomain`, `default` and `tiers` may be repeated only if equal.
import { decode, type Located, type Path, parseYaml, z } from '../base/decode.ts';
import type { Finding } from '../base/finding.ts';
import type { Place } from '../base/place.ts';
import { isTrustDomain, NAME } from '../mesh/identity.ts';
import { API_VERSION } from '../mesh/version.ts';
import {
  isTextError,
  type OpText,
  parseEdge,
  parseOperation,
  parseWho,
  printEdge,
  printOperation,
  type TextError,
  type WhoText,
} from './reader/rule-text.ts';

const name = z.string().regex(NAME, 'a name is 1 to 63 of a-z, 0-9 and `-`');

const policySchema = z.strictObject({
  apiVersion: z.literal(API_VERSION, `\`apiVersion: ${API_VERSION}\` is wanted`),
  kind: z.literal('Policy', '`kind: Policy` is wanted'),
  trustDomain: z.string().refine(isTrustDomain, 'no trust domain').optional(),
  default: z.enum(['deny', 'audit'], '`deny` or `audit` is wanted').optional(),
  tiers: z.array(z.union([name, z.strictObject({ name, acceptsFrom: name.optional() })])).optional(),
  services: z
    .record(
      name,
      z.strictObject({
        id: z.string().optional(),
        tier: name.optional(),
        bridge: z.boolean().default(false),
        owner: z.string().optional(),
        handles: z.array(z.string()).optional(),
        ports: z.record(name, z.int().min(1).max(65535)).optional(),
      }),
    )
    .default({}),
  groups: z.record(name, z.array(z.string())).default({}),
  allow: z.array(z.unknown()).default([]),
  deny: z.array(z.unknown()).default([]),
  invariants: z.unknown().optional(),
  tests: z.unknown().optional(),
  import: z.unknown().optional(),
});

const LATER_KEYS = ['invariants', 'tests', 'import'] as const;

export interface RuleNode {
  readonly id: string;
  readonly place: Place;
  readonly from: WhoText;
  readonly fromPlace: Place;
  readonly to: WhoText;
  readonly toPlace: Place;
  readonly operations: readonly OpText[];
}

export interface TierNode {
  readonly name: string;
  readonly acceptsFrom: string | undefined;
  readonly place: Place;
}

export interface ServiceNode {
  readonly name: string;
  /** As written: `ns/shop/sa/web`; undefined takes the mesh file's namespace and the service's name. */
  readonly id: string | undefined;
  readonly tier: string | undefined;
  readonly tierPlace: Place;
  readonly bridge: boolean;
  readonly owner: string | undefined;
  readonly place: Place;
}

export interface PolicyDocument {
  readonly trustDomain: string | undefined;
  readonly default: 'deny' | 'audit' | undefined;
  readonly tiers: readonly TierNode[];
  readonly services: readonly ServiceNode[];
  readonly groups: readonly {
    readonly name: string;
    readonly members: readonly { readonly who: WhoText; readonly place: Place }[];
    readonly place: Place;
  }[];
  readonly allow: readonly RuleNode[];
  readonly deny: readonly RuleNode[];
}

export interface PolicyText {
  readonly file: string;
  readonly text: string;
}

/** All documents of all files as one; every problem of form is a finding. With errors among them the document must not be enforced. */
export function parsePolicy(files: readonly PolicyText[]): { document: PolicyDocument; findings: Finding[] } {
  const findings: Finding[] = [];
  const parts: PolicyDocument[] = [];
  for (const { file, text } of files) {
    const parsed = parseYaml(file, text);
    findings.push(...parsed.findings);
    if (parsed.documents.length === 0 && parsed.findings.length === 0) {
      findings.push({ rule: 'not-a-policy', severity: 'error', what: 'the file is empty', place: { file, line: 1, column: 1 } });
    }
    for (const document of parsed.documents) {
      if (document.data === null && parsed.documents.length > 1) continue;
      const part = readDocument(document, findings);
      if (part !== undefined) parts.push(part);
    }
  }
  return { document: unite(parts, findings), findings };
}

function readDocument(document: Located, findings: Finding[]): PolicyDocument | undefined {
  const data = document.data;
  if (typeof data !== 'object' || data === null || (!('apiVersion' in data) && !('kind' in data))) {
    findings.push({
      rule: 'not-a-policy',
      severity: 'error',
      what: data === null ? 'the document is empty' : 'the document has neither `apiVersion` nor `kind`, so nobody knows what it is',
      fix: `begin it with \`apiVersion: ${API_VERSION}\` and \`kind: Policy\``,
      place: document.place([]),
    });
    return undefined;
  }
  const decoded = decode(document, policySchema);
  findings.push(...decoded.findings);
  const raw = decoded.value;
  if (raw === undefined) return undefined;
  for (const key of LATER_KEYS) {
    if (raw[key] !== undefined) {
      findings.push({
        rule: 'later-version',
        severity: 'warning',
        what: `\`${key}\` is not judged by this version; it comes later`,
        fix: `nothing under \`${key}\` is checked or enforced yet`,
        place: document.place([key], true),
      });
    }
  }
  return {
    trustDomain: raw.trustDomain,
    default: raw.default,
    tiers: (raw.tiers ?? []).map((tier, i) => ({
      name: typeof tier === 'string' ? tier : tier.name,
      acceptsFrom: typeof tier === 'string' ? undefined : tier.acceptsFrom,
      place: document.place(['tiers', i]),
    })),
    services: Object.entries(raw.services).map(([serviceName, service]) => ({
      name: serviceName,
      id: service.id,
      tier: service.tier,
      tierPlace: document.place(['services', serviceName, 'tier']),
      bridge: service.bridge,
      owner: service.owner,
      place: document.place(['services', serviceName], true),
    })),
    groups: Object.entries(raw.groups).map(([groupName, members]) => ({
      name: groupName,
      place: document.place(['groups', groupName], true),
      members: members.flatMap((text, i) => {
        const place = document.place(['groups', groupName, i]);
        const who = parseWho(text);
        if (isTextError(who)) {
          findings.push(fromTextError(who, place));
          return [];
        }
        return [{ who, place }];
      }),
    })),
    allow: raw.allow.flatMap((rule, i) => readRule(document, ['allow', i], rule, findings)),
    deny: raw.deny.flatMap((rule, i) => readRule(document, ['deny', i], rule, findings)),
  };
}

function readRule(document: Located, path: Path, raw: unknown, findings: Finding[]): RuleNode[] {
  const place = document.place(path);
  const fail = (rule: string, what: string, fix: string): RuleNode[] => {
    findings.push({ rule, severity: 'error', what, fix, place });
    return [];
  };
  if (typeof raw === 'string') {
    const missing = raw.includes('->') ? 'the rule grants nothing: operations are missing after `:`' : `\`${raw}\` is no rule`;
    return fail('syntax-error', missing, 'write `caller -> callee: [GET /path]`, `: tcp` or `: any`');
  }
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw))
    return fail('syntax-error', 'a rule is `caller -> callee: operations`', 'write one `caller -> callee:` a line');
  const keys = Object.keys(raw);
  if ('from' in raw || 'to' in raw)
    return fail('later-version', 'the long form of a rule comes in a later version', 'write `caller -> callee: operations`');
  const key = keys[0];
  if (keys.length !== 1 || key === undefined)
    return fail('syntax-error', `a rule has one key, \`caller -> callee\`, and this one has ${keys.length}`, 'begin every rule with `-`');
  const keyPlace = document.place([...path, key], true);
  const edge = parseEdge(key);
  if (isTextError(edge)) {
    findings.push(fromTextError(edge, keyPlace));
    return [];
  }
  const value: unknown = (raw as Record<string, unknown>)[key];
  const texts = Array.isArray(value) ? value : [value];
  const operations: OpText[] = [];
  let failed = texts.length === 0;
  if (failed)
    findings.push({
      rule: 'syntax-error',
      severity: 'error',
      what: 'the list of operations is empty, so the rule grants nothing',
      fix: 'remove the rule, or write operations',
      place: keyPlace,
    });
  texts.forEach((text: unknown, i) => {
    const opPlace = document.place(Array.isArray(value) ? [...path, key, i] : [...path, key]);
    const operation =
      typeof text === 'string'
        ? parseOperation(text)
        : { rule: 'syntax-error', what: 'an operation is a text such as `GET /path`, `tcp` or `any`', offset: 0 };
    if (isTextError(operation)) {
      findings.push(fromTextError(operation, opPlace));
      failed = true;
    } else operations.push(operation);
  });
  if (failed) return [];
  const arrow = key.indexOf('->');
  const toOffset = arrow + 2 + (key.slice(arrow + 2).length - key.slice(arrow + 2).trimStart().length);
  return [
    {
      id: `${printEdge(edge.from, edge.to)}: ${operations.length === 1 ? operations.map(printOperation).join('') : `[${operations.map(printOperation).join(', ')}]`}`,
      place: keyPlace,
      from: edge.from,
      fromPlace: keyPlace,
      to: edge.to,
      toPlace: { ...keyPlace, column: keyPlace.column + toOffset },
      operations,
    },
  ];
}

// An offset within a plain one-line scalar is a column; texts that span lines keep the place of their start.
function fromTextError(error: TextError, place: Place): Finding {
  return {
    rule: error.rule,
    severity: 'error',
    what: error.what,
    ...(error.fix === undefined ? {} : { fix: error.fix }),
    place: { ...place, column: place.column + error.offset },
  };
}

function unite(parts: readonly PolicyDocument[], findings: Finding[]): PolicyDocument {
  const first = parts[0];
  const same = <T>(what: string, values: readonly { value: T; print: string; place: Place | undefined }[]): T | undefined => {
    const different = values.find((each) => each.print !== values[0]?.print);
    if (different !== undefined) {
      findings.push({
        rule: 'contradiction',
        severity: 'error',
        what: `\`${what}\` is given twice and differs`,
        fix: 'keep it in one file',
        ...(different.place === undefined ? {} : { place: different.place }),
      });
    }
    return values[0]?.value;
  };
  const given = <T>(values: readonly (T | undefined)[]): { value: T; print: string; place: Place | undefined }[] =>
    values.filter((value) => value !== undefined).map((value) => ({ value, print: JSON.stringify(value), place: undefined }));
  const tierLists = parts
    .filter((part) => part.tiers.length > 0)
    .map((part) => ({
      value: part.tiers,
      print: JSON.stringify(part.tiers.map((tier) => [tier.name, tier.acceptsFrom])),
      place: part.tiers[0]?.place,
    }));
  const services = parts.flatMap((part) => part.services);
  for (const service of services) {
    const other = services.find((each) => each.name === service.name);
    if (other !== service)
      findings.push({
        rule: 'contradiction',
        severity: 'error',
        what: `service \`${service.name}\` is defined twice`,
        place: service.place,
      });
  }
  if (first === undefined) return { trustDomain: undefined, default: undefined, tiers: [], services: [], groups: [], allow: [], deny: [] };
  return {
    trustDomain: same('trustDomain', given(parts.map((part) => part.trustDomain))),
    default: same('default', given(parts.map((part) => part.default))),
    tiers: same('tiers', tierLists) ?? [],
    services,
    groups: parts.flatMap((part) => part.groups),
    allow: parts.flatMap((part) => part.allow),
    deny: parts.flatMap((part) => part.deny),
  };
}
