// `meshctl policy show [REVISION]`: the files as they were given.
import { Fault } from '../../base/fault.ts';
import type { Run } from '../context.ts';
import { document } from '../document.ts';
import { outputOption, textArgument, withMesh } from '../input.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['yaml', 'json']);
  const text = textArgument(input, 0);
  if (text !== undefined && !/^[1-9][0-9]{0,8}$/.test(text))
    throw new Fault('USAGE', 'usage', `\`${text}\` is no revision number`, { hint: '`meshctl policy history` lists them' });
  const revision = await withMesh(context, input, (mesh) =>
    mesh.request('policy.show', text === undefined ? {} : { revision: Number(text) }),
  );
  if (format === 'json')
    context.print(document('PolicyRevision', { ...revision, appliedAt: new Date(revision.appliedAtMs).toISOString() }));
  else context.print(revision.files.map((file) => file.text.replace(/\n*$/, '\n')).join('---\n'));
  return 0;
};
