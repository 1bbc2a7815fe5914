// What a policy promises, whatever its rules say: `invariants:` as a syntax tree with places.
//
//   never: A -> B | A => B [within: N]     only: {callers: [...], of: B}     must: {A -> B: op}
//   reach: {from: A, atMost: N}            identity: {requiredFor: B}         each with `why:`
import { decode, type Located, type Path, z } from '../../base/decode.ts';
import type { Finding } from '../../base/finding.ts';
import type { Place } from '../../base/place.ts';
import { fromTextError, readOperations, readWho } from './rule-node.ts';
import { isTextError, type OpText, parseEdge, printOperation, printWho, type WhoText } from './rule-text.ts';

export type Invariant = { readonly id: string; readonly place: Place; readonly why: string | undefined } & (
  | { readonly kind: 'never'; readonly from: WhoText; readonly to: WhoText; readonly atMostHops: number; readonly direct: boolean }
  | { readonly kind: 'only'; readonly callers: readonly WhoText[]; readonly of: WhoText }
  | { readonly kind: 'must'; readonly from: WhoText; readonly to: WhoText; readonly operations: readonly OpText[] }
  | { readonly kind: 'reach'; readonly from: WhoText; readonly atMost: number }
  | { readonly kind: 'identity'; readonly requiredFor: WhoText }
);

const common = { why: z.string().optional() };
export const SCHEMAS = {
  never: z.strictObject({ never: z.string(), within: z.int().min(1).max(100).optional(), ...common }),
  only: z.strictObject({ only: z.strictObject({ callers: z.array(z.string()), of: z.string() }), ...common }),
  must: z.strictObject({ must: z.record(z.string(), z.unknown()), ...common }),
  reach: z.strictObject({ reach: z.strictObject({ from: z.string(), atMost: z.int().min(0) }), ...common }),
  identity: z.strictObject({ identity: z.strictObject({ requiredFor: z.string() }), ...common }),
};
const KINDS = ['never', 'only', 'must', 'reach', 'identity'] as const;
type Raw = z.output<(typeof SCHEMAS)[(typeof KINDS)[number]]>;

export function readInvariant(document: Located, path: Path, raw: unknown, findings: Finding[]): Invariant | undefined {
  const place = document.place(path);
  const kind = typeof raw === 'object' && raw !== null ? KINDS.find((each) => each in raw) : undefined;
  if (kind === undefined) {
    const fix = 'write `- never: web => payments`, or `only`, `must`, `reach`, `identity`';
    findings.push({ rule: 'syntax-error', severity: 'error', what: 'this is no invariant', fix, place });
    return undefined;
  }
  const schema = SCHEMAS[kind];
  const decoded = decode<Raw>({ file: document.file, data: raw, place: (more, key) => document.place([...path, ...more], key) }, schema);
  findings.push(...decoded.findings);
  const value = decoded.value;
  if (value === undefined) return undefined;
  const { why } = value;
  const who = (at: Path, text: string): WhoText | undefined => readWho(document, [...path, ...at], text, findings);
  if ('never' in value) {
    const many = value.never.includes('=>');
    const edge = parseEdge(many ? value.never.replace('=>', '->') : value.never);
    const neverPlace = document.place([...path, 'never']);
    if (isTextError(edge)) {
      findings.push(fromTextError(edge, neverPlace));
      return undefined;
    }
    if (!many && value.within !== undefined)
      findings.push({ rule: 'invalid-value', severity: 'error', what: '`within` is for `=>`; `->` is one hop', place: neverPlace });
    const id = `never: ${printWho(edge.from)} ${many ? '=>' : '->'} ${printWho(edge.to)}`;
    const atMostHops = many ? (value.within ?? Number.POSITIVE_INFINITY) : 1;
    return { kind: 'never', id, place, why, from: edge.from, to: edge.to, atMostHops, direct: !many };
  }
  if ('only' in value) {
    const callers = value.only.callers.map((text, i) => who(['only', 'callers', i], text));
    const of = who(['only', 'of'], value.only.of);
    if (of === undefined || callers.includes(undefined)) return undefined;
    const known = callers as WhoText[];
    return { kind: 'only', id: `only: [${known.map(printWho).join(', ')}] of ${printWho(of)}`, place, why, callers: known, of };
  }
  if ('must' in value) {
    const [key, ...more] = Object.keys(value.must);
    const mustPlace = document.place([...path, 'must']);
    if (key === undefined || more.length > 0) {
      findings.push({ rule: 'syntax-error', severity: 'error', what: '`must` holds one `caller -> callee: operations`', place: mustPlace });
      return undefined;
    }
    const edge = parseEdge(key);
    if (isTextError(edge)) {
      findings.push(fromTextError(edge, document.place([...path, 'must', key], true)));
      return undefined;
    }
    const operations = readOperations(document, [...path, 'must', key], value.must[key], mustPlace, findings);
    if (operations === undefined) return undefined;
    const id = `must: ${printWho(edge.from)} -> ${printWho(edge.to)}: ${operations.map(printOperation).join(', ')}`;
    return { kind: 'must', id, place, why, from: edge.from, to: edge.to, operations };
  }
  if ('reach' in value) {
    const from = who(['reach', 'from'], value.reach.from);
    const { atMost } = value.reach;
    return from === undefined ? undefined : { kind: 'reach', id: `reach: ${printWho(from)} at most ${atMost}`, place, why, from, atMost };
  }
  const requiredFor = who(['identity', 'requiredFor'], value.identity.requiredFor);
  return requiredFor === undefined
    ? undefined
    : { kind: 'identity', id: `identity required for ${printWho(requiredFor)}`, place, why, requiredFor };
}
