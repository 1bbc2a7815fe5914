// Counters and readings as Prometheus reads them: its text format 0.0.4, or OpenMetrics 1.0.
//
// Names are OpenTelemetry's stable ones as Prometheus spells them; what OpenTelemetry has no name for begins with `meshctl_`. With `compat`
// the names and labels of Linkerd's or Istio's dashboards are added: we know classes of status, so `response_code` is `2xx`.
import type { InstanceLoad, WindowSeries } from './golden.ts';
import { BUCKET_BOUNDS_MS, isFailure } from './metrics.ts';

export interface Exposition {
  readonly format: 'text' | 'openmetrics';
  readonly compat?: 'linkerd' | 'istio';
}

export interface ExportInput {
  readonly mesh: string;
  readonly namespace: string;
  /** Totals since each proxy's process began. */
  readonly series: readonly WindowSeries[];
  readonly loads: readonly InstanceLoad[];
  readonly certificates: readonly {
    readonly service: string;
    readonly instance: string;
    readonly issuedAtMs: number;
    readonly notAfterMs: number;
    readonly generation: number;
  }[];
  readonly authority: readonly { readonly name: string; readonly notAfterMs: number }[];
  readonly proxies: readonly {
    readonly service: string;
    readonly instance: string;
    readonly isConnected: boolean;
    readonly isInSync: boolean;
  }[];
  readonly policyRevision: number;
  readonly droppedSpans: number;
  readonly nowMs: number;
}

/** OpenTelemetry's boundaries for durations, in milliseconds; all of them are bounds of ours, so nothing is estimated. */
const OTEL_BOUNDS_MS = [5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000];
const LINKERD_BOUNDS_MS = [
  1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1000, 2000, 3000, 4000, 5000, 10_000, 20_000, 30_000,
];
const ISTIO_BOUNDS_MS = [0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000];

type Labels = Readonly<Record<string, string>>;

interface Family {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly unit?: string;
  readonly samples: readonly Sample[];
}

interface Sample {
  readonly labels: Labels;
  readonly value: number;
  /** Of a histogram: counts by bound in milliseconds, the sum, and what the bounds are divided by. */
  readonly buckets?: {
    readonly counts: readonly number[];
    readonly sum: number;
    readonly boundsMs: readonly number[];
    readonly divisor: number;
  };
}

export function expose(input: ExportInput, { format, compat }: Exposition): string {
  const families = [...own(input), ...(compat === 'linkerd' ? linkerd(input) : compat === 'istio' ? istio(input) : [])];
  const text = families
    .filter(({ samples }) => samples.length > 0)
    .map((family) => print(family, format))
    .join('');
  return format === 'openmetrics' ? `${text}# EOF\n` : text;
}

/** Names that are always ours, without those of other meshes: name, type, unit, what it is. */
export function ownMetrics(): { readonly name: string; readonly type: string; readonly unit?: string; readonly help: string }[] {
  const nothing: ExportInput = {
    mesh: '',
    namespace: '',
    series: [],
    loads: [],
    certificates: [],
    authority: [],
    proxies: [],
    policyRevision: 0,
    droppedSpans: 0,
    nowMs: 0,
  };
  return own(nothing).map(({ samples: _samples, ...family }) => family);
}

function own(input: ExportInput): Family[] {
  const of = (direction: 'inbound' | 'outbound', protocol: 'http' | 'tcp', isRoute = false): WindowSeries[] =>
    input.series.filter((one) => one.direction === direction && one.protocol === protocol && (one.route !== '') === isRoute);
  const base = ({ service, instance }: { service: string; instance: string }): Labels => ({ service, instance });
  const seconds = (one: WindowSeries, labels: Labels): Sample => ({
    labels: { ...base(one), ...labels, ...outcomeLabels(one.outcome) },
    value: one.count,
    buckets: { counts: one.buckets, sum: one.sumMs / 1000, boundsMs: OTEL_BOUNDS_MS, divisor: 1000 },
  });
  const bytes = (which: 'requestBytes' | 'responseBytes'): Sample[] =>
    sumBy(
      input.series.filter((one) => one.direction === 'inbound' && one.route === ''),
      (one) => ({ ...base(one), client: one.peer, protocol: one.protocol }),
      (one) => one[which],
    );
  const loads = (value: (load: InstanceLoad) => number | null | undefined): Sample[] =>
    input.loads.flatMap((load) => {
      const known = value(load);
      return known === null || known === undefined ? [] : [{ labels: base(load), value: known }];
    });
  const percent = (value: (load: InstanceLoad) => number | null | undefined): Sample[] =>
    loads(value).map((sample) => ({ ...sample, value: sample.value / 100 }));
  const denied = sumBy(
    input.series.filter((one) => one.direction === 'inbound' && one.route === '' && one.outcome === 'denied'),
    (one) => ({ ...base(one), client: one.peer, protocol: one.protocol }),
    (one) => one.count,
  );
  return [
    {
      name: 'http_server_request_duration_seconds',
      type: 'histogram',
      unit: 'seconds',
      help: 'Requests that arrived, by the caller that its certificate names.',
      samples: of('inbound', 'http').map((one) => seconds(one, { client: one.peer })),
    },
    {
      name: 'http_client_request_duration_seconds',
      type: 'histogram',
      unit: 'seconds',
      help: 'Attempts towards other services, by the service that was called.',
      samples: of('outbound', 'http').map((one) => seconds(one, { server: one.peer })),
    },
    {
      name: 'meshctl_route_request_duration_seconds',
      type: 'histogram',
      unit: 'seconds',
      help: 'Requests that arrived, by route.',
      samples: of('inbound', 'http', true).map((one) => seconds(one, { http_route: one.route })),
    },
    {
      name: 'meshctl_tcp_connections',
      type: 'counter',
      help: 'TCP connections that ended.',
      samples: [
        ...of('inbound', 'tcp').map((one) => ({
          labels: { ...base(one), direction: 'inbound', peer: one.peer, ...outcomeLabels(one.outcome) },
          value: one.count,
        })),
        ...of('outbound', 'tcp').map((one) => ({
          labels: { ...base(one), direction: 'outbound', peer: one.peer, ...outcomeLabels(one.outcome) },
          value: one.count,
        })),
      ],
    },
    { name: 'meshctl_policy_denied', type: 'counter', help: 'Requests and connections that policy denied.', samples: denied },
    {
      name: 'meshctl_received_bytes',
      type: 'counter',
      unit: 'bytes',
      help: 'Bytes of request bodies and TCP connections from callers.',
      samples: bytes('requestBytes'),
    },
    {
      name: 'meshctl_sent_bytes',
      type: 'counter',
      unit: 'bytes',
      help: 'Bytes of answers and TCP connections to callers.',
      samples: bytes('responseBytes'),
    },
    {
      name: 'http_server_active_requests',
      type: 'gauge',
      help: 'Requests and TCP connections from callers in progress.',
      samples: loads((load) => load.inFlight),
    },
    { name: 'meshctl_open_connections', type: 'gauge', help: 'Connections from callers.', samples: loads((load) => load.openConnections) },
    {
      name: 'meshctl_queued_requests',
      type: 'gauge',
      help: 'Requests that wait for a connection to another service.',
      samples: loads((load) => load.queued),
    },
    { name: 'meshctl_queue_limit_requests', type: 'gauge', help: 'Requests that may wait.', samples: loads((load) => load.queueLimit) },
    {
      name: 'meshctl_circuit_utilization_ratio',
      type: 'gauge',
      help: 'Requests under way to another service over what its circuit allows; the highest of them.',
      samples: percent((load) => load.circuitPercent),
    },
    {
      name: 'meshctl_service_cpu_utilization_cores',
      type: 'gauge',
      help: "CPU of the service's processes, in cores.",
      samples: percent((load) => load.cpuPercent),
    },
    {
      name: 'meshctl_service_cpu_limit_cores',
      type: 'gauge',
      help: 'Cores that its cgroup allows.',
      samples: percent((load) => load.cpuLimitPercent),
    },
    {
      name: 'meshctl_service_memory_bytes',
      type: 'gauge',
      unit: 'bytes',
      help: "Memory of the service's processes.",
      samples: loads((load) => load.memoryBytes),
    },
    {
      name: 'meshctl_service_memory_limit_bytes',
      type: 'gauge',
      unit: 'bytes',
      help: 'Memory that its cgroup allows.',
      samples: loads((load) => load.memoryLimitBytes),
    },
    {
      name: 'meshctl_proxy_event_loop_utilization_ratio',
      type: 'gauge',
      help: "Share of the last second in which the proxy's event loop was busy.",
      samples: percent((load) => load.proxyLoopPercent),
    },
    {
      name: 'meshctl_proxy_cpu_utilization_cores',
      type: 'gauge',
      help: 'CPU of the proxy, in cores.',
      samples: percent((load) => load.proxyCpuPercent),
    },
    {
      name: 'meshctl_proxy_memory_bytes',
      type: 'gauge',
      unit: 'bytes',
      help: 'Memory of the proxy.',
      samples: loads((load) => load.proxyMemoryBytes),
    },
    {
      name: 'meshctl_proxy_connected',
      type: 'gauge',
      help: '1 while the proxy is connected to the control plane.',
      samples: input.proxies.map((proxy) => ({ labels: base(proxy), value: proxy.isConnected ? 1 : 0 })),
    },
    {
      name: 'meshctl_proxy_in_sync',
      type: 'gauge',
      help: '1 while the proxy has the newest configuration.',
      samples: input.proxies.map((proxy) => ({ labels: base(proxy), value: proxy.isInSync ? 1 : 0 })),
    },
    {
      name: 'meshctl_certificate_not_after_timestamp_seconds',
      type: 'gauge',
      help: "When a proxy's certificate ends.",
      samples: input.certificates.map((each) => ({
        labels: { ...base(each), generation: String(each.generation) },
        value: each.notAfterMs / 1000,
      })),
    },
    {
      name: 'meshctl_certificate_life_left_ratio',
      type: 'gauge',
      help: "Share of the life of a proxy's certificate that is left.",
      samples: input.certificates.map((each) => ({ labels: base(each), value: lifeShare(each.issuedAtMs, each.notAfterMs, input.nowMs) })),
    },
    {
      name: 'meshctl_authority_not_after_timestamp_seconds',
      type: 'gauge',
      help: 'When a root or an intermediate ends.',
      samples: input.authority.map(({ name, notAfterMs }) => ({ labels: { name }, value: notAfterMs / 1000 })),
    },
    {
      name: 'meshctl_policy_revision',
      type: 'gauge',
      help: 'Revision of the policy in force.',
      samples: [{ labels: {}, value: input.policyRevision }],
    },
    {
      name: 'meshctl_spans_dropped',
      type: 'counter',
      help: 'Spans that there was no room for.',
      samples: [{ labels: {}, value: input.droppedSpans }],
    },
  ];
}

function linkerd(input: ExportInput): Family[] {
  const labelsOf = (one: WindowSeries): Labels => ({
    direction: one.direction,
    namespace: input.namespace,
    deployment: one.service,
    pod: one.instance,
    tls: one.peer === '-' ? 'no_identity' : 'true',
    ...(one.direction === 'outbound'
      ? { dst_deployment: one.peer, dst_service: one.peer, dst_namespace: input.namespace }
      : { client_id: one.peer }),
  });
  const http = input.series.filter((one) => one.protocol === 'http' && one.route === '');
  const ended = (one: WindowSeries): Labels => ({
    ...labelsOf(one),
    status_code: one.outcome,
    classification: isFailure(one.outcome) ? 'failure' : 'success',
  });
  return [
    { name: 'request', type: 'counter', help: 'Requests, by the names of Linkerd.', samples: sumBy(http, labelsOf, (one) => one.count) },
    { name: 'response', type: 'counter', help: 'Answers, by the names of Linkerd.', samples: sumBy(http, ended, (one) => one.count) },
    {
      name: 'response_latency_ms',
      type: 'histogram',
      help: 'Time to the end of the answer, by the names of Linkerd.',
      samples: http.map((one) => ({
        labels: ended(one),
        value: one.count,
        buckets: { counts: one.buckets, sum: one.sumMs, boundsMs: LINKERD_BOUNDS_MS, divisor: 1 },
      })),
    },
    {
      name: 'tcp_open_connections',
      type: 'gauge',
      help: 'Open connections, by the names of Linkerd.',
      samples: input.loads.flatMap(({ service, instance, openConnections }) =>
        openConnections === null || openConnections === undefined
          ? []
          : [{ labels: { direction: 'inbound', namespace: input.namespace, deployment: service, pod: instance }, value: openConnections }],
      ),
    },
  ];
}

function istio(input: ExportInput): Family[] {
  const http = input.series.filter((one) => one.protocol === 'http' && one.route === '');
  const labelsOf = (one: WindowSeries): Labels => {
    const [source, destination] =
      one.direction === 'inbound' ? [one.peer === '-' ? 'unknown' : one.peer, one.service] : [one.service, one.peer];
    return {
      reporter: one.direction === 'inbound' ? 'destination' : 'source',
      source_workload: source,
      source_workload_namespace: source === 'unknown' ? 'unknown' : input.namespace,
      destination_workload: destination,
      destination_workload_namespace: input.namespace,
      destination_service_name: destination,
      destination_service_namespace: input.namespace,
      request_protocol: 'http',
      response_code: one.outcome,
      connection_security_policy:
        one.direction === 'inbound' && one.peer !== '-' ? 'mutual_tls' : one.direction === 'inbound' ? 'none' : 'unknown',
      pod: one.instance,
    };
  };
  return [
    {
      name: 'istio_requests',
      type: 'counter',
      help: 'Requests, by the names of Istio.',
      samples: sumBy(http, labelsOf, (one) => one.count),
    },
    {
      name: 'istio_request_duration_milliseconds',
      type: 'histogram',
      help: 'Durations, by the names of Istio.',
      samples: http.map((one) => ({
        labels: labelsOf(one),
        value: one.count,
        buckets: { counts: one.buckets, sum: one.sumMs, boundsMs: ISTIO_BOUNDS_MS, divisor: 1 },
      })),
    },
  ];
}

/** Share of a life that is left, 0 to 1. */
function lifeShare(fromMs: number, toMs: number, nowMs: number): number {
  return Math.min(1, Math.max(0, (toMs - nowMs) / (toMs - fromMs)));
}

/** A class of status, or the refusal as OpenTelemetry's `error.type`. */
function outcomeLabels(outcome: string): Labels {
  return /^[1-5]xx$/.test(outcome)
    ? { http_response_status_class: outcome, ...(outcome === '5xx' ? { error_type: outcome } : {}) }
    : outcome === 'tcp'
      ? {}
      : { error_type: outcome };
}

/** Series with the same labels are one: a name with the same labels may stand there once. */
function sumBy(series: readonly WindowSeries[], labelsOf: (one: WindowSeries) => Labels, value: (one: WindowSeries) => number): Sample[] {
  const sums = new Map<string, Sample>();
  for (const one of series) {
    const labels = labelsOf(one);
    const key = JSON.stringify(labels);
    sums.set(key, { labels, value: (sums.get(key)?.value ?? 0) + value(one) });
  }
  return [...sums.values()];
}

function print({ name, type, help, unit, samples }: Family, format: Exposition['format']): string {
  const isOpen = format === 'openmetrics';
  // The family of a counter has no `_total` in OpenMetrics, and has it in the older format.
  const family = type === 'counter' && !isOpen ? `${name}_total` : name;
  const lines = [`# HELP ${family} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}`, `# TYPE ${family} ${type}`];
  if (isOpen && unit !== undefined && name.endsWith(`_${unit}`)) lines.push(`# UNIT ${family} ${unit}`);
  for (const { labels, value, buckets } of samples) {
    if (buckets === undefined) {
      lines.push(`${type === 'counter' ? `${name}_total` : name}${printLabels(labels)} ${number(value)}`);
      continue;
    }
    let seen = 0;
    let next = 0;
    for (const bound of buckets.boundsMs) {
      for (; next < BUCKET_BOUNDS_MS.length && (BUCKET_BOUNDS_MS[next] as number) <= bound; next++) seen += buckets.counts[next] ?? 0;
      lines.push(`${name}_bucket${printLabels({ ...labels, le: boundText(bound / buckets.divisor, isOpen) })} ${seen}`);
    }
    lines.push(`${name}_bucket${printLabels({ ...labels, le: '+Inf' })} ${number(value)}`);
    lines.push(`${name}_sum${printLabels(labels)} ${number(buckets.sum)}`, `${name}_count${printLabels(labels)} ${number(value)}`);
  }
  return `${lines.join('\n')}\n`;
}

/** OpenMetrics writes bounds as floats. */
function boundText(value: number, isOpen: boolean): string {
  const text = String(Number(value.toPrecision(12)));
  return isOpen && !text.includes('.') ? `${text}.0` : text;
}

function number(value: number): string {
  return String(Number(value.toPrecision(15)));
}

function printLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(
    ([name, value]) => `${name}="${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`,
  );
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}
