// `meshctl policy apply FILE…`: lint against the running mesh, make a revision, wait until every proxy enforces it.
import { userInfo } from 'node:os';
import { Fault } from '../../base/fault.ts';
import { reaches } from '../../base/finding.ts';
import type { ProxyItem } from '../../control/admin.ts';
import { renderFindings, summarize } from '../../views/report/table.ts';
import type { MeshConnection, Run } from '../context.ts';
import { document } from '../document.ts';
import { durationOption, flag, listArgument, outputOption, textOption, withMesh } from '../input.ts';
import { readTexts } from '../read-files.ts';

const LOOK_EVERY_MS = 20;

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const files = readTexts(context, listArgument(input, 0));
  const timeoutMs = durationOption(input, 'timeout', 'timeout') ?? 5000;
  const dryRun = flag(input, 'dryRun');
  return withMesh(context, input, async (mesh) => {
    const { findings } = await mesh.request('policy.lint', { files });
    if (format === 'table' && findings.length > 0) context.note(`${renderFindings(findings)}\n`);
    const refused = reaches(findings, 'error');
    if (refused || dryRun) {
      if (format === 'json') context.print(document('PolicyApplied', { applied: false, dryRun, findings }));
      else context.print(refused ? `not applied: ${summarize(findings)}\n` : `would be applied: ${summarize(findings)}\n`);
      return refused ? 1 : 0;
    }
    const applied = await mesh.request('policy.apply', { files, user: userName(), message: textOption(input, 'message') ?? '' });
    const behind = applied.changed ? await waitForProxies(mesh, timeoutMs) : [];
    if (format === 'json')
      context.print(
        document('PolicyApplied', {
          applied: true,
          changed: applied.changed,
          revision: applied.revision,
          proxiesBehind: behind.map((proxy) => proxy.instance),
          findings,
        }),
      );
    else context.print(applied.changed ? `policy/${applied.revision} applied\n` : `policy/${applied.revision} unchanged\n`);
    if (behind.length === 0) return 0;
    throw new Fault('PROXY_BEHIND', 'unavailable', `applied, but not yet taken by ${behind.map((proxy) => proxy.instance).join(', ')}`, {
      hint: '`meshctl proxy status` tells more',
    });
  });
};

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
