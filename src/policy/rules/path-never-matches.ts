// A pattern that no path can equal once the mesh has normalized it.
import { isTemplate, normalizeIstioPath } from '../foreign/istio/path.ts';
import type { LintRule } from '../rule.ts';

export const pathNeverMatches: LintRule = {
  id: 'path-never-matches',
  severity: 'error',
  summary:
    'The pattern cannot equal any normalized path (`//`, `..`, `?`, `#`, an escape that is decoded first, no slash in front), so the rule does nothing.',
  see: ['CVE-2021-39156', 'CVE-2021-32779', 'CVE-2020-8595'],
  wrong: `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: search, namespace: shop}
spec:
  rules:
    - to: [{operation: {paths: ["/search?q=1"]}}]
`,
  mend: [['/search?q=1', '/search']],
  foreign: ({ authorizations, settings }, find) => {
    for (const { resource, rules } of authorizations)
      for (const field of rules.flatMap(({ to }) => (to ?? []).flat()).filter(({ name }) => name === 'paths'))
        field.values.forEach((pattern, i) => {
          const why = reason(pattern, settings.pathNormalization);
          if (why !== undefined)
            find(resource, [...field.path, i], `\`${pattern}\` never matches: ${why}`, {
              fix: 'write the path as it is after normalization',
            });
        });
  },
};

function reason(pattern: string, mode: Parameters<typeof normalizeIstioPath>[1]): string | undefined {
  if (/[?#]/.test(pattern)) return 'query and fragment are cut before the match';
  if (!/^[/*{]/.test(pattern)) return 'paths begin with `/`';
  // Where more may follow, the end of what is written may be the beginning of anything.
  if (pattern.includes('*') || isTemplate(pattern)) return undefined;
  const normal = normalizeIstioPath(pattern, mode);
  if (!('path' in normal)) return 'such a request is refused before any rule';
  return normal.path === pattern ? undefined : `it is normalized to \`${normal.path}\` first (${mode})`;
}
