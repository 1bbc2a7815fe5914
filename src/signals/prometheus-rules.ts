// What Prometheus should say by itself: recording rules and alerts over our own names, and a Grafana dashboard of the same series.
//
// Burn rates by several windows are the Google SRE workbook's (chapter 5, "Multiwindow, Multi-Burn-Rate Alerts"): an alert needs the long window,
// so that it means something, and the short one, so that it ends when the trouble does.
import { NO_FAILURE } from './metrics.ts';

interface Rule {
  readonly record?: string;
  readonly alert?: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface RuleFile {
  readonly groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[];
}

const WINDOWS = ['5m', '30m', '1h', '6h', '3d'];
/** Long and short window, times the budget's even pace, and what it asks for. */
const BURNS: readonly (readonly [string, string, number, 'page' | 'ticket'])[] = [
  ['1h', '5m', 14.4, 'page'],
  ['6h', '30m', 6, 'page'],
  ['3d', '6h', 1, 'ticket'],
];
const COUNT = 'http_server_request_duration_seconds_count';
const BUCKET = 'http_server_request_duration_seconds_bucket';
// No label at all is a success; classes of status are no names of errors, but for 5xx.
const NAMED = [...NO_FAILURE].filter((outcome) => !/^\dxx$/.test(outcome) && outcome !== 'tcp');
const FAILED = `${COUNT}{error_type!~"|${NAMED.join('|')}"}`;
const JUDGED = `${COUNT}{error_type!="denied"}`;

const failureShare = (window: string): string => `service:meshctl_failures:ratio_rate${window}`;

/** Recording rules and alerts; `objectivePercent` is the share of requests that should succeed, below 100. */
export function prometheusRules(objectivePercent: number): RuleFile {
  const allowed = Number(((100 - objectivePercent) / 100).toPrecision(6));
  const alert = (name: string, expr: string, lasting: string, severity: 'page' | 'ticket', summary: string, description: string): Rule => ({
    alert: name,
    expr,
    for: lasting,
    labels: { severity },
    annotations: { summary, description },
  });
  return {
    groups: [
      {
        name: 'meshctl-failures',
        rules: WINDOWS.map((window) => ({
          record: failureShare(window),
          expr: `(sum by (service) (rate(${FAILED}[${window}])) or 0 * sum by (service) (rate(${JUDGED}[${window}]))) / (sum by (service) (rate(${JUDGED}[${window}])) > 0)`,
        })),
      },
      {
        name: 'meshctl-alerts',
        rules: [
          ...BURNS.map(([long, short, times, severity]) => {
            const limit = Number((times * allowed).toPrecision(6));
            return alert(
              `MeshctlErrorBudgetBurn${long}`,
              `${failureShare(long)} > ${limit} and ${failureShare(short)} > ${limit}`,
              '0s',
              severity,
              `{{ $labels.service }} spends its error budget (${objectivePercent}%) ${times} times as fast as it may`,
              `{{ $value | humanizePercentage }} of its requests failed over ${long}. Look: meshctl stat {{ $labels.service }}; meshctl tap {{ $labels.service }} --status 5xx`,
            );
          }),
          alert(
            'MeshctlCertificateLifeLow',
            'meshctl_certificate_life_left_ratio < 0.15',
            '1m',
            'page',
            'The certificate of {{ $labels.instance }} was not renewed',
            'It is renewed at a third of its life; {{ $value | humanizePercentage }} is left. Look: meshctl certs list; meshctl proxy status',
          ),
          alert(
            'MeshctlAuthorityEnds',
            'meshctl_authority_not_after_timestamp_seconds - time() < 14 * 86400',
            '1m',
            'ticket',
            '{{ $labels.name }} of the authority ends within two weeks',
            '{{ $value | humanizeDuration }} are left. Look: meshctl certs rotate --help',
          ),
          alert(
            'MeshctlDenied',
            'sum by (service, client) (rate(meshctl_policy_denied_total[5m])) > 0',
            '5m',
            'ticket',
            'Policy denies {{ $labels.client }} to {{ $labels.service }}',
            '{{ $value | humanize }} a second. Look: meshctl policy denials; meshctl tap {{ $labels.service }} --denied',
          ),
          alert(
            'MeshctlProxyAway',
            'meshctl_proxy_connected == 0',
            '1m',
            'page',
            'The proxy {{ $labels.instance }} is not connected to the control plane',
            'It goes on by what it was told last and hears of no revocation. Look: meshctl proxy status',
          ),
          alert(
            'MeshctlProxyBehind',
            'meshctl_proxy_in_sync == 0 and meshctl_proxy_connected == 1',
            '1m',
            'page',
            'The proxy {{ $labels.instance }} does not take the newest configuration',
            'Look: meshctl proxy status',
          ),
          alert(
            'MeshctlQueueFull',
            'meshctl_queued_requests / meshctl_queue_limit_requests > 0.8',
            '1m',
            'page',
            'Requests of {{ $labels.instance }} wait',
            '{{ $value | humanizePercentage }} of what may wait does. Look: meshctl stat instance/{{ $labels.service }} -o wide',
          ),
          alert(
            'MeshctlCircuitFull',
            'meshctl_circuit_utilization_ratio > 0.9',
            '1m',
            'ticket',
            'A circuit of {{ $labels.instance }} is nearly full',
            '{{ $value | humanizePercentage }} of the requests that it allows are under way.',
          ),
          alert(
            'MeshctlProxyBusy',
            'meshctl_proxy_event_loop_utilization_ratio > 0.9',
            '5m',
            'ticket',
            'The proxy {{ $labels.instance }} is at its limit',
            'Its event loop is busy {{ $value | humanizePercentage }} of the time: more instances take load from it.',
          ),
        ],
      },
    ],
  };
}

/** Panels: title, unit of Grafana, and queries by their legend. */
const PANELS: readonly (readonly [string, string, readonly (readonly [string, string])[]])[] = [
  ['Requests', 'reqps', [['{{service}}', `sum by (service) (rate(${COUNT}{service=~"$service"}[$__rate_interval]))`]]],
  [
    'Success',
    'percentunit',
    [
      [
        '{{service}}',
        `1 - (sum by (service) (rate(${FAILED.replace('}', ',service=~"$service"}')}[$__rate_interval])) or 0 * sum by (service) (rate(${JUDGED.replace('}', ',service=~"$service"}')}[$__rate_interval]))) / (sum by (service) (rate(${JUDGED.replace('}', ',service=~"$service"}')}[$__rate_interval])) > 0)`,
      ],
    ],
  ],
  [
    'Denied by policy',
    'reqps',
    [
      [
        '{{client}} -> {{service}}',
        'sum by (service, client) (rate(meshctl_policy_denied_total{service=~"$service"}[$__rate_interval])) > 0',
      ],
    ],
  ],
  [
    'Latency',
    's',
    [0.5, 0.95, 0.99].map((share) => [
      `{{service}} p${share * 100}`,
      `histogram_quantile(${share}, sum by (service, le) (rate(${BUCKET}{service=~"$service"}[$__rate_interval])))`,
    ]),
  ],
  [
    'Slowest routes, p99',
    's',
    [
      [
        '{{service}} {{http_route}}',
        'topk(10, histogram_quantile(0.99, sum by (service, http_route, le) (rate(meshctl_route_request_duration_seconds_bucket{service=~"$service"}[$__rate_interval]))))',
      ],
    ],
  ],
  ['In progress', 'short', [['{{instance}}', 'http_server_active_requests{service=~"$service"}']]],
  [
    'CPU',
    'none',
    [
      ['{{instance}}', 'meshctl_service_cpu_utilization_cores{service=~"$service"}'],
      ['{{instance}} limit', 'meshctl_service_cpu_limit_cores{service=~"$service"}'],
    ],
  ],
  [
    'Memory',
    'bytes',
    [
      ['{{instance}}', 'meshctl_service_memory_bytes{service=~"$service"}'],
      ['{{instance}} limit', 'meshctl_service_memory_limit_bytes{service=~"$service"}'],
    ],
  ],
  [
    'Queues and circuits',
    'percentunit',
    [
      ['{{instance}} queue', 'meshctl_queued_requests{service=~"$service"} / meshctl_queue_limit_requests{service=~"$service"}'],
      ['{{instance}} circuit', 'meshctl_circuit_utilization_ratio{service=~"$service"}'],
    ],
  ],
  ['Proxies: CPU', 'none', [['{{instance}}', 'meshctl_proxy_cpu_utilization_cores{service=~"$service"}']]],
  ['Proxies: memory', 'bytes', [['{{instance}}', 'meshctl_proxy_memory_bytes{service=~"$service"}']]],
  ['Life left of certificates', 'percentunit', [['{{instance}}', 'meshctl_certificate_life_left_ratio{service=~"$service"}']]],
];
const COLUMNS = 3;
const [WIDTH, HEIGHT] = [8, 8];

/** A dashboard to import into Grafana (schema 39); it asks for the Prometheus data source. */
export function grafanaDashboard(): object {
  const datasource = { type: 'prometheus', uid: '$datasource' };
  return {
    title: 'meshctl',
    uid: 'meshctl',
    schemaVersion: 39,
    editable: true,
    refresh: '10s',
    time: { from: 'now-1h', to: 'now' },
    templating: {
      list: [
        { name: 'datasource', type: 'datasource', query: 'prometheus' },
        {
          name: 'service',
          type: 'query',
          datasource,
          query: { query: `label_values(${COUNT}, service)`, refId: 'service' },
          includeAll: true,
          multi: true,
          refresh: 2,
          current: { text: 'All', value: '$__all' },
        },
      ],
    },
    panels: PANELS.map(([title, unit, targets], i) => ({
      id: i + 1,
      title,
      type: 'timeseries',
      datasource,
      gridPos: { x: (i % COLUMNS) * WIDTH, y: Math.floor(i / COLUMNS) * HEIGHT, w: WIDTH, h: HEIGHT },
      fieldConfig: { defaults: { unit, min: 0 }, overrides: [] },
      targets: targets.map(([legendFormat, expr], k) => ({ refId: String.fromCharCode(65 + k), datasource, expr, legendFormat })),
    })),
  };
}
