// Policies of other meshes → findings, each judged by its own schema. Other resources are passed over and counted.
import type { Finding } from '../base/finding.ts';
import { API_VERSION } from '../mesh/version.ts';
import type { PolicyText } from './document.ts';
import { validateIstio } from './foreign/istio/validate.ts';
import { validateLinkerd } from './foreign/linkerd/validate.ts';
import { readResources } from './foreign/resources.ts';

export interface ForeignLint {
  readonly findings: readonly Finding[];
  /** Policies that were judged. */
  readonly judged: number;
  /** Resources of other kinds, by kind. */
  readonly skipped: Readonly<Record<string, number>>;
}

export function lintForeign(files: readonly PolicyText[]): ForeignLint {
  const findings: Finding[] = [];
  const skipped: Record<string, number> = {};
  let judged = 0;
  // What is no resource at all is said by the native reader.
  const own = API_VERSION.split('/')[0];
  for (const resource of readResources(files).resources) {
    if (resource.apiVersion === '' || resource.apiVersion.startsWith(`${own}/`)) continue;
    const found = validateIstio(resource) ?? validateLinkerd(resource);
    if (found === undefined) skipped[resource.kind] = (skipped[resource.kind] ?? 0) + 1;
    else {
      judged++;
      findings.push(...found);
    }
  }
  return { findings, judged, skipped };
}
