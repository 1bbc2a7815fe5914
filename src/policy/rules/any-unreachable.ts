// `any` also means callers without identity; only an ingress listener takes those.
import { INGRESS } from '../../mesh/identity.ts';
import type { LintRule } from '../rule.ts';

export const anyUnreachable: LintRule = {
  id: 'any-unreachable',
  severity: 'error',
  summary:
    '`any` as a caller also admits callers without identity. Only the ingress takes those; everywhere else a proxy demands a certificate first, so `mesh` is what was meant.',
  wrong: `apiVersion: meshctl.dev/v1
kind: Policy
allow:
  - any -> orders: GET /orders/*
`,
  mend: [['any ->', 'mesh ->']],
  native: ({ document }) =>
    document.allow
      .filter((rule) => rule.from.kind === 'any' && !(rule.to.kind === 'name' && rule.to.name === INGRESS))
      .map((rule) => ({
        rule: 'any-unreachable',
        severity: 'error' as const,
        what: '`any` as a caller also admits callers without identity, which only the ingress takes',
        fix: 'write `mesh` for every verified identity of this mesh',
        place: rule.fromPlace,
        edit: ['any', 'mesh'] as const,
      })),
};
