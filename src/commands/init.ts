// `meshctl init [DIR]`
import { existsSync, mkdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { Fault, messageOf } from '../base/fault.ts';
import { NAME } from '../mesh/identity.ts';
import { writeAtomic } from '../platform/node/files.ts';
import type { Run } from './context.ts';
import { flag, textArgument } from './input.ts';

export const run: Run = async (context, input) => {
  const directory = resolve(context.cwd, textArgument(input, 0) ?? '.');
  const files = { 'mesh.yaml': meshYaml(meshName(directory)), 'policy.yaml': POLICY, 'web/index.html': PAGE };
  const present = Object.keys(files).filter((name) => existsSync(join(directory, name)));
  if (present.length > 0 && !flag(input, 'force'))
    throw new Fault('FILE_EXISTS', 'conflict', `${present.join(' and ')} ${present.length > 1 ? 'are' : 'is'} there already`, {
      hint: '`--force` overwrites',
    });
  try {
    mkdirSync(join(directory, 'web'), { recursive: true });
    for (const [name, text] of Object.entries(files)) {
      writeAtomic(join(directory, name), text, 0o644);
      context.print(`${join(directory, name)} written\n`);
    }
  } catch (cause) {
    throw new Fault('FILE_UNWRITABLE', 'usage', `cannot write to ${directory}: ${messageOf(cause)}`, { cause });
  }
  context.note('put your services into mesh.yaml, then run `meshctl up`\n');
  return 0;
};

function meshName(directory: string): string {
  const name = basename(directory)
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 40);
  return NAME.test(name) ? name : 'mesh';
}

const meshYaml = (
  name: string,
): string => `# What runs here, who calls whom, and how traffic comes in. \`meshctl up\` runs it; again, it applies what changed.
apiVersion: meshctl.dev/v1
kind: Mesh
name: ${name}
trustDomain: ${name}.local             # identities are spiffe://${name}.local/ns/<namespace>/sa/<service>
namespace: default

ingress:
  port: 8080                        # 0: any free port
  routes:
    - {path: /, service: web}

services:
  web:
    # A list, or one string that is split without a shell. $PORT and {port} are where it must listen, on 127.0.0.1.
    command: [python3, -m, http.server, "{port}", --bind, 127.0.0.1]
    cwd: ./web                        # a directory of its own: whatever serves files must not serve .meshctl/
    # env: {LOG: info}
    # instances: 2
    # ports: {http: {port: 0, protocol: http}}     # http, http2, grpc, tcp or detect
    # calls: [orders]                 # gives it ORDERS_URL; http://orders/ works through HTTP_PROXY too
    # ready: {path: /healthz, timeout: 10s}
    # restart: on-failure             # always, on-failure or never
    # traffic: {timeouts: {request: 30s}, retries: {attempts: 2}}

policy: [policy.yaml]
# certificates: {ttl: 24h}
# telemetry: {retention: 24h}
# tracing: {ratio: 1, acceptExternal: true}
`;

const POLICY = `# Who may call whom, by verified identity. What no rule allows is denied.
apiVersion: meshctl.dev/v1
kind: Policy
default: deny

# Trust tiers, least trusted first. A service takes no request from a tier below \`acceptsFrom\`, whatever a rule says.
# tiers:
#   - edge
#   - {name: low, acceptsFrom: edge}
#   - high
# services:
#   ingress: {tier: edge}
#   web: {tier: low}
#   payments: {tier: high}
#   orders: {tier: low, bridge: true, owner: team-shop}      # the one way from low to high

allow:
  - ingress -> web: any
  # - web -> orders: [GET /orders/*, POST /orders]
  # - orders -> ledger: tcp

# What must hold whatever the rules say: \`meshctl policy verify\` proves it, \`policy apply\` refuses a policy that breaks it.
# invariants:
#   - never: tier<high => payments
# tests:                                       # \`meshctl policy test\`
#   - name: only orders reaches payments
#     request: {to: payments, method: POST, path: /charge}
#     allow: [orders]
#     deny: [any]
`;

const PAGE = `<!doctype html>
<title>It works</title>
<p>Served behind a proxy of its own.</p>
`;
