// Findings that were there before anybody looked: a file of fingerprints, so that a pipeline fails on new ones only.
import { createHash } from 'node:crypto';
import { decode, parseYaml, z } from '../base/decode.ts';
import type { Finding, Reported } from '../base/finding.ts';
import { API_VERSION } from '../mesh/version.ts';
import type { PolicyText } from './document.ts';

export const schema = z.strictObject({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal('LintBaseline'),
  schemaVersion: z.literal(1),
  findings: z.array(z.strictObject({ fingerprint: z.string(), rule: z.string(), file: z.string(), what: z.string() })),
});

const LENGTH = 16;

/** Each with its line and a fingerprint: the rule, the file, the text of the line, and the how manieth of its kind it is. */
export function withFingerprints(files: readonly PolicyText[], findings: readonly Finding[]): Reported[] {
  const lines = new Map(files.map(({ file, text }) => [file, text.split('\n')]));
  const seen = new Map<string, number>();
  return findings.map((finding) => {
    const excerpt = finding.place === undefined ? undefined : lines.get(finding.place.file)?.[finding.place.line - 1]?.trimEnd();
    const key = [finding.rule, finding.place?.file ?? '', excerpt?.trim() ?? finding.what].join('\n');
    const nth = seen.get(key) ?? 0;
    seen.set(key, nth + 1);
    const fingerprint = createHash('sha256').update(`${key}\n${nth}`).digest('hex').slice(0, LENGTH);
    return { ...finding, ...(excerpt === undefined ? {} : { excerpt }), fingerprint };
  });
}

/** The document of `--write-baseline`. */
export function printBaseline(findings: readonly Reported[]): string {
  const list = findings.map(({ fingerprint, rule, place, what }) => ({ fingerprint, rule, file: place?.file ?? '', what }));
  return `${JSON.stringify({ apiVersion: API_VERSION, kind: 'LintBaseline', schemaVersion: 1, findings: list }, null, 2)}\n`;
}

/** The fingerprints of a baseline, or what is wrong with it. */
export function readBaseline(file: string, text: string): { known: ReadonlySet<string>; findings: Finding[] } {
  const { documents, findings } = parseYaml(file, text);
  const [document] = documents;
  if (document === undefined) return { known: new Set(), findings };
  const decoded = decode(document, schema);
  return { known: new Set(decoded.value?.findings.map(({ fingerprint }) => fingerprint)), findings: decoded.findings };
}
