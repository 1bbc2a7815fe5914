// Alerts and the dashboard ask for series that are really there; Prometheus itself judges the alerts where it is installed.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ownMetrics } from '../../src/signals/exposition.ts';
import { isFailure } from '../../src/signals/metrics.ts';
import { grafanaDashboard, prometheusRules } from '../../src/signals/prometheus-rules.ts';

const known = new Set(
  ownMetrics().flatMap(({ name, type }) =>
    type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [type === 'counter' ? `${name}_total` : name],
  ),
);
const namesIn = (text: string): string[] =>
  [...text.matchAll(/\b(?:http|meshctl)_[a-z_]+/g)].map(([name]) => name).filter((name) => !/^(?:http_route|meshctl_failures)$/.test(name));

test('every series that an alert or a panel asks for is exported', () => {
  const { groups } = prometheusRules(99.9);
  const panels = (grafanaDashboard() as { panels: { targets: { expr: string }[] }[] }).panels.flatMap(({ targets }) => targets);
  const asked = [...groups.flatMap(({ rules }) => rules), ...panels].flatMap(({ expr }) => namesIn(expr));
  assert.ok(asked.length > 30);
  assert.deepEqual(
    asked.filter((name) => !known.has(name)),
    [],
  );
});

test('what counts as a failure in an alert is what counts as one in `stat`', () => {
  const [rule] = prometheusRules(99.9).groups[0]?.rules ?? [];
  const pattern = new RegExp(`^(?:${/error_type!~"([^"]*)"/.exec(rule?.expr ?? '')?.[1]})$`);
  for (const outcome of ['5xx', 'timeout', 'reset', 'no_endpoint', 'canceled', 'denied', 'bad_request', 'rate_limited'])
    assert.equal(!pattern.test(outcome), isFailure(outcome), outcome);
  assert.ok(pattern.test(''), 'an answer without an error is none');
});

const HAS_PROMTOOL = spawnSync('promtool', ['--version']).status === 0;

test('Prometheus takes the rules, and fires those that it should and no other', { skip: !HAS_PROMTOOL && 'promtool is not here' }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'meshctl-rules-'));
  try {
    // Prometheus reads YAML, which JSON is.
    writeFileSync(join(directory, 'rules.yaml'), JSON.stringify(prometheusRules(99.9)));
    const series = (labels: string): string => `http_server_request_duration_seconds_count{service="${labels}}`;
    const tests = {
      rule_files: ['rules.yaml'],
      evaluation_interval: '1m',
      tests: [
        {
          interval: '1m',
          input_series: [
            { series: series('good",http_response_status_class="2xx"'), values: '0+600x130' },
            { series: series('good",error_type="denied"'), values: '0+600x130' },
            { series: series('good",error_type="canceled"'), values: '0+600x130' },
            { series: series('bad",http_response_status_class="2xx"'), values: '0+600x130' },
            { series: series('bad",http_response_status_class="5xx",error_type="5xx"'), values: '0+60x130' },
            // It was down for an hour and is well again: the short window says so.
            { series: series('healed",http_response_status_class="2xx"'), values: '0+600x130' },
            { series: series('healed",error_type="timeout"'), values: '0+60x110 6600+0x20' },
            { series: 'meshctl_certificate_life_left_ratio{service="a",instance="a-0"}', values: '0.5x130' },
            { series: 'meshctl_certificate_life_left_ratio{service="b",instance="b-0"}', values: '0.1x130' },
          ],
          promql_expr_test: [
            {
              expr: 'service:meshctl_failures:ratio_rate5m{service="good"}',
              eval_time: '2h',
              exp_samples: [{ labels: 'service:meshctl_failures:ratio_rate5m{service="good"}', value: 0 }],
            },
            {
              expr: 'count(ALERTS{alertstate="firing",alertname="MeshctlErrorBudgetBurn1h"})',
              eval_time: '2h',
              exp_samples: [{ value: 1 }],
            },
            {
              expr: 'count by (instance) (ALERTS{alertstate="firing",alertname="MeshctlCertificateLifeLow"})',
              eval_time: '2h',
              exp_samples: [{ labels: '{instance="b-0"}', value: 1 }],
            },
            {
              expr: 'count by (service) (ALERTS{alertstate="firing",alertname="MeshctlErrorBudgetBurn1h"})',
              eval_time: '2h',
              exp_samples: [{ labels: '{service="bad"}', value: 1 }],
            },
          ],
        },
      ],
    };
    writeFileSync(join(directory, 'tests.yaml'), JSON.stringify(tests));
    for (const args of [
      ['check', 'rules', 'rules.yaml'],
      ['test', 'rules', 'tests.yaml'],
    ]) {
      const result = spawnSync('promtool', args, { cwd: directory, encoding: 'utf8' });
      assert.equal(result.status, 0, result.stdout + result.stderr);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
