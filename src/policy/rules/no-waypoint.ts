// HTTP rules in an ambient mesh without anybody to judge HTTP.
import { fieldsIn, isHttpField, selectedBy, type Workload } from '../foreign/model.ts';
import { hasLabels, matchLabelsOf, specOf, targetsOf } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

export const noWaypoint: LintRule = {
  id: 'no-waypoint',
  severity: 'warning',
  summary:
    'A policy with HTTP fields, or a RequestAuthentication, is for workloads of an ambient mesh that have no waypoint. ztunnel judges no HTTP: the rule allows nothing, denies nothing, and no token is verified.',
  see: ['KIA0109', 'KIA1110', 'KIA1317'],
  wrong: `apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Pod
metadata: {name: orders-1, namespace: shop, labels: {app: orders}}
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {selector: {app: orders}, ports: [{name: http, port: 80}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: orders}]
  rules: [{to: [{operation: {methods: [GET]}}]}]
`,
  mend: [['istio.io/dataplane-mode: ambient', 'istio.io/dataplane-mode: ambient, istio.io/use-waypoint: waypoint']],
  foreign: (mesh, find) => {
    const judged = [
      ...mesh.authorizations.filter(({ rules }) => rules.some((rule) => fieldsIn(rule).some(isHttpField))).map(({ resource }) => resource),
      ...mesh.istio('RequestAuthentication'),
    ];
    for (const resource of judged) {
      const spec = specOf(resource);
      const targets = targetsOf(spec);
      const services = mesh.services.filter(
        ({ name, namespace }) =>
          namespace === resource.namespace && targets.some((target) => target['kind'] === 'Service' && target['name'] === name),
      );
      const pods: Workload[] =
        targets.length === 0
          ? selectedBy(mesh, resource.namespace, matchLabelsOf(spec['selector']))
          : mesh.workloads.filter((pod) =>
              services.some(
                (service) =>
                  service.namespace === pod.namespace &&
                  hasLabels(pod.labels, service.selector) &&
                  service.resource.labels['istio.io/use-waypoint'] === undefined,
              ),
            );
      const without = pods.filter(
        ({ enforcement, hasWaypoint, gateway }) => enforcement === 'ztunnel' && !hasWaypoint && gateway === undefined,
      );
      if (without.length === 0) continue;
      find(
        resource,
        ['spec'],
        `no waypoint stands before ${[...new Set(without.map(({ name }) => `\`${name}\``))].join(', ')}, and ztunnel judges no HTTP`,
        {
          fix: 'label the namespace or the Service `istio.io/use-waypoint`',
        },
      );
    }
  },
};
