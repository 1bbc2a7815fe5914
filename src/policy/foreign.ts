// Policies of other meshes → findings, each judged by its own schema. Other resources are passed over and counted.
import type { Finding } from '../base/finding.ts';
import { API_VERSION } from '../mesh/version.ts';
import type { PolicyText } from './document.ts';
import { validateIstio } from './foreign/istio/validate.ts';
import { validateKuma } from './foreign/kuma.ts';
import { validateLinkerd } from './foreign/linkerd/validate.ts';
import { type ForeignMesh, readMesh, type Settings } from './foreign/model.ts';
import { isMap, type Resource, readResources } from './foreign/resources.ts';
import type { ForeignFinding } from './rule.ts';
import { LINT_RULES } from './rules.ts';

export interface ForeignLint {
  readonly findings: readonly Finding[];
  /** Policies that were judged. */
  readonly judged: number;
  /** Resources of other kinds, by kind. */
  readonly skipped: Readonly<Record<string, number>>;
}

/** Kinds that rules look at, beside the policies themselves. */
const READ = new Set([
  'ConfigMap',
  'CronJob',
  'DaemonSet',
  'Deployment',
  'DestinationRule',
  'EnvoyFilter',
  'GRPCRoute',
  'Gateway',
  'Job',
  'Namespace',
  'NetworkPolicy',
  'Pod',
  'ProxyConfig',
  'ReplicaSet',
  'Service',
  'ServiceAccount',
  'ServiceEntry',
  'StatefulSet',
  'VirtualService',
]);

export type { Settings } from './foreign/model.ts';

/** What the rules say of resources that were given together. */
export function judgeForeign(mesh: ForeignMesh): ForeignFinding[] {
  return LINT_RULES.flatMap((rule) => {
    const findings: ForeignFinding[] = [];
    rule.foreign?.(mesh, (resource, path, what, more) => {
      findings.push({ rule: rule.id, severity: rule.severity, what, ...more, place: resource.place(path), resource, path });
    });
    return findings;
  });
}

/** What every resource must be, whatever its kind; undefined when it is. */
function shapeOf({ data, place }: Resource): Finding[] | undefined {
  const wrong = ['metadata', 'spec'].filter((key) => data[key] !== undefined && data[key] !== null && !isMap(data[key]));
  if (wrong.length === 0) return undefined;
  return wrong.map((key) => ({ rule: 'not-a-resource', severity: 'error', what: `\`${key}\` is no map`, place: place([key]) }));
}

/** Each resource by the schema of its own mesh. */
export function validateForeign(resources: readonly Resource[]): ForeignLint {
  const findings: Finding[] = [];
  const skipped: Record<string, number> = {};
  let judged = 0;
  // What is no resource at all is said by the native reader.
  const own = API_VERSION.split('/')[0];
  for (const resource of resources) {
    if (resource.apiVersion === '' || resource.apiVersion.startsWith(`${own}/`)) continue;
    const found = shapeOf(resource) ?? validateIstio(resource) ?? validateLinkerd(resource) ?? validateKuma(resource);
    if (found === undefined && !READ.has(resource.kind)) skipped[resource.kind] = (skipped[resource.kind] ?? 0) + 1;
    else if (found !== undefined) {
      judged++;
      findings.push(...found);
    }
  }
  return { findings, judged, skipped };
}

/** Each by its schema, and what the rules say of all of them together. */
export function lintForeign(files: readonly PolicyText[], settings: Partial<Settings> = {}): ForeignLint {
  const { resources } = readResources(files);
  const alone = validateForeign(resources);
  const between = judgeForeign(readMesh(resources, settings)).map(({ path: _path, resource: _resource, ...finding }) => finding);
  return { ...alone, findings: [...alone.findings, ...between] };
}
