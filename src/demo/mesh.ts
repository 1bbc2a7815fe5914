// The shop's mesh file and policy, as texts: the demo runs them like any user's.

/** `command` runs one role of the shop: program and arguments. */
export function demoMeshFile(command: (role: string) => readonly string[]): string {
  const run = (role: string): string => JSON.stringify(command(role));
  return `# The shop that \`meshctl demo\` runs.
apiVersion: meshctl.dev/v1
kind: Mesh
name: shop
trustDomain: shop.local
ingress:
  port: 0
  routes:
    - {path: /, service: web}
services:
  web:
    command: ${run('web')}
    calls: [orders, reviews]
    ready: {path: /healthz}
  orders:
    command: ${run('orders')}
    calls: [inventory, payments]
    ready: {path: /healthz}
  inventory:
    command: ${run('inventory')}
    instances: 2
    ready: {path: /healthz}
  payments:
    command: ${run('payments')}
    calls: [ledger]
    ready: {path: /healthz}
  reviews:
    command: ${run('reviews')}
    calls: [payments]
    ready: {path: /healthz}
  ledger:
    command: ${run('ledger')}
    ports: {ledger: {protocol: tcp}}
policy: [policy.yaml]
`;
}

export const DEMO_POLICY = `# Who may call whom in the shop. What no rule allows is denied.
apiVersion: meshctl.dev/v1
kind: Policy
default: deny
tiers:
  - edge
  - {name: low, acceptsFrom: edge}
  - standard
  - high
services:
  ingress:   {tier: edge}
  web:       {tier: low}
  reviews:   {tier: low}
  orders:    {tier: standard, bridge: true, owner: team-shop}
  inventory: {tier: standard}
  payments:  {tier: high, handles: [card-data]}
  ledger:    {tier: high}
allow:
  - ingress -> web: any
  - web -> orders: [POST /orders, GET /orders/*]
  - web -> reviews: GET /reviews/*
  - orders -> inventory: [GET /stock/*, POST /reserve]
  - orders -> payments: POST /charge
  - payments -> ledger: tcp
invariants:
  - never: tier<high => tier:high             # over any number of calls; \`orders\` is the bridge
    why: card data stays among highly trusted services
  - only: {callers: [orders], of: payments}
tests:
  - name: only orders charges
    request: {to: payments, method: POST, path: /charge}
    allow: [orders]
    deny: [any]                               # everybody else
`;
