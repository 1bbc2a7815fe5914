// Once a route is attached, what fits none is not found.
import { fitsHttp, routesOf } from '../foreign/linkerd/decide.ts';
import { podSpecs } from '../foreign/model.ts';
import { fitsSelector, isMap, mapList, specOf } from '../foreign/resources.ts';
import type { LintRule } from '../rule.ts';

export const linkerdRoute404: LintRule = {
  id: 'linkerd-route-404',
  severity: 'warning',
  summary:
    'Routes are attached to a Server, and a probe of its pods asks for a path that none of them fits. Linkerd answers 404 to what fits no route, and authorizes probes by itself only while no route is attached: the pod never gets ready.',
  wrong: `apiVersion: v1
kind: Pod
metadata: {name: orders-1, namespace: shop, labels: {app: orders}}
spec: {containers: [{name: orders, image: example/orders, readinessProbe: {httpGet: {path: /ready, port: 8080}}}]}
---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: orders, namespace: shop}
spec: {podSelector: {matchLabels: {app: orders}}, port: 8080, proxyProtocol: HTTP/1}
---
apiVersion: policy.linkerd.io/v1beta3
kind: HTTPRoute
metadata: {name: orders, namespace: shop}
spec:
  parentRefs: [{group: policy.linkerd.io, kind: Server, name: orders}]
  rules: [{matches: [{path: {type: PathPrefix, value: /orders}}]}]
`,
  mend: [['rules: [{matches: [', 'rules: [{matches: [{path: {type: Exact, value: /ready}}, ']],
  foreign: (mesh, find) => {
    for (const server of mesh.kind('Server', 'policy.linkerd.io')) {
      const routes = routesOf(mesh.resources, server).filter(({ kind }) => kind === 'HTTPRoute');
      if (routes.length === 0) continue;
      const { podSelector, port } = specOf(server);
      const probes = mesh.workloads
        .filter((pod) => pod.namespace === server.namespace && isMap(podSelector) && fitsSelector(pod.labels, podSelector))
        .flatMap(({ resource }) => podSpecs(resource))
        .flatMap((spec) => mapList(spec['containers']) ?? [])
        .flatMap((container) => ['livenessProbe', 'readinessProbe', 'startupProbe'].map((key) => container[key]))
        .flatMap((probe) => (isMap(probe) && isMap(probe['httpGet']) ? [probe['httpGet']] : []))
        .filter((get) => get['port'] === port)
        .map((get) => String(get['path'] ?? '/'));
      for (const path of new Set(probes)) {
        const fits = routes.some((route) =>
          (mapList(specOf(route)['rules']) ?? [{}]).some((rule) => {
            const matches = mapList(rule['matches']);
            return matches === undefined || matches.some((match) => fitsHttp(match, { method: 'GET', path, host: '', headers: {} }));
          }),
        );
        if (!fits)
          find(server, ['metadata', 'name'], `a probe asks for \`${path}\`, which fits none of its routes: 404`, {
            fix: 'add a route for it, with a NetworkAuthentication of the nodes',
          });
      }
    }
  },
};
