// Policies of other meshes → findings, each judged by its own schema. Other resources are passed over and counted.
import type { Finding } from '../base/finding.ts';
import { API_VERSION } from '../mesh/version.ts';
import type { PolicyText } from './document.ts';
import { analyzeIstio } from './foreign/istio/analyze.ts';
import { validateIstio } from './foreign/istio/validate.ts';
import { validateLinkerd } from './foreign/linkerd/validate.ts';
import { isMap, type Resource, readResources } from './foreign/resources.ts';

export interface ForeignLint {
  readonly findings: readonly Finding[];
  /** Policies that were judged. */
  readonly judged: number;
  /** Resources of other kinds, by kind. */
  readonly skipped: Readonly<Record<string, number>>;
}

/** Istio's, unless its installation says otherwise. */
const ROOT_NAMESPACE = 'istio-system';

/** What every resource must be, whatever its kind; undefined when it is. */
function shapeOf({ data, place }: Resource): Finding[] | undefined {
  const wrong = ['metadata', 'spec'].filter((key) => data[key] !== undefined && data[key] !== null && !isMap(data[key]));
  if (wrong.length === 0) return undefined;
  return wrong.map((key) => ({ rule: 'not-a-resource', severity: 'error', what: `\`${key}\` is no map`, place: place([key]) }));
}

export function lintForeign(files: readonly PolicyText[]): ForeignLint {
  const findings: Finding[] = [];
  const skipped: Record<string, number> = {};
  let judged = 0;
  // What is no resource at all is said by the native reader.
  const own = API_VERSION.split('/')[0];
  const { resources } = readResources(files);
  for (const resource of resources) {
    if (resource.apiVersion === '' || resource.apiVersion.startsWith(`${own}/`)) continue;
    const found = shapeOf(resource) ?? validateIstio(resource) ?? validateLinkerd(resource);
    if (found === undefined) skipped[resource.kind] = (skipped[resource.kind] ?? 0) + 1;
    else {
      judged++;
      findings.push(...found);
    }
  }
  const between = analyzeIstio(resources, ROOT_NAMESPACE).map(({ code: _code, resource: _resource, ...finding }) => finding);
  return { findings: [...findings, ...between], judged, skipped };
}
