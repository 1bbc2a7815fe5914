// How each peer of a benchmark is run as a pair of sidecars: its binary, and its configuration for one side.
// Every pair gets the same certificates (P-256, one URI SAN), TLS 1.3, one worker, and no access log.
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { LAUNCHER } from '../support/cli.ts';

export type Mode = 'http1' | 'http2' | 'tcp';

/** One side of a pair. `upstream` is the other proxy, or the application. */
export interface Side {
  readonly role: 'outbound' | 'inbound';
  readonly mode: Mode;
  readonly listen: number;
  readonly upstream: number;
  readonly directory: string;
  readonly selfId: string;
  readonly peerId: string;
}

export interface Peer {
  readonly name: string;
  /** Undefined when its binary is not on this machine. */
  readonly binary: string | undefined;
  /** File and text of the configuration, and the arguments that read it. */
  readonly configure: (side: Side) => { readonly file: string; readonly text: string; readonly argv: readonly string[] };
}

function find(variable: string, name: string): string | undefined {
  const named = process.env[variable];
  if (named !== undefined) return existsSync(named) ? named : undefined;
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(directory, name);
    if (directory !== '' && existsSync(path)) return path;
  }
  return undefined;
}

const PROTOCOL: Readonly<Record<Mode, string>> = { http1: 'http', http2: 'http2', tcp: 'tcp' };

const meshctl: Peer = {
  name: 'meshctl',
  binary: process.execPath,
  configure: ({ role, mode, listen, upstream, directory, selfId, peerId }) => {
    const head = `apiVersion: meshctl.dev/v1\nkind: Proxy\nidentity: {certFile: ${role}.crt, keyFile: ${role}.key, bundleFile: ca.crt}\n`;
    const text =
      role === 'outbound'
        ? `${head}listeners: [{direction: outbound, address: ${listen}, service: peer}]\nservices: {peer: {identity: "${peerId}", protocol: ${PROTOCOL[mode]}, endpoints: [${upstream}], traffic: {circuit: {maxRequests: 100000}}}}\n`
        : `${head}listeners: [{direction: inbound, address: ${listen}, app: ${upstream}, protocol: ${PROTOCOL[mode]}}]\n---\napiVersion: meshctl.dev/v1\nkind: Policy\nallow:\n  - "id:${peerId} -> id:${selfId}": any\n`;
    return { file: `${role}.yaml`, text, argv: [LAUNCHER, 'proxy', 'run', '-f', join(directory, `${role}.yaml`)] };
  },
};

const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
const typed = (type: string, value: object) => ({ '@type': `type.googleapis.com/${type}`, ...value });

const envoy: Peer = {
  name: 'envoy',
  binary: find('ENVOY_BIN', 'envoy'),
  configure: ({ role, mode, listen, upstream, directory, peerId }) => {
    const secret = {
      ...(mode === 'http2' ? { alpn_protocols: ['h2'] } : {}),
      tls_params: { tls_minimum_protocol_version: 'TLSv1_3', tls_maximum_protocol_version: 'TLSv1_3' },
      tls_certificates: [
        { certificate_chain: { filename: join(directory, `${role}.crt`) }, private_key: { filename: join(directory, `${role}.key`) } },
      ],
      validation_context: {
        trusted_ca: { filename: join(directory, 'ca.crt') },
        match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: peerId } }],
      },
    };
    const transport = (type: string, value: object) => ({
      transport_socket: {
        name: 'envoy.transport_sockets.tls',
        typed_config: typed(`envoy.extensions.transport_sockets.tls.v3.${type}`, value),
      },
    });
    const outbound = role === 'outbound';
    const limits = { thresholds: [{ max_connections: 100_000, max_pending_requests: 100_000, max_requests: 100_000 }] };
    const principal = { authenticated: { principal_name: { exact: peerId } } };
    const rbac = { rules: { action: 'ALLOW', policies: { peer: { permissions: [{ any: true }], principals: [principal] } } } };
    const http = {
      stat_prefix: role,
      route_config: {
        virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'up', timeout: '0s' } }] }],
      },
      http_filters: [
        ...(outbound ? [] : [{ name: 'rbac', typed_config: typed('envoy.extensions.filters.http.rbac.v3.RBAC', rbac) }]),
        { name: 'router', typed_config: typed('envoy.extensions.filters.http.router.v3.Router', {}) },
      ],
    };
    const filters =
      mode === 'tcp'
        ? [
            ...(outbound
              ? []
              : [{ name: 'rbac', typed_config: typed('envoy.extensions.filters.network.rbac.v3.RBAC', { stat_prefix: role, ...rbac }) }]),
            {
              name: 'tcp',
              typed_config: typed('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy', { stat_prefix: role, cluster: 'up' }),
            },
          ]
        : [
            {
              name: 'http',
              typed_config: typed('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', http),
            },
          ];
    const http2 = { explicit_http_config: { http2_protocol_options: {} } };
    const config = {
      static_resources: {
        listeners: [
          {
            name: role,
            address: address(listen),
            filter_chains: [
              {
                filters,
                ...(outbound ? {} : transport('DownstreamTlsContext', { require_client_certificate: true, common_tls_context: secret })),
              },
            ],
          },
        ],
        clusters: [
          {
            name: 'up',
            connect_timeout: '5s',
            circuit_breakers: limits,
            load_assignment: { cluster_name: 'up', endpoints: [{ lb_endpoints: [{ endpoint: { address: address(upstream) } }] }] },
            ...(mode === 'http2'
              ? {
                  typed_extension_protocol_options: {
                    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed(
                      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
                      http2,
                    ),
                  },
                }
              : {}),
            ...(outbound ? transport('UpstreamTlsContext', { common_tls_context: secret }) : {}),
          },
        ],
      },
    };
    const file = `${role}.json`;
    return {
      file,
      text: JSON.stringify(config),
      argv: ['-c', join(directory, file), '--concurrency', '1', '--disable-hot-restart', '-l', 'error'],
    };
  },
};

const haproxy: Peer = {
  name: 'haproxy',
  binary: find('HAPROXY_BIN', 'haproxy'),
  configure: ({ role, mode, listen, upstream, directory }) => {
    const pem = join(directory, `${role}.pem`);
    const ca = join(directory, 'ca.crt');
    const tls = `ssl crt ${pem} ca-file ${ca} verify required ssl-min-ver TLSv1.3${mode === 'http2' ? ' alpn h2' : ''}`;
    const proto = mode === 'http2' ? ' proto h2' : '';
    const text = [
      'global',
      '  nbthread 1',
      '  maxconn 4000',
      'defaults',
      `  mode ${mode === 'tcp' ? 'tcp' : 'http'}`,
      '  timeout connect 5s',
      '  timeout client 60s',
      '  timeout server 60s',
      mode === 'tcp' ? '' : '  http-reuse always',
      `listen ${role}`,
      role === 'outbound' ? `  bind 127.0.0.1:${listen}${proto}` : `  bind 127.0.0.1:${listen} ${tls}`,
      role === 'outbound' ? `  server up 127.0.0.1:${upstream} ${tls}` : `  server up 127.0.0.1:${upstream}${proto}`,
      '',
    ].join('\n');
    return { file: `${role}.cfg`, text, argv: ['-db', '-f', join(directory, `${role}.cfg`)] };
  },
};

export const PEERS: readonly Peer[] = [meshctl, envoy, haproxy];
