// `meshctl certs crl`: the lists of revocations, one an issuer, as PEM or as files.
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Fault, messageOf } from '../../base/fault.ts';
import { signRevocations } from '../../certs/authority.ts';
import { printPem } from '../../certs/pem.ts';
import { writeAtomic } from '../../platform/node/files.ts';
import type { AuthorityConnection, Context, Input, Run } from '../context.ts';
import { document } from '../document.ts';
import { flag, outputOption, textOption, withAuthority } from '../input.ts';
import { rootKey } from './secrets.ts';

/** A root's list is signed by hand: it is good for a year. */
export const ROOT_LIST_LIFE_MS = 365 * 24 * 3_600_000;

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['pem', 'json']);
  const { items } = await withAuthority(context, input, async (authority) => {
    if (flag(input, 'signRoot')) await signRootLists(context, input, authority);
    return authority.request('certs.lists', null);
  });
  const out = textOption(input, 'out');
  if (out !== undefined) {
    const directory = resolve(context.cwd, out);
    try {
      mkdirSync(directory, { recursive: true });
      for (const { issuer, der } of items) writeAtomic(join(directory, `${issuer}.crl`), Buffer.from(der, 'base64'), 0o644);
    } catch (cause) {
      throw new Fault('FILE_UNWRITABLE', 'usage', `cannot write to ${directory}: ${messageOf(cause)}`, { cause });
    }
  }
  if (format === 'json') context.print(document('RevocationLists', { items }));
  else if (out !== undefined)
    for (const { issuer, revoked, nextUpdate } of items)
      context.print(`${join(out, `${issuer}.crl`)}  ${revoked} revoked, next update ${nextUpdate}\n`);
  else for (const { der } of items) context.print(printPem('X509 CRL', Buffer.from(der, 'base64')));
  return 0;
};

/** Signs the list of each root whose key is at hand or named. */
export async function signRootLists(context: Context, input: Input, authority: AuthorityConnection): Promise<void> {
  const report = await authority.request('certs.authority', null);
  for (const root of report.certificates.filter(({ kind }) => kind === 'root')) {
    const key = await rootKey(context, input, report.directory, root.name);
    const template = await authority.request('certs.listTemplate', { root: root.name, lifeMs: ROOT_LIST_LIFE_MS });
    const der = signRevocations(root.certificate, key, template);
    await authority.request('certs.listTake', { root: root.name, der: der.toString('base64') });
  }
}
