// `policy check` and `explain` where the policies are those of another mesh: each kind by its own semantics, with the place that enforces it.
import { Fault } from '../../base/fault.ts';
import {
  decideForeign,
  type ForeignMesh,
  type LayeredDecision,
  type Question,
  requestOf,
  type Token,
} from '../../policy/foreign-decision.ts';
import { paint, SYMBOL } from '../../views/theme.ts';
import type { Context, Input } from '../context.ts';
import { document } from '../document.ts';
import { flag, outputOption, repeatedOption, textArgument, textOption } from '../input.ts';
import { readTexts } from '../read-files.ts';
import { readHeaders } from './headers.ts';

const VERDICT = { allow: 'allowed', deny: 'denied', unknown: 'unknown' } as const;
const POINTS = ['sidecar', 'ztunnel', 'waypoint'] as const;

/** Prints the answer; 0 allowed, 1 denied, 2 cannot tell. */
export function checkForeign(context: Context, input: Input, mesh: ForeignMesh, source: string): number {
  const format = outputOption(input, ['table', 'json']);
  const request = requestOf(mesh, questionOf(context, input));
  const { decision, layers } = decideForeign(mesh, request);
  const verdict = VERDICT[decision];
  const { identity } = request.source;
  const { namespace, workload, port, enforcement } = request.destination;
  if (format === 'json')
    context.print(
      document('PolicyDecision', {
        policy: source,
        from: identity ?? null,
        to: `${namespace}/${workload}`,
        request: {
          protocol: request.http === undefined ? 'tcp' : 'http',
          method: request.http?.method ?? null,
          path: request.http?.path ?? null,
          port,
        },
        enforcement,
        verdict,
        layers: layers.map((layer) => ({ ...layer, decision: VERDICT[layer.decision] })),
      }),
    );
  else
    context.print(
      print(
        verdict,
        `${identity ?? 'no identity'} -> ${namespace}/${workload}:${port} (${enforcement})  ${request.http === undefined ? 'tcp' : `${request.http.method} ${request.http.path}`}`,
        layers,
      ),
    );
  return verdict === 'allowed' ? 0 : verdict === 'denied' ? 1 : 2;
}

function print(verdict: (typeof VERDICT)[keyof typeof VERDICT], question: string, layers: LayeredDecision['layers']): string {
  const mark =
    verdict === 'allowed'
      ? paint('good', `${SYMBOL.good} allowed`)
      : verdict === 'denied'
        ? paint('bad', `${SYMBOL.bad} denied`)
        : paint('warn', '? cannot tell');
  return `${mark}  ${question}\n${layers.map(({ engine, decision, by }) => `  ${engine}: ${VERDICT[decision]}: ${by}\n`).join('')}`;
}

function questionOf(context: Context, input: Input): Question {
  const from = textArgument(input, 0);
  const to = textArgument(input, 1);
  if (from === undefined || to === undefined) throw new Fault('USAGE', 'usage', 'a caller and a callee are wanted');
  const at = textOption(input, 'at');
  const enforcement = POINTS.find((each) => each === at);
  if (at !== undefined && enforcement === undefined) throw new Fault('USAGE', 'usage', `\`--at ${at}\`: ${POINTS.join(', ')} is wanted`);
  const headers = Object.fromEntries([...readHeaders(repeatedOption(input, 'header'))].map(([name, values]) => [name, values.join(',')]));
  const grpc = textOption(input, 'grpc');
  const method = grpc === undefined ? textOption(input, 'method') : 'POST';
  const path = grpc === undefined ? textOption(input, 'path') : `/${grpc}`;
  return {
    from,
    to,
    port: textOption(input, 'port'),
    http: flag(input, 'tcp') ? undefined : { method, path, host: headers['host'], headers },
    enforcement,
    token: tokenOf(context, textOption(input, 'token')),
  };
}

/** `none`, or a file with the claims of a verified token; unknown when nothing is said. */
function tokenOf(context: Context, named: string | undefined): Token | null | undefined {
  if (named === undefined) return undefined;
  if (named === 'none') return null;
  const [file] = readTexts(context, [named]);
  try {
    const claims: unknown = JSON.parse(file?.text ?? '');
    if (typeof claims === 'object' && claims !== null && !Array.isArray(claims))
      return { isValid: true, claims: claims as Token['claims'] };
  } catch {
    // Said below.
  }
  throw new Fault('USAGE', 'usage', `${named} holds no claims`, {
    hint: 'a JSON object such as {"iss": "https://id.example.com", "sub": "ann"} is wanted, or `--token none`',
  });
}
