// `meshctl policy apply FILE…`: lint against the running mesh, make a revision, wait until every proxy enforces it.
import { userInfo } from 'node:os';
import { Fault } from '../../base/fault.ts';
import { reaches } from '../../base/finding.ts';
import type { ProxyItem } from '../../control/admin.ts';
import type { Audit } from '../../policy/compile.ts';
import type { PolicyDiff } from '../../policy/diff.ts';
import { hasNative, type PolicyText } from '../../policy/document.ts';
import { importForeign } from '../../policy/import.ts';
import { printRequest } from '../../policy/reachability.ts';
import { renderFindings, summarize } from '../../views/report/table.ts';
import { paint } from '../../views/theme.ts';
import type { Context, Input, MeshConnection, Run } from '../context.ts';
import { document } from '../document.ts';
import { durationOption, flag, listArgument, outputOption, textOption, withMesh } from '../input.ts';
import { diffOf, loadForeign, readPolicyTexts } from './subject.ts';

const LOOK_EVERY_MS = 20;

export const run: Run = async (context, input) => {
  const audit = readAudit(input);
  const files = readPolicyTexts(context, listArgument(input, 0));
  return withMesh(context, input, async (mesh) => {
    const native = await carriedOver(context, mesh, files);
    return applyTo(context, input, mesh, { files: [...native], audit, message: textOption(input, 'message') ?? '' });
  });
};

/** Policies of another mesh as native ones. Throws POLICY_INVALID where something in them has no counterpart. */
async function carriedOver(context: Context, mesh: MeshConnection, files: readonly PolicyText[]): Promise<readonly PolicyText[]> {
  if (hasNative(files)) return files;
  const { spec } = await mesh.request('mesh.spec', null);
  const foreign = loadForeign(context, files, 'the files', { trustDomain: spec.trustDomain });
  if (foreign === undefined) return files;
  const { text, left } = importForeign(foreign);
  if (left.length === 0) return [{ file: 'imported.yaml', text }];
  for (const { place, resource, what } of left) context.note(`${place}  ${resource}: ${what}\n`);
  throw new Fault('POLICY_INVALID', 'usage', `${left.length} parts of these policies cannot be carried over, so nothing is applied`, {
    hint: '`meshctl policy import` writes what can be; mend the rest there',
  });
}

export interface Change {
  readonly files: { readonly file: string; readonly text: string }[];
  readonly audit: Audit;
  readonly message: string;
}

/** Lints, shows, makes a revision, and waits for the proxies; the exit code. */
export async function applyTo(context: Context, input: Input, mesh: MeshConnection, { files, audit, message }: Change): Promise<number> {
  const format = outputOption(input, ['table', 'json']);
  const timeoutMs = durationOption(input, 'timeout', 'timeout') ?? 5000;
  const dryRun = flag(input, 'dryRun');
  const { findings } = await mesh.request('policy.lint', { files });
  if (format === 'table' && findings.length > 0) context.note(`${renderFindings(findings)}\n`);
  const refused = reaches(findings, 'error');
  const plan = refused ? undefined : await diffOf(context, mesh, files);
  if (format === 'table' && plan !== undefined) context.note(planText(plan));
  if (refused || dryRun) {
    if (format === 'json') context.print(document('PolicyApplied', { applied: false, dryRun, ...planBody(plan), findings }));
    else context.print(refused ? `not applied: ${summarize(findings)}\n` : `would be applied: ${summarize(findings)}\n`);
    return refused ? 1 : 0;
  }
  const applied = await mesh.request('policy.apply', { files, user: userName(), message, audit });
  const behind = applied.changed ? await waitForProxies(mesh, timeoutMs) : [];
  const note =
    audit === 'none' ? '' : audit === 'all' ? '; it only reports, floors and `deny` too' : '; what no rule allows is only reported';
  if (format === 'json')
    context.print(
      document('PolicyApplied', {
        applied: true,
        changed: applied.changed,
        revision: applied.revision,
        audit,
        ...planBody(plan),
        proxiesBehind: behind.map((proxy) => proxy.instance),
        findings,
      }),
    );
  else context.print(`policy/${applied.revision} ${applied.changed ? 'applied' : 'unchanged'}${note}\n`);
  if (behind.length === 0) return 0;
  throw new Fault('PROXY_BEHIND', 'unavailable', `applied, but not yet taken by ${behind.map((proxy) => proxy.instance).join(', ')}`, {
    hint: '`meshctl proxy status` tells more',
  });
}

const MAX_SHOWN = 20;

/** What the change does, before it is done. */
function planText(plan: PolicyDiff): string {
  const lines = [
    ...plan.widened.map((change) => `${paint('bad', '+ widened ')}  ${printChange(change)}`),
    ...plan.narrowed.map((change) => `${paint('good', '- narrowed')}  ${printChange(change)}`),
  ];
  const more = lines.length > MAX_SHOWN ? `  … and ${lines.length - MAX_SHOWN} more: \`meshctl policy diff\` shows all\n` : '';
  return `${lines
    .slice(0, MAX_SHOWN)
    .map((line) => `${line}\n`)
    .join('')}${more}${plan.widened.length} widened, ${plan.narrowed.length} narrowed\n`;
}

const printChange = ({ from, to, request }: PolicyDiff['widened'][number]): string =>
  `${from.label} -> ${to.label}  ${printRequest(request)}`;

function planBody(plan: PolicyDiff | undefined): object {
  const short = (changes: PolicyDiff['widened']): object[] =>
    changes.map(({ from, to, request }) => ({ from: from.label, to: to.label, request: printRequest(request) }));
  return plan === undefined ? {} : { widened: short(plan.widened), narrowed: short(plan.narrowed) };
}

function readAudit(input: Input): Audit {
  const value = input.options['audit'];
  if (value === undefined) return 'none';
  if (value === true) return 'default';
  if (value !== 'all') throw new Fault('USAGE', 'usage', `\`--audit=${String(value)}\` is not known: \`--audit\` or \`--audit=all\` is`);
  if (flag(input, 'yes')) return 'all';
  throw new Fault('USAGE', 'usage', '`--audit=all` lets everything with an identity pass, also past tier floors and `deny`', {
    hint: 'add --yes if that is meant',
  });
}

async function waitForProxies(mesh: MeshConnection, timeoutMs: number): Promise<ProxyItem[]> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const { proxies } = await mesh.request('proxy.status', null);
    const behind = proxies.filter((proxy) => !proxy.inSync);
    if (behind.length === 0 || Date.now() >= end) return behind;
    await new Promise((done) => setTimeout(done, LOOK_EVERY_MS));
  }
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? '?'}`;
  }
}
