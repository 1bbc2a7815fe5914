// The `traffic:` section of a service, as text: what is written changes the defaults, a route changes what its service says.
import { z } from '../base/decode.ts';
import { duration, name } from './schemas.ts';
import { BALANCERS, DEFAULT_TRAFFIC, type Traffic, type TrafficRoute, ZONE_RULES } from './traffic.ts';

const percent = z.number().min(0).max(100, 'a share in percent is at most 100');
const count = z.int().min(1, 'at least 1');

const settings = {
  balance: z.enum(BALANCERS).optional(),
  zone: z.enum(ZONE_RULES).optional(),
  timeouts: z
    .strictObject({ request: duration.optional(), perTry: duration.optional(), connect: duration.optional(), idle: duration.optional() })
    .optional(),
  retries: z
    .strictObject({
      attempts: z.int().min(0).max(10, 'at most 10 retries').optional(),
      budget: percent.optional(),
      minPerSecond: z.number().min(0).optional(),
      backoff: duration.optional(),
      maxBackoff: duration.optional(),
    })
    .optional(),
  circuit: z.strictObject({ maxConnections: count.optional(), maxPending: count.optional(), maxRequests: count.optional() }).optional(),
  outliers: z
    .strictObject({
      consecutive: z.int().min(0).optional(),
      ejection: duration.optional(),
      maxEjection: duration.optional(),
      maxEjectionPercent: percent.optional(),
    })
    .optional(),
  health: z
    .strictObject({
      path: z
        .string()
        .regex(/^\/[\x21-\x7e]*$/, 'a path starts with `/`')
        .optional(),
      interval: duration.prefault('5s'),
      timeout: duration.prefault('1s'),
      healthy: count.default(2),
      unhealthy: count.default(3),
    })
    .optional(),
  rateLimit: z.strictObject({ requestsPerSecond: z.number().positive('more than 0'), burst: count.optional() }).optional(),
  faults: z
    .array(
      z.strictObject({
        from: z.array(name).optional(),
        percent: percent.default(100),
        delay: duration.optional(),
        abort: z.int().min(400, 'a status from 400 to 599').max(599, 'a status from 400 to 599').optional(),
      }),
    )
    .optional(),
  mirror: z.strictObject({ service: name, percent: percent.default(100) }).optional(),
  split: z.array(z.strictObject({ service: name, weight: z.int().min(0).max(1000) })).optional(),
};

export const trafficSpec = z.strictObject({
  ...settings,
  routes: z
    .array(
      z.strictObject({
        path: z.string().regex(/^\/[\x21-\x7e]*$/, 'a path starts with `/`'),
        methods: z.array(z.string().regex(/^[A-Z][A-Z-]*$/, 'a method in upper case')).optional(),
        ...settings,
      }),
    )
    .default([]),
});

export type TrafficText = z.output<typeof trafficSpec>;
type Settings = Omit<TrafficText, 'routes'>;

/** Every value filled in: for the service, and for each of its routes. */
export function resolveTraffic(text: TrafficText | undefined): { traffic: Traffic; routes: TrafficRoute[] } {
  if (text === undefined) return { traffic: DEFAULT_TRAFFIC, routes: [] };
  const traffic = merge(DEFAULT_TRAFFIC, text, '');
  return {
    traffic,
    routes: text.routes.map(({ path, methods, ...own }) => ({
      path,
      methods,
      traffic: merge(traffic, own, `${methods?.join('|') ?? '*'} ${path}`),
    })),
  };
}

function merge(base: Traffic, own: Settings, scope: string): Traffic {
  const { timeouts, retries, circuit, outliers, health, rateLimit } = own;
  return {
    balance: own.balance ?? base.balance,
    zone: own.zone ?? base.zone,
    timeouts: {
      requestMs: timeouts?.request ?? base.timeouts.requestMs,
      perTryMs: timeouts?.perTry ?? base.timeouts.perTryMs,
      connectMs: timeouts?.connect ?? base.timeouts.connectMs,
      idleMs: timeouts?.idle ?? base.timeouts.idleMs,
    },
    retries: {
      attempts: retries?.attempts ?? base.retries.attempts,
      budget: retries?.budget === undefined ? base.retries.budget : retries.budget / 100,
      minPerSecond: retries?.minPerSecond ?? base.retries.minPerSecond,
      backoffMs: retries?.backoff ?? base.retries.backoffMs,
      maxBackoffMs: retries?.maxBackoff ?? base.retries.maxBackoffMs,
    },
    circuit: { ...base.circuit, ...defined(circuit) },
    outliers: {
      consecutive: outliers?.consecutive ?? base.outliers.consecutive,
      ejectionMs: outliers?.ejection ?? base.outliers.ejectionMs,
      maxEjectionMs: outliers?.maxEjection ?? base.outliers.maxEjectionMs,
      maxEjectionPercent: outliers?.maxEjectionPercent ?? base.outliers.maxEjectionPercent,
    },
    health:
      health === undefined
        ? base.health
        : {
            path: health.path,
            intervalMs: health.interval,
            timeoutMs: health.timeout,
            healthy: health.healthy,
            unhealthy: health.unhealthy,
          },
    rateLimit:
      rateLimit === undefined
        ? base.rateLimit
        : {
            scope,
            requestsPerSecond: rateLimit.requestsPerSecond,
            burst: rateLimit.burst ?? Math.max(1, Math.ceil(rateLimit.requestsPerSecond)),
          },
    faults:
      own.faults?.map(({ from, percent: share, delay, abort }) => ({ from, percent: share, delayMs: delay ?? 0, abort })) ?? base.faults,
    mirror: own.mirror ?? base.mirror,
    split: own.split ?? base.split,
  };
}

function defined(values: Readonly<Record<string, number | undefined>> | undefined): Record<string, number> {
  return Object.fromEntries(Object.entries(values ?? {}).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])));
}

/** Services that the section names, with where: every one has to exist. */
export function namedServices(text: TrafficText): { readonly path: (string | number)[]; readonly service: string }[] {
  const of = (at: (string | number)[], own: Settings): { path: (string | number)[]; service: string }[] => [
    ...(own.mirror === undefined ? [] : [{ path: [...at, 'mirror', 'service'], service: own.mirror.service }]),
    ...(own.split ?? []).map(({ service }, i) => ({ path: [...at, 'split', i, 'service'], service })),
    ...(own.faults ?? []).flatMap(({ from }, i) => (from ?? []).map((service, j) => ({ path: [...at, 'faults', i, 'from', j], service }))),
  ];
  return [...of([], text), ...text.routes.flatMap((route, i) => of(['routes', i], route))];
}
