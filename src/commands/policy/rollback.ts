// `meshctl policy rollback [REVISION]`: an earlier revision again, as a new one.
import { Fault } from '../../base/fault.ts';
import type { Run } from '../context.ts';
import { textArgument, withMesh } from '../input.ts';
import { applyTo } from './apply.ts';

export const run: Run = async (context, input) => {
  const text = textArgument(input, 0);
  if (text !== undefined && !/^[1-9][0-9]{0,8}$/.test(text))
    throw new Fault('USAGE', 'usage', `\`${text}\` is no revision number`, { hint: '`meshctl policy history` lists them' });
  return withMesh(context, input, async (mesh) => {
    const history = await mesh.request('policy.history', null);
    const newest = history.at(-1);
    const revision = text === undefined ? history.at(-2)?.revision : Number(text);
    if (newest === undefined || revision === undefined)
      throw new Fault('POLICY_NONE', 'not-found', 'there is no earlier revision', { hint: '`meshctl policy history` lists them' });
    const { files, audit } = await mesh.request('policy.show', { revision });
    return applyTo(context, input, mesh, { files: [...files], audit, message: `back to policy/${revision}` });
  });
};
