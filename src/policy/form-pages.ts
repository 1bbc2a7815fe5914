// What the readers themselves report, as pages of docs/rules/: the form of native documents, and the schemas of other meshes.

import type { RulePage } from './rule.ts';
import { LINT_RULES } from './rules.ts';

const HEAD = 'apiVersion: meshctl.dev/v1\nkind: Policy\n';

export const FORM_PAGES: readonly RulePage[] = [
  {
    id: 'bad-suppression',
    severity: 'error',
    summary:
      'A comment `# meshctl:ignore RULE until=YYYY-MM-DD reason="why"` has passed its day, names no rule, no day or no reason. What it hid is shown again. One that hides nothing is a warning.',
    wrong: `${HEAD}services: {web: {}, orders: {}}\nallow:\n  - web -> orders: GET /a/**\n  # meshctl:ignore redundant until=2020-01-31 reason="the wide one goes in January"\n  - web -> orders: GET /a/b\n`,
    mend: [['until=2020-01-31', 'until=2999-01-31']],
  },
  {
    id: 'contradiction',
    severity: 'error',
    summary: 'Two documents given together say different things about the same name; which one holds would depend on their order.',
    wrong: `${HEAD}trustDomain: shop.local\nallow:\n  - mesh -> mesh: any\n---\n${HEAD}trustDomain: shop.example\n`,
    mend: [['shop.example', 'shop.local']],
  },
  {
    id: 'foreign-policy',
    severity: 'error',
    summary:
      'A policy of another mesh, or another resource of Kubernetes, is given where rules are enforced. `policy lint` judges such files by their own schema; `policy apply` and `policy check` refuse them.',
    wrong: `${HEAD}allow:\n  - mesh -> mesh: any\n---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec: {}\n`,
    mend: [['---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec: {}\n', '']],
  },
  {
    id: 'invalid-value',
    severity: 'error',
    summary: 'A key holds a value of the wrong type or outside its range.',
    wrong: `${HEAD}default: allow\nallow:\n  - mesh -> mesh: any\n`,
    mend: [['default: allow', 'default: deny']],
  },
  {
    id: 'istio-schema',
    severity: 'error',
    summary: 'Istio refuses the resource at admission: its schema or its webhook says so. It would protect nothing.',
    see: ['IST0106'],
    wrong: `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec:\n  rules:\n    - to: [{operation: {ports: ["80a"]}}]\n`,
    mend: [['80a', '80']],
  },
  {
    id: 'kuma-schema',
    severity: 'error',
    summary: 'Kuma refuses the MeshTrafficPermission: a target, a rule or a matcher is none that it knows. It would allow nobody.',
    wrong: `apiVersion: kuma.io/v1alpha1\nkind: MeshTrafficPermission\nmetadata: {name: p, namespace: kuma-system}\nspec:\n  rules:\n    - default:\n        allow: [{spiffeID: {type: Exact, value: default/ns/shop/sa/web}}]\n`,
    mend: [
      ['value: default/', 'value: "spiffe://default/'],
      ['sa/web}', 'sa/web"}'],
    ],
  },
  {
    id: 'l7-deny-no-port',
    severity: 'warning',
    summary:
      'An Istio DENY rule with only HTTP fields and no port. On a TCP port the HTTP fields fall away, and what is left denies everything there.',
    see: ['IST0133'],
    wrong: `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec:\n  action: DENY\n  rules:\n    - to: [{operation: {methods: [DELETE]}}]\n`,
    mend: [['methods: [DELETE]', 'methods: [DELETE], ports: ["8080"]']],
  },
  {
    id: 'later-version',
    severity: 'warning',
    summary:
      'The text is legal, but this version does not judge or enforce it yet. A warning for whole sections, an error inside a rule, because a rule with a part left out would mean something else.',
    wrong: `${HEAD}import: [{istio: k8s/policy.yaml}]\nallow:\n  - mesh -> mesh: any\n`,
    mend: [['import: [{istio: k8s/policy.yaml}]\n', '']],
  },
  {
    id: 'linkerd-schema',
    severity: 'error',
    summary: 'Linkerd refuses the resource at admission. It would protect nothing, or let nobody in.',
    wrong: `apiVersion: policy.linkerd.io/v1alpha1\nkind: NetworkAuthentication\nmetadata: {name: n, namespace: shop}\nspec: {networks: [{cidr: 10.0.0.0/33}]}\n`,
    mend: [['/33', '/8']],
  },
  {
    id: 'method-without-path',
    severity: 'error',
    summary: 'An HTTP method without a path. In `[GET, POST /x]` YAML would silently make two rules of it.',
    wrong: `${HEAD}allow:\n  - mesh -> mesh: [GET, POST /x]\n`,
    mend: [['[GET, POST /x]', 'GET|POST /x']],
  },
  {
    id: 'not-a-policy',
    severity: 'error',
    summary: 'The document has neither `apiVersion` nor `kind`. It is reported, never skipped: a skipped policy protects nothing.',
    wrong: 'allow:\n  - mesh -> mesh: any\n',
    mend: [['allow', `${HEAD}allow`]],
  },
  {
    id: 'not-a-resource',
    severity: 'error',
    summary: 'A document of a Kubernetes file has no `kind`, or its `metadata` or `spec` is no map: nobody takes it.',
    wrong: 'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec: []\n',
    mend: [['spec: []', 'spec: {}']],
  },
  {
    id: 'private-key-in-policy',
    severity: 'warning',
    summary: 'A key set that is there to verify tokens holds the private halves of its keys.',
    wrong: `apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: p, namespace: shop}\nspec:\n  jwtRules:\n    - issuer: https://id.example.com\n      jwks: '{"keys":[{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}]}'\n`,
    mend: [[`jwks: '{"keys":[{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}]}'`, 'jwksUri: https://id.example.com/keys']],
  },
  {
    id: 'selector-empty',
    severity: 'warning',
    summary: 'An Istio selector without labels: it selects every workload of the namespace, which is seldom what was meant.',
    wrong: 'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec: {selector: {}}\n',
    mend: [['selector: {}', 'selector: {matchLabels: {app: orders}}']],
  },
  {
    id: 'syntax-error',
    severity: 'error',
    summary: 'The text is not YAML, or a rule is not `caller -> callee: operations`.',
    wrong: `${HEAD}allow:\n  - mesh mesh: any\n`,
    mend: [['mesh mesh', 'mesh -> mesh']],
  },
  {
    id: 'unknown-key',
    severity: 'error',
    summary: 'A key that the format does not have: most often a slip of the keyboard that would leave a default in force.',
    wrong: `${HEAD}alow:\n  - mesh -> mesh: any\n`,
    mend: [['alow', 'allow']],
  },
];

/** Every page, by id. */
export const RULE_PAGES: readonly RulePage[] = [...FORM_PAGES, ...LINT_RULES].sort((a, b) => a.id.localeCompare(b.id));
