// `meshctl certs allow NAME`: ends what `certs revoke NAME` began. What was revoked stays so; the identity gets new certificates.
import { Fault } from '../../base/fault.ts';
import type { Run } from '../context.ts';
import { document } from '../document.ts';
import { durationOption, flag, outputOption, textArgument, withAuthority } from '../input.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const name = textArgument(input, 0) ?? '';
  const timeoutMs = durationOption(input, 'timeout', 'timeout') ?? 5000;
  if (flag(input, 'dryRun')) {
    const { blocked } = await withAuthority(context, input, (authority) => authority.request('certs.authority', null));
    const found = blocked.find((id) => id === name || id.endsWith(`/sa/${name}`));
    context.print(found === undefined ? `${name} is not blocked\n` : `would allow ${found}\n`);
    return found === undefined ? 1 : 0;
  }
  const { spiffeId, behind } = await withAuthority(context, input, (authority) => authority.request('certs.allow', { name, timeoutMs }));
  if (format === 'json') context.print(document('Allowance', { spiffeId, behind }));
  else context.print(`${spiffeId} allowed again; its proxies get new certificates\n`);
  if (behind.length === 0) return 0;
  throw new Fault('PROXY_BEHIND', 'unavailable', `allowed, but not yet taken by ${behind.join(', ')}`, {
    hint: '`meshctl proxy status` tells more',
  });
};
