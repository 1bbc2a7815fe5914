// The mesh file owns names, namespaces and the trust domain; a policy that contradicts it is about another mesh.
import type { Finding } from '../../base/finding.ts';
import { parseServiceId } from '../names.ts';
import type { LintRule } from '../rule.ts';

export const serviceMismatch: LintRule = {
  id: 'service-mismatch',
  severity: 'error',
  summary:
    "The policy contradicts the mesh file about a service's identity or tier, or about the trust domain; or an `id` is not `ns/NAMESPACE/sa/NAME`.",
  wrong: `apiVersion: meshctl.dev/v1
kind: Policy
services:
  web: {id: web}
allow:
  - web -> web: any
`,
  mend: [['id: web', 'id: ns/shop/sa/web']],
  native: ({ document, mesh }) => {
    const findings: Finding[] = [];
    if (mesh !== undefined && document.trustDomain !== undefined && document.trustDomain !== mesh.trustDomain) {
      findings.push({
        rule: 'service-mismatch',
        severity: 'error',
        what: `the policy is for trust domain \`${document.trustDomain}\`, the mesh file says \`${mesh.trustDomain}\``,
        ...(document.places.trustDomain === undefined ? {} : { place: document.places.trustDomain }),
      });
    }
    for (const service of document.services) {
      const id = service.id === undefined ? undefined : parseServiceId(service.id);
      if (service.id !== undefined && id === undefined) {
        findings.push({
          rule: 'service-mismatch',
          severity: 'error',
          what: `\`${service.id}\` is no identity: \`ns/NAMESPACE/sa/NAME\` is wanted`,
          place: service.place,
        });
        continue;
      }
      const declared = mesh?.services[service.name];
      if (declared === undefined || mesh === undefined) continue;
      if (id !== undefined && (id.namespace !== mesh.namespace || id.service !== service.name)) {
        findings.push({
          rule: 'service-mismatch',
          severity: 'error',
          what: `\`${service.name}\` is \`ns/${mesh.namespace}/sa/${service.name}\` in the mesh file and \`${service.id}\` here`,
          place: service.place,
        });
      }
      if (declared.tier !== undefined && service.tier !== undefined && declared.tier !== service.tier) {
        findings.push({
          rule: 'service-mismatch',
          severity: 'error',
          what: `\`${service.name}\` is in tier \`${declared.tier}\` in the mesh file and \`${service.tier}\` here`,
          place: service.tierPlace,
        });
      }
    }
    return findings;
  },
};
