// What DestinationRules make callers do, and whether that is mutual TLS in the end.
import { type ForeignMesh, peerMode } from '../model.ts';
import { hasLabels, isMap, type Resource, specOf } from '../resources.ts';

export interface ClientRule {
  readonly resource: Resource;
  /** `mesh`: every host; a namespace: every host of it; else one service. */
  readonly scope:
    | { readonly kind: 'mesh' }
    | { readonly kind: 'namespace' | 'service'; readonly namespace: string; readonly service: string };
  /** `DISABLE`, `ISTIO_MUTUAL`, …; undefined leaves it to auto mTLS. */
  readonly mode: string | undefined;
}

/** DestinationRules for services of the mesh; those for hosts outside are left out. */
export function clientRules(mesh: ForeignMesh): ClientRule[] {
  return mesh.istio('DestinationRule').flatMap((resource): ClientRule[] => {
    const { host, trafficPolicy } = specOf(resource);
    const tls = isMap(trafficPolicy) ? trafficPolicy['tls'] : undefined;
    const mode = isMap(tls) && typeof tls['mode'] === 'string' ? tls['mode'] : undefined;
    const scope = scopeOf(String(host), resource.namespace ?? 'default');
    return scope === undefined ? [] : [{ resource, scope, mode }];
  });
}

function scopeOf(host: string, own: string): ClientRule['scope'] | undefined {
  if (['*', '*.local', '*.cluster.local', '*.svc.cluster.local'].includes(host)) return { kind: 'mesh' };
  const wide = /^\*\.([a-z0-9-]+)\.svc\.[a-z0-9.-]+$/.exec(host) ?? /^\*\.([a-z0-9-]+)$/.exec(host);
  if (wide !== null) return { kind: 'namespace', namespace: wide[1] ?? '', service: '*' };
  const one = /^([a-z0-9-]+)(?:\.([a-z0-9-]+)(?:\.svc(?:\.[a-z0-9.-]+)?)?)?$/.exec(host);
  return one === null ? undefined : { kind: 'service', namespace: one[2] ?? own, service: one[1] ?? '' };
}

export const isMutual = (mode: string | undefined): boolean => mode === 'ISTIO_MUTUAL' || mode === 'MUTUAL';

/** Whether callers and workloads speak mutual TLS, by the most specific setting of both sides. */
export function isMtlsOn(mesh: ForeignMesh, namespace: string, labels: Readonly<Record<string, string>> | undefined): boolean {
  const server = peerMode(mesh, { namespace, labels });
  const rules = clientRules(mesh);
  const services = mesh.services.filter(
    (each) =>
      labels !== undefined && each.namespace === namespace && Object.keys(each.selector).length > 0 && hasLabels(each.selector, labels),
  );
  const client =
    rules.find(
      ({ scope }) => scope.kind === 'service' && scope.namespace === namespace && services.some(({ name }) => name === scope.service),
    ) ??
    rules.find(({ scope }) => scope.kind === 'namespace' && scope.namespace === namespace) ??
    rules.find(({ scope }) => scope.kind === 'mesh');
  if (server === 'DISABLE' || client?.mode === 'DISABLE') return false;
  // Without auto mTLS nothing happens by itself: both sides have to say so.
  return mesh.settings.autoMtls || (server !== undefined && isMutual(client?.mode));
}
