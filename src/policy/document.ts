// The native policy document: text → syntax tree with places, or findings.
// Several documents given together are one policy: lists are united; `trustDomain`, `default` and `tiers` may be repeated only if equal.
import { decode, type Located, parseYaml, z } from '../base/decode.ts';
import type { Finding } from '../base/finding.ts';
import type { Place } from '../base/place.ts';
import { isTrustDomain, NAME } from '../mesh/identity.ts';
import { API_VERSION } from '../mesh/version.ts';
import { type CaseNode, readCase } from './reader/case-node.ts';
import { type Invariant, readInvariant } from './reader/invariant-node.ts';
import { fromTextError, type RuleNode, readRule } from './reader/rule-node.ts';
import { isTextError, parseWho, type WhoText } from './reader/rule-text.ts';

const name = z.string().regex(NAME, 'a name is 1 to 63 of a-z, 0-9 and `-`');

/** Policies of another mesh that belong to this one: which, where from, and how that mesh is installed. */
const importSpec = z
  .strictObject({
    istio: z.string().min(1).optional(),
    linkerd: z.string().min(1).optional(),
    kuma: z.string().min(1).optional(),
    rootNamespace: z.string().min(1).optional(),
  })
  .refine(
    ({ istio, linkerd, kuma }) => [istio, linkerd, kuma].filter((each) => each !== undefined).length === 1,
    'one of `istio`, `linkerd`, `kuma` is wanted',
  );

export const policySchema = z.strictObject({
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
  invariants: z.array(z.unknown()).default([]),
  tests: z.array(z.unknown()).default([]),
  import: z.array(importSpec).optional(),
});

/** Tests in a file of their own. */
export const testSchema = z.strictObject({
  apiVersion: z.literal(API_VERSION, `\`apiVersion: ${API_VERSION}\` is wanted`),
  kind: z.literal('PolicyTest'),
  tests: z.array(z.unknown()).min(1, 'at least one test is wanted'),
});

/** How the rules that were carried over for a file are called, beside it: whoever reads `import:` gives them so. */
export function importedName(file: string): string {
  return `imported by ${file}`;
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
  /** Numbers by name, as far as the policy says them. */
  readonly ports: Readonly<Record<string, number>>;
  readonly place: Place;
}

export interface PolicyDocument {
  readonly trustDomain: string | undefined;
  readonly default: 'deny' | 'audit' | undefined;
  /** Where the two above stand, when they are there. */
  readonly places: { readonly trustDomain?: Place; readonly default?: Place };
  readonly tiers: readonly TierNode[];
  readonly services: readonly ServiceNode[];
  readonly groups: readonly {
    readonly name: string;
    readonly members: readonly { readonly who: WhoText; readonly place: Place }[];
    readonly place: Place;
  }[];
  readonly allow: readonly RuleNode[];
  readonly deny: readonly RuleNode[];
  readonly invariants: readonly Invariant[];
  readonly tests: readonly CaseNode[];
}

const EMPTY: PolicyDocument = {
  trustDomain: undefined,
  default: undefined,
  places: {},
  tiers: [],
  services: [],
  groups: [],
  allow: [],
  deny: [],
  invariants: [],
  tests: [],
};

export interface PolicyText {
  readonly file: string;
  readonly text: string;
}

/**
 * All documents of all files as one; every problem of form is a finding. With errors among them the document must not be enforced.
 * `skipForeign`: resources of other meshes and of Kubernetes are somebody else's business, not an error.
 */
export function parsePolicy(files: readonly PolicyText[], skipForeign = false): { document: PolicyDocument; findings: Finding[] } {
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
      if (skipForeign && isForeign(document.data)) continue;
      const part = readDocument(
        document,
        findings,
        files.some((each) => each.file === importedName(file)),
      );
      if (part !== undefined) parts.push(part);
    }
  }
  return { document: unite(parts, findings), findings };
}

/** A document of another API group, which says what it is. */
export function isForeign(data: unknown): boolean {
  if (typeof data !== 'object' || data === null || !('apiVersion' in data) || !('kind' in data)) return false;
  return typeof data.apiVersion === 'string' && !data.apiVersion.startsWith(`${API_VERSION.split('/')[0]}/`);
}

/** What a native text wants to have carried over, and the names that it has for services; undefined when it wants nothing. */
export function importsOf({
  file,
  text,
}: PolicyText): { readonly imports: readonly Import[]; readonly document: PolicyDocument } | undefined {
  if (!/^import:/m.test(text)) return undefined;
  const imports = parseYaml(file, text).documents.flatMap((document) =>
    isForeign(document.data) ? [] : (decode(document, policySchema).value?.import ?? []),
  );
  return imports.length === 0 ? undefined : { imports, document: parsePolicy([{ file, text }]).document };
}

export type Import = z.output<typeof importSpec>;

/** Whether one of the documents is not another mesh's: native, or nobody knows what. */
export function hasNative(files: readonly PolicyText[]): boolean {
  return files.some(({ file, text }) => parseYaml(file, text).documents.some(({ data }) => data !== null && !isForeign(data)));
}

function readDocument(document: Located, findings: Finding[], isImported: boolean): PolicyDocument | undefined {
  const data = document.data;
  if (isForeign(data)) {
    const { apiVersion, kind } = data as { apiVersion: string; kind: unknown };
    findings.push({
      rule: 'foreign-policy',
      severity: 'error',
      what: `\`${apiVersion} ${String(kind)}\` is not enforced by the proxies of this mesh`,
      why: 'a rule that looks as if it held, and does not, is worse than none',
      fix: 'write it as a native rule; `policy lint` judges it by its own schema',
      place: document.place([]),
    });
    return undefined;
  }
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
  if ('kind' in data && data.kind === 'PolicyTest') {
    const decoded = decode(document, testSchema);
    findings.push(...decoded.findings);
    return { ...EMPTY, tests: readEach(decoded.value?.tests ?? [], (raw, i) => readCase(document, ['tests', i], raw, findings)) };
  }
  const decoded = decode(document, policySchema);
  findings.push(...decoded.findings);
  const raw = decoded.value;
  if (raw === undefined) return undefined;
  if (raw.import !== undefined && !isImported)
    findings.push({
      rule: 'later-version',
      severity: 'warning',
      what: '`import` is read by the command line only, and nobody has carried those policies over',
      fix: 'use `meshctl policy apply`, or `meshctl policy import`',
      place: document.place(['import'], true),
    });
  return {
    trustDomain: raw.trustDomain,
    default: raw.default,
    places: { trustDomain: document.place(['trustDomain'], true), default: document.place(['default'], true) },
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
      ports: service.ports ?? {},
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
    allow: readEach(raw.allow, (rule, i) => readRule(document, ['allow', i], rule, findings)),
    deny: readEach(raw.deny, (rule, i) => readRule(document, ['deny', i], rule, findings)),
    invariants: readEach(raw.invariants, (each, i) => readInvariant(document, ['invariants', i], each, findings)),
    tests: readEach(raw.tests, (each, i) => readCase(document, ['tests', i], each, findings)),
  };
}

function readEach<T>(list: readonly unknown[], read: (raw: unknown, i: number) => T | undefined): T[] {
  return list.map(read).filter((each) => each !== undefined);
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
  const given = <K extends 'trustDomain' | 'default'>(key: K): { value: PolicyDocument[K]; print: string; place: Place | undefined }[] =>
    parts
      .filter((part) => part[key] !== undefined)
      .map((part) => ({ value: part[key], print: String(part[key]), place: part.places[key] }));
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
  if (first === undefined) return EMPTY;
  return {
    trustDomain: same('trustDomain', given('trustDomain')),
    default: same('default', given('default')),
    places: first.places,
    tiers: same('tiers', tierLists) ?? [],
    services,
    groups: parts.flatMap((part) => part.groups),
    allow: parts.flatMap((part) => part.allow),
    deny: parts.flatMap((part) => part.deny),
    invariants: parts.flatMap((part) => part.invariants),
    tests: parts.flatMap((part) => part.tests),
  };
}
