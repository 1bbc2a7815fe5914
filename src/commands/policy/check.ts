// `meshctl policy check SRC DST`: may it? Exit 0 yes, 1 no, 2 cannot tell.
import { Fault } from '../../base/fault.ts';
import { toObserved } from '../../control/traffic.ts';
import { printSpiffeId } from '../../mesh/identity.ts';
import { type Attempt, type Decision, evaluate, printCaller } from '../../policy/evaluate.ts';
import { attemptOf } from '../../policy/observed.ts';
import { normalizePath } from '../../policy/path.ts';
import { METHOD, parseGrpcName } from '../../policy/text.ts';
import { paint, SYMBOL } from '../../views/theme.ts';
import type { Context, Input, Run } from '../context.ts';
import { document } from '../document.ts';
import { flag, outputOption, repeatedOption, textArgument, textOption, withMesh } from '../input.ts';
import { findTrace } from '../trace.ts';
import { checkForeign } from './check-foreign.ts';
import { readHeaders } from './headers.ts';
import { foreignPolicies, loadBeside, loadSubject, readCallee, readCaller, readPort, type Subject } from './subject.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const traced = textOption(input, 'fromTrace');
  if (traced !== undefined) return checkTrace(context, input, traced);
  if (textArgument(input, 1) === undefined)
    throw new Fault('USAGE', 'usage', 'a caller and a callee are wanted', { hint: 'meshctl policy check SRC DST, or --from-trace ID' });
  const foreign = foreignPolicies(context, input);
  if (foreign !== undefined) return checkForeign(context, input, foreign.mesh, foreign.source);
  const subject = await loadSubject(context, input, []);
  const attempt = readAttempt(context, input, subject);
  const decision = evaluate(subject.policy, attempt);
  if (format === 'json') context.print(document('PolicyDecision', decisionBody(subject, attempt, decision)));
  else context.print(`${printVerdict(decision)}  ${printQuestion(attempt)}\n  ${decision.stage}: ${printBy(decision)}\n`);
  return exitCode(decision);
};

/** Every hop of a recorded request, by the policy that is named. The worst verdict is the answer. */
async function checkTrace(context: Context, input: Input, id: string): Promise<number> {
  if (textArgument(input, 0) !== undefined) throw new Fault('USAGE', 'usage', '`--from-trace` takes caller and callee from the trace');
  const { trace, spec } = await withMesh(context, input, async (mesh) => ({
    trace: await findTrace(mesh, id.trim().toLowerCase()),
    spec: (await mesh.request('mesh.spec', null)).spec,
  }));
  const named = repeatedOption(input, 'policy');
  const subject = named.length > 0 ? await loadBeside(context, input, named) : await loadSubject(context, input, []);
  const judged = trace.spans.flatMap((span) => {
    const observed = span.verdict === undefined || span.kind !== 'server' ? undefined : toObserved(span, spec);
    const attempt = observed === undefined ? undefined : attemptOf(observed, context.now());
    return attempt === undefined ? [] : [{ span, attempt, decision: evaluate(subject.policy, attempt) }];
  });
  if (judged.length === 0)
    throw new Fault('TRACE_UNKNOWN', 'not-found', `no hop of trace \`${id}\` was judged by a policy`, { hint: '`meshctl trace` shows it' });
  if (outputOption(input, ['table', 'json']) === 'json')
    context.print(
      document('PolicyDecisions', {
        traceId: trace.traceId,
        requestId: trace.requestId,
        items: judged.map(({ span, attempt, decision }) => ({ ...decisionBody(subject, attempt, decision), recorded: span.verdict })),
      }),
    );
  else
    for (const { span, attempt, decision } of judged) {
      const was = span.verdict === decision.verdict ? '' : paint('warn', `  (it was ${span.verdict})`);
      context.print(`${printVerdict(decision)}  ${printQuestion(attempt)}${was}\n  ${decision.stage}: ${printBy(decision)}\n`);
    }
  const codes = judged.map(({ decision }) => exitCode(decision));
  return codes.includes(1) ? 1 : codes.includes(2) ? 2 : 0;
}

export function exitCode({ verdict }: Decision): number {
  return verdict === 'allowed' ? 0 : verdict === 'denied' ? 1 : 2;
}

export function decisionBody(subject: Subject, attempt: Attempt, decision: Decision): object {
  const { verdict, stage, rule, place, missing, audited } = decision;
  return {
    policy: subject.source,
    from: attempt.caller === undefined ? null : printSpiffeId(attempt.caller),
    to: printSpiffeId(attempt.callee),
    request: {
      protocol: attempt.http === undefined ? 'tcp' : attempt.http.grpc ? 'grpc' : 'http',
      method: attempt.http?.method ?? null,
      path: attempt.http?.path ?? null,
      port: attempt.port === undefined ? null : attempt.port.name || attempt.port.number,
    },
    verdict,
    stage,
    rule,
    place: place ?? null,
    missing,
    audited,
  };
}

export function printVerdict({ verdict, audited }: Decision): string {
  if (verdict === 'allowed')
    return paint(audited ? 'warn' : 'good', `${audited ? SYMBOL.warn : SYMBOL.good} allowed${audited ? ' (audited)' : ''}`);
  return verdict === 'denied' ? paint('bad', `${SYMBOL.bad} denied`) : paint('warn', '? cannot tell');
}

export function printQuestion({ caller, callee, port, http }: Attempt): string {
  const what = http === undefined ? 'tcp' : `${http.grpc ? 'grpc ' : ''}${http.method ?? 'any method'} ${http.path ?? 'any path'}`;
  return `${printCaller(caller)} -> ${printSpiffeId(callee)}  ${what}${port === undefined ? '' : ` :${port.name || port.number}`}`;
}

export function printBy({ rule, place }: Decision): string {
  return `${rule}${place === undefined ? '' : ` (${place})`}`;
}

/** What is asked, from arguments and options; what they leave out is not known. */
export function readAttempt(context: Context, input: Input, subject: Subject): Attempt {
  const caller = readCaller(subject, textArgument(input, 0) ?? '');
  const named = readCallee(subject, textArgument(input, 1) ?? '');
  const port = readPort(subject, named.id, textOption(input, 'port') ?? named.port);
  const declared = subject.mesh.services[named.id.service ?? '']?.ports.find(({ name }) => name === port?.name);
  const method = textOption(input, 'method');
  const target = textOption(input, 'path');
  const grpc = textOption(input, 'grpc');
  const isTcp = flag(input, 'tcp') || (declared?.protocol === 'tcp' && method === undefined && target === undefined && grpc === undefined);
  const atMs = context.now();
  if (isTcp) {
    if (method !== undefined || target !== undefined || grpc !== undefined)
      throw new Fault('USAGE', 'usage', 'a TCP connection has neither method nor path');
    return { caller, callee: named.id, port, http: undefined, atMs };
  }
  if (method !== undefined && !METHOD.test(method))
    throw new Fault('USAGE', 'usage', `\`--method ${method}\`: a method in upper case is wanted`);
  if (grpc !== undefined && (parseGrpcName(grpc)?.method === undefined || method !== undefined || target !== undefined))
    throw new Fault('USAGE', 'usage', '`--grpc pkg.Service/Method` stands alone: it says method and path', {
      hint: 'or use --method and --path',
    });
  const headers = readHeaders(repeatedOption(input, 'header'));
  const path = grpc === undefined ? target : `/${grpc}`;
  const keeps = subject.mesh.services[named.id.service ?? '']?.encodedSlash === 'keep';
  return {
    caller,
    callee: named.id,
    port,
    http: {
      method: grpc === undefined ? method : 'POST',
      path: path === undefined ? undefined : normalized(path, keeps),
      grpc: grpc !== undefined ? true : method === undefined && path === undefined ? undefined : false,
      header: (name) => (headers.size === 0 && method === undefined && path === undefined ? undefined : (headers.get(name) ?? [])),
    },
    atMs,
  };
}

function normalized(target: string, keepsEncodedSlash: boolean): string {
  const normal = normalizePath(target, keepsEncodedSlash);
  if ('path' in normal) return normal.path;
  throw new Fault('USAGE', 'usage', `\`${target}\`: ${normal.refused}`, { hint: 'a proxy answers 400 before it looks at any rule' });
}
