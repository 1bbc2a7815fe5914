// What is wrong between Istio's resources though each of them is well formed: names that lead nowhere, selectors that choose nothing, servers
// that nobody verifies. Judged as far as the files go: where no namespace, or no workload, is among them, nothing is said of those.
// Source: `istioctl analyze`; the code that it prints stands beside each rule.
import type { Finding, Severity } from '../../../base/finding.ts';
import { hasLabels, isMap, mapList, matchLabelsOf, type Resource, specOf, textList, texts } from '../resources.ts';
import { matchString } from './path.ts';

type Path = readonly (string | number)[];

/** A finding about one resource, with what `istioctl` calls it. */
export interface IstioFinding extends Finding {
  readonly code: string;
  readonly resource: Resource;
}

export function analyzeIstio(resources: readonly Resource[], rootNamespace: string): IstioFinding[] {
  return RULES.flatMap(({ rule, severity, run }) => {
    const findings: IstioFinding[] = [];
    run(resources, rootNamespace, (code, resource, path, what, fix) => {
      findings.push({ rule, severity, what, fix, place: resource.place(path), code, resource });
    });
    return findings;
  });
}

type Find = (code: string, resource: Resource, path: Path, what: string, fix: string) => void;

interface Rule {
  readonly rule: string;
  readonly severity: Severity;
  readonly run: (resources: readonly Resource[], rootNamespace: string, find: Find) => void;
}

const isIstio = (resource: Resource, kind: string): boolean => resource.kind === kind && /^[a-z.]*istio\.io\//.test(resource.apiVersion);
const selectorOf = (resource: Resource): Record<string, string> => matchLabelsOf(specOf(resource)['selector']);

const WORKLOADS = ['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'Job'];

/** Pods, and what workloads make of their template. */
function podsOf(resources: readonly Resource[]): { namespace: string | undefined; labels: Readonly<Record<string, string>> }[] {
  return resources.flatMap((resource) => {
    if (resource.kind === 'Pod') return [{ namespace: resource.namespace, labels: resource.labels }];
    const { template } = specOf(resource) as { template?: unknown };
    if (!WORKLOADS.includes(resource.kind) || !isMap(template) || !isMap(template['metadata'])) return [];
    return [{ namespace: resource.namespace, labels: texts(template['metadata']['labels']) }];
  });
}

const RULES: readonly Rule[] = [
  {
    rule: 'unknown-namespace',
    severity: 'error',
    run: (resources, _root, find) => {
      const namespaces = resources.filter(({ kind, apiVersion }) => kind === 'Namespace' && apiVersion === 'v1').map(({ name }) => name);
      if (namespaces.length === 0) return;
      for (const policy of resources.filter((each) => isIstio(each, 'AuthorizationPolicy'))) {
        (mapList(specOf(policy)['rules']) ?? []).forEach((rule, i) => {
          (mapList(rule['from']) ?? []).forEach(({ source }, k) => {
            for (const field of ['namespaces', 'notNamespaces']) {
              (isMap(source) ? (textList(source[field]) ?? []) : []).forEach((pattern, m) => {
                if (namespaces.some((name) => matchString(pattern, name))) return;
                const path = ['spec', 'rules', i, 'from', k, 'source', field, m];
                find('IST0101', policy, path, `no namespace fits \`${pattern}\``, 'name one that is there');
              });
            }
          });
        });
      }
    },
  },
  {
    rule: 'no-workload',
    severity: 'warning',
    run: (resources, rootNamespace, find) => {
      const pods = podsOf(resources);
      if (pods.length === 0) return;
      for (const policy of resources.filter((each) => isIstio(each, 'AuthorizationPolicy'))) {
        const selector = selectorOf(policy);
        const isMeshWide = policy.namespace === rootNamespace;
        const { targetRef, targetRefs } = specOf(policy);
        if ((isMeshWide && Object.keys(selector).length === 0) || targetRef !== undefined || targetRefs !== undefined) continue;
        if (pods.some((pod) => (isMeshWide || pod.namespace === policy.namespace) && hasLabels(pod.labels, selector))) continue;
        const labels = Object.entries(selector).map(([key, value]) => `${key}=${value}`);
        const what =
          labels.length === 0 ? `no workload is in namespace \`${policy.namespace}\`` : `no workload has the labels ${labels.join(', ')}`;
        find('IST0127', policy, ['spec', 'selector'], `${what}, so the policy protects nothing`, 'select labels that pods have');
      }
    },
  },
  {
    rule: 'server-not-verified',
    severity: 'warning',
    run: (resources, _root, find) => {
      for (const rule of resources.filter((each) => isIstio(each, 'DestinationRule'))) {
        const policy = specOf(rule)['trafficPolicy'];
        if (!isMap(policy)) continue;
        const check = (code: string, tls: unknown, path: Path): void => {
          if (!isMap(tls) || !['SIMPLE', 'MUTUAL'].includes(String(tls['mode'])) || typeof tls['caCertificates'] === 'string') return;
          // Credentials from a secret bring their authority only to proxies that a selector names.
          if (tls['credentialName'] !== undefined && Object.keys(matchLabelsOf(specOf(rule)['workloadSelector'])).length > 0) return;
          find(
            code,
            rule,
            path,
            `${tls['mode']} without \`caCertificates\`: the server's certificate is not verified`,
            'name the authority under `caCertificates`',
          );
        };
        check('IST0128', policy['tls'], ['spec', 'trafficPolicy', 'tls']);
        for (const [i, port] of (mapList(policy['portLevelSettings']) ?? []).entries())
          check('IST0129', port['tls'], ['spec', 'trafficPolicy', 'portLevelSettings', i, 'tls']);
      }
    },
  },
  {
    rule: 'ineffective-selector',
    severity: 'warning',
    run: (resources, _root, find) => {
      const gateways = podsOf(resources).filter(({ labels }) => labels['gateway.networking.k8s.io/gateway-name'] !== undefined);
      for (const kind of ['RequestAuthentication', 'AuthorizationPolicy', 'WasmPlugin', 'Telemetry'])
        for (const resource of resources.filter((each) => isIstio(each, kind))) {
          const selector = selectorOf(resource);
          const { targetRef, targetRefs } = specOf(resource);
          if (Object.keys(selector).length === 0 || targetRef !== undefined || targetRefs !== undefined) continue;
          if (!gateways.some((pod) => pod.namespace === resource.namespace && hasLabels(pod.labels, selector))) continue;
          find('IST0166', resource, ['spec', 'selector'], 'a selector does nothing for a Gateway of Kubernetes', 'use `targetRefs`');
        }
    },
  },
  {
    rule: 'jwt-claim-without-authentication',
    severity: 'error',
    run: (resources, rootNamespace, find) => {
      const authentications = resources.filter((each) => isIstio(each, 'RequestAuthentication'));
      for (const service of resources.filter((each) => isIstio(each, 'VirtualService'))) {
        const spec = specOf(service);
        const http = mapList(spec['http']) ?? [];
        const claim = http.findIndex((route) =>
          (mapList(route['match']) ?? []).some((match) =>
            [match['headers'], match['withoutHeaders']].some(
              (headers) => isMap(headers) && Object.keys(headers).some((name) => /^@request\.auth\.claims[.[]/i.test(name)),
            ),
          ),
        );
        if (claim < 0) continue;
        const names = textList(spec['gateways']) ?? [];
        const gateways = resources.filter(
          (each) => isIstio(each, 'Gateway') && names.some((name) => name === each.name || name === `${each.namespace}/${each.name}`),
        );
        const covered = gateways.every((gateway) => {
          const pods = texts(specOf(gateway)['selector']);
          return authentications.some(
            (each) => (each.namespace === rootNamespace && Object.keys(selectorOf(each)).length === 0) || hasLabels(pods, selectorOf(each)),
          );
        });
        if (gateways.length > 0 && covered) continue;
        find(
          'IST0149',
          service,
          ['spec', 'http', claim],
          'routes by a claim of a token that nothing verifies',
          'add a RequestAuthentication for the gateway',
        );
      }
    },
  },
];
