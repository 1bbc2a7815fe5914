// Policy files × mesh file → findings. Problems of form come from document.ts; each rule of meaning has a file of its own in rules/.
import { type Finding, inOrder } from '../base/finding.ts';
import type { MeshSpec } from '../mesh/spec.ts';
import { type PolicyDocument, type PolicyText, parsePolicy } from './document.ts';
import { collectNames, type Names, ServiceResolver } from './names.ts';
import { anyUnreachable } from './rules/any-unreachable.ts';
import { bridgeWithoutOwner } from './rules/bridge-without-owner.ts';
import { denyHttp } from './rules/deny-http.ts';
import { invariantViolated } from './rules/invariant-violated.ts';
import { serviceMismatch } from './rules/service-mismatch.ts';
import { tierViolation } from './rules/tier-violation.ts';
import { unknownService } from './rules/unknown-service.ts';
import { unknownTier } from './rules/unknown-tier.ts';
import { unlabelledService } from './rules/unlabelled-service.ts';
import { unusedService } from './rules/unused-service.ts';

export interface LintInput {
  readonly document: PolicyDocument;
  readonly names: Names;
  readonly resolver: ServiceResolver;
  readonly mesh: MeshSpec | undefined;
}

export interface LintRule {
  readonly id: string;
  /** One sentence for docs/rules.md: what is wrong, and why it matters. */
  readonly summary: string;
  readonly run: (input: LintInput) => Finding[];
}

export const LINT_RULES: readonly LintRule[] = [
  anyUnreachable,
  bridgeWithoutOwner,
  denyHttp,
  invariantViolated,
  serviceMismatch,
  tierViolation,
  unknownService,
  unknownTier,
  unlabelledService,
  unusedService,
];

/** What the reader itself reports, in the same words as docs/rules.md. */
export const FORM_RULES: readonly { readonly id: string; readonly summary: string }[] = [
  {
    id: 'contradiction',
    summary: 'Two documents given together say different things about the same name; which one holds would depend on their order.',
  },
  {
    id: 'foreign-policy',
    summary:
      'A policy of another mesh, or another resource of Kubernetes, is given where rules are enforced. `policy lint` judges such files by their own schema; `policy apply` refuses them.',
  },
  {
    id: 'ineffective-selector',
    summary: 'An Istio policy selects the pods of a Kubernetes Gateway: it does nothing there (IST0166). `targetRefs` does.',
  },
  { id: 'invalid-value', summary: 'A key holds a value of the wrong type or outside its range.' },
  {
    id: 'istio-schema',
    summary: 'Istio refuses the resource at admission: its schema or its webhook says so. It would protect nothing.',
  },
  {
    id: 'jwt-claim-without-authentication',
    summary: 'A VirtualService routes by a claim of a token that no RequestAuthentication verifies: anybody can claim it (IST0149).',
  },
  {
    id: 'l7-deny-no-port',
    summary:
      'An Istio DENY rule with only HTTP fields and no port. On a TCP port the HTTP fields fall away, and what is left denies everything there.',
  },
  {
    id: 'later-version',
    summary:
      'The text is legal, but this version does not judge or enforce it yet. A warning for whole sections, an error inside a rule, because a rule with a part left out would mean something else.',
  },
  {
    id: 'linkerd-schema',
    summary: 'Linkerd refuses the resource at admission. It would protect nothing, or let nobody in.',
  },
  { id: 'method-without-path', summary: 'An HTTP method without a path. In `[GET, POST /x]` YAML would silently make two rules of it.' },
  {
    id: 'no-workload',
    summary: 'No pod of the files has the labels that an Istio policy selects, or its namespace has none: it protects nothing (IST0127).',
  },
  {
    id: 'not-a-resource',
    summary: 'A document of a Kubernetes file has no `kind`, or its `metadata` or `spec` is no map: nobody takes it.',
  },
  {
    id: 'not-a-policy',
    summary: 'The document has neither `apiVersion` nor `kind`. It is reported, never skipped: a skipped policy protects nothing.',
  },
  { id: 'path-never-matches', summary: 'The pattern cannot equal any normalised path (`//`, `..`, `?`, `%2F`), so the rule does nothing.' },
  { id: 'private-key-in-policy', summary: 'A key set that is there to verify tokens holds the private halves of its keys.' },
  {
    id: 'selector-empty',
    summary: 'An Istio selector without labels: it selects every workload of the namespace, which is seldom what was meant.',
  },
  {
    id: 'server-not-verified',
    summary: 'An Istio DestinationRule asks for TLS and names no authority: whoever answers is believed (IST0128, IST0129).',
  },
  { id: 'syntax-error', summary: 'The text is not YAML, or a rule is not `caller -> callee: operations`.' },
  {
    id: 'unknown-namespace',
    summary: 'An Istio policy names a namespace that none of the files has: the rule matches nobody, or everybody (IST0101).',
  },
  {
    id: 'unknown-key',
    summary: 'A key that the format does not have: most often a slip of the keyboard that would leave a default in force.',
  },
];

/**
 * Every finding of the files, in reading order, and the document for whoever goes on with it. `verify: false` leaves the invariants out, for
 * whoever judges them himself; `skipForeign` passes over resources that are no native policy, which are errors otherwise.
 */
export function lintPolicy(
  files: readonly PolicyText[],
  mesh: MeshSpec | undefined,
  options: { readonly verify?: boolean; readonly skipForeign?: boolean } = {},
): { document: PolicyDocument; findings: Finding[] } {
  const { document, findings } = parsePolicy(files, options.skipForeign);
  const names = collectNames(document, mesh);
  const input: LintInput = { document, names, resolver: new ServiceResolver(names, mesh?.trustDomain ?? document.trustDomain), mesh };
  const all = [
    ...findings,
    ...LINT_RULES.filter((rule) => rule !== invariantViolated || options.verify !== false).flatMap((rule) => rule.run(input)),
  ];
  return { document, findings: inOrder(all) };
}
