// Which of a service's traffic settings a request falls under, which service takes its share, which injected fault it meets.
import type { Upstream } from '../../mesh/snapshot.ts';
import type { InjectedFault, Traffic } from '../../mesh/traffic.ts';
import { matchPath } from '../../policy/path.ts';
import type { Tables } from '../tables.ts';

/** Of the first route that fits, else of the service. `path` is normalised. */
export function trafficFor(upstream: Upstream, method: string, path: string): Traffic {
  for (const route of upstream.trafficRoutes) {
    if ((route.methods === undefined || route.methods.includes(method)) && matchPath(route.path, path)) return route.traffic;
  }
  return upstream.traffic;
}

/** The service that takes this request: by weight where the traffic is split, else the one that was named. */
export function chooseSplit(tables: Tables, named: Upstream, traffic: Traffic, random: () => number = Math.random): Upstream {
  const total = traffic.split.reduce((sum, { weight }) => sum + weight, 0);
  if (total === 0) return named;
  let at = random() * total;
  for (const { service, weight } of traffic.split) {
    at -= weight;
    if (at < 0) return tables.upstreams.get(service) ?? named;
  }
  return named;
}

/** The first fault that is meant for the caller and comes up. */
export function chooseFault(
  faults: readonly InjectedFault[],
  caller: string,
  random: () => number = Math.random,
): InjectedFault | undefined {
  return faults.find(({ from, percent }) => (from === undefined || from.includes(caller)) && random() * 100 < percent);
}
