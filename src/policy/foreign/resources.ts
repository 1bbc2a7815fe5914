// Kubernetes YAML as resources: documents of one text or many, `List` kinds unfolded, each with its place. Knows no mesh.
import { type Located, parseYaml } from '../../base/decode.ts';
import type { Finding } from '../../base/finding.ts';
import type { Place } from '../../base/place.ts';
import type { PolicyText } from '../document.ts';

export interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace: string | undefined;
  readonly annotations: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  /** As written; nothing in it was checked. */
  readonly data: Readonly<Record<string, unknown>>;
  /** Where the value at a path of `data` stands. */
  readonly place: (path: readonly (string | number)[]) => Place;
}

/** Whether a value is a map. */
export function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Every resource of the files, in order; what is no resource is a finding. */
export function readResources(files: readonly PolicyText[]): { resources: Resource[]; findings: Finding[] } {
  const findings: Finding[] = [];
  const resources: Resource[] = [];
  for (const { file, text } of files) {
    const parsed = parseYaml(file, text);
    findings.push(...parsed.findings);
    for (const document of parsed.documents) {
      if (document.data === null) continue;
      for (const { data, at } of unfold(document)) {
        if (isMap(data) && typeof data['kind'] === 'string') resources.push(toResource(document, data, at));
        else findings.push({ rule: 'not-a-resource', severity: 'error', what: 'the document has no `kind`', place: document.place(at) });
      }
    }
  }
  return { resources, findings };
}

function unfold(document: Located): { data: unknown; at: (string | number)[] }[] {
  const { data } = document;
  if (!isMap(data) || typeof data['kind'] !== 'string' || !data['kind'].endsWith('List') || !Array.isArray(data['items']))
    return [{ data, at: [] }];
  return data['items'].map((item: unknown, i) => ({ data: item, at: ['items', i] }));
}

function toResource(document: Located, data: Readonly<Record<string, unknown>>, at: readonly (string | number)[]): Resource {
  const metadata = isMap(data['metadata']) ? data['metadata'] : {};
  const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
  return {
    apiVersion: text(data['apiVersion']) ?? '',
    kind: text(data['kind']) ?? '',
    name: text(metadata['name']) ?? '',
    namespace: text(metadata['namespace']),
    annotations: texts(metadata['annotations']),
    labels: texts(metadata['labels']),
    data,
    place: (path) => document.place([...at, ...path]),
  };
}

/** The entries of a map whose values are texts. */
export function texts(value: unknown): Record<string, string> {
  if (!isMap(value)) return {};
  return Object.fromEntries(Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}

/** The texts of a list; numbers and booleans as YAML would have printed them. Undefined when there is no list. */
export function textList(value: unknown): string[] | undefined {
  if (!Array.isArray(value)) return undefined;
  return value.map((each) => (typeof each === 'string' ? each : String(each)));
}

export function mapList(value: unknown): Readonly<Record<string, unknown>>[] | undefined {
  return Array.isArray(value) ? value.map((each) => (isMap(each) ? each : {})) : undefined;
}

/** `AuthorizationPolicy shop/orders (k8s/a.yaml:12)`. */
export function printResource({ kind, namespace, name, place }: Resource): string {
  const { file, line } = place([]);
  return `${kind} ${namespace === undefined ? '' : `${namespace}/`}${name} (${file}:${line})`;
}

/** What a resource asks for; empty where it is no map. */
export function specOf({ data }: Resource): Readonly<Record<string, unknown>> {
  return isMap(data['spec']) ? data['spec'] : {};
}

/** What an Istio policy is attached to: `targetRefs`, and the older `targetRef`. */
export function targetsOf(spec: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>>[] {
  return [...(mapList(spec['targetRefs']) ?? []), ...(isMap(spec['targetRef']) ? [spec['targetRef']] : [])];
}

/** `matchLabels` of a selector; empty where there is none. */
export function matchLabelsOf(selector: unknown): Record<string, string> {
  return isMap(selector) ? texts(selector['matchLabels']) : {};
}

/** Whether labels hold every one that is wanted. */
export function hasLabels(labels: Readonly<Record<string, string>>, wanted: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(([key, value]) => labels[key] === value);
}

/** Whether labels fit a selector of Kubernetes: `matchLabels` and `matchExpressions`, all of them. */
export function fitsSelector(labels: Readonly<Record<string, string>>, selector: Readonly<Record<string, unknown>>): boolean {
  const expressions = (mapList(selector['matchExpressions']) ?? []).every((expression) => {
    const value = labels[String(expression['key'])];
    const values = textList(expression['values']) ?? [];
    switch (expression['operator']) {
      case 'In':
        return value !== undefined && values.includes(value);
      case 'NotIn':
        return value === undefined || !values.includes(value);
      case 'Exists':
        return value !== undefined;
      case 'DoesNotExist':
        return value === undefined;
      default:
        return false;
    }
  });
  return expressions && hasLabels(labels, matchLabelsOf(selector));
}
