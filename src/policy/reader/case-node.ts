// The tests of a policy: named requests with the verdict that is expected, as a syntax tree with places.
//
//   - name: only checkout charges
//     request: {to: payments, method: POST, path: /charge}
//     allow: [checkout]
//     deny: [web, ns:dev, any]
//   - name: who decides
//     request: {from: web, to: payments, method: GET, path: /health}
//     expect: deny
//     by: default
import { decode, type Located, type Path, z } from '../../base/decode.ts';
import type { Finding } from '../../base/finding.ts';
import type { Place } from '../../base/place.ts';
import { readWho } from './rule-node.ts';
import { METHOD, type WhoText } from './rule-text.ts';

export interface CaseNode {
  readonly name: string;
  readonly place: Place;
  readonly from: WhoText | undefined;
  readonly to: WhoText;
  /** Undefined for TCP. */
  readonly http:
    | {
        readonly method: string | undefined;
        readonly path: string | undefined;
        readonly headers: Readonly<Record<string, string>>;
        readonly grpc: boolean;
      }
    | undefined;
  readonly port: string | undefined;
  readonly allow: readonly WhoText[];
  readonly deny: readonly WhoText[];
  readonly paths: { readonly allow: readonly string[]; readonly deny: readonly string[] };
  readonly expect: 'allow' | 'deny' | 'unknown' | undefined;
  /** The rule's name or text, or the stage, that decides. */
  readonly by: string | undefined;
}

export const caseSchema = z.strictObject({
  name: z.string().min(1),
  request: z.strictObject({
    from: z.string().optional(),
    to: z.string(),
    method: z.string().regex(METHOD, 'a method in upper case is wanted').optional(),
    path: z.string().regex(/^\//, 'a path starts with `/`').optional(),
    grpc: z.string().optional(),
    tcp: z.literal(true).optional(),
    headers: z.record(z.string(), z.string()).default({}),
    port: z.union([z.int(), z.string()]).transform(String).optional(),
  }),
  allow: z.array(z.string()).default([]),
  deny: z.array(z.string()).default([]),
  paths: z.strictObject({ allow: z.array(z.string()).default([]), deny: z.array(z.string()).default([]) }).prefault({}),
  expect: z.enum(['allow', 'deny', 'unknown']).optional(),
  by: z.string().optional(),
});

export function readCase(document: Located, path: Path, raw: unknown, findings: Finding[]): CaseNode | undefined {
  const decoded = decode({ file: document.file, data: raw, place: (more, key) => document.place([...path, ...more], key) }, caseSchema);
  findings.push(...decoded.findings);
  const value = decoded.value;
  if (value === undefined) return undefined;
  const { request } = value;
  const place = document.place(path);
  const list = (key: 'allow' | 'deny'): readonly (WhoText | undefined)[] =>
    value[key].map((text, i) => readWho(document, [...path, key, i], text, findings));
  const from = request.from === undefined ? undefined : readWho(document, [...path, 'request', 'from'], request.from, findings);
  const to = readWho(document, [...path, 'request', 'to'], request.to, findings);
  const allow = list('allow');
  const deny = list('deny');
  const wrong = (what: string): undefined => {
    findings.push({ rule: 'invalid-value', severity: 'error', what, place });
  };
  const hasPaths = value.paths.allow.length + value.paths.deny.length > 0;
  if (request.tcp && (request.method !== undefined || request.path !== undefined || request.grpc !== undefined || hasPaths))
    return wrong('a TCP connection has neither method nor path');
  if (request.grpc !== undefined && (request.method !== undefined || request.path !== undefined))
    return wrong('`grpc` says method and path already');
  if (value.expect !== undefined && request.from === undefined) return wrong('`expect` wants to know who calls: `request: {from: …}`');
  if (value.expect === undefined && value.allow.length + value.deny.length === 0 && !hasPaths)
    return wrong('the test expects nothing: `expect`, `allow`, `deny` or `paths` is wanted');
  if (hasPaths && request.from === undefined) return wrong('`paths` wants to know who calls: `request: {from: …}`');
  if (to === undefined || [...allow, ...deny].includes(undefined) || (request.from !== undefined && from === undefined)) return undefined;
  return {
    name: value.name,
    place,
    from,
    to,
    http: request.tcp
      ? undefined
      : {
          method: request.grpc === undefined ? request.method : 'POST',
          path: request.grpc === undefined ? request.path : `/${request.grpc}`,
          headers: request.headers,
          grpc: request.grpc !== undefined,
        },
    port: request.port,
    allow: allow as WhoText[],
    deny: deny as WhoText[],
    paths: value.paths,
    expect: value.expect,
    by: value.by,
  };
}
