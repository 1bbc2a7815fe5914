// `meshctl policy export --to istio|linkerd|kubernetes`: the native policy as resources of another mesh, and what they cannot say.
import { Fault } from '../../base/fault.ts';
import { printYaml } from '../../base/rewrite.ts';
import { type ExportTarget, exportPolicy } from '../../policy/export.ts';
import { ServiceResolver } from '../../policy/names.ts';
import { paint, SYMBOL } from '../../views/theme.ts';
import type { Run } from '../context.ts';
import { document } from '../document.ts';
import { listArgument, outputOption, textOption } from '../input.ts';
import { loadSubject } from './subject.ts';

const TARGETS: readonly ExportTarget[] = ['istio', 'linkerd', 'kubernetes'];
const LABEL = /^[A-Za-z0-9](?:[A-Za-z0-9./_-]{0,200}[A-Za-z0-9])?$/;

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['yaml', 'json']);
  const wanted = textOption(input, 'to');
  const target = TARGETS.find((each) => each === wanted);
  if (target === undefined) throw new Fault('USAGE', 'usage', `\`--to ${wanted ?? ''}\`: ${TARGETS.join(', ')} is wanted`);
  const label = textOption(input, 'label') ?? 'app';
  if (!LABEL.test(label)) throw new Fault('USAGE', 'usage', `\`--label ${label}\` is no label`);
  const subject = await loadSubject(context, input, listArgument(input, 0));
  const { names, mesh } = subject;
  const resolver = new ServiceResolver(names, mesh.trustDomain);
  const { resources, left, notes } = exportPolicy(target, subject.document, names, resolver, mesh, label, context.now());
  if (format === 'json') context.print(document('ExportedPolicy', { target, resources, left, notes }));
  else {
    context.print(printYaml(resources));
    for (const note of notes) context.note(`${paint('dim', 'i')} ${note}\n`);
    for (const { rule, place, what } of left) context.note(`${paint('warn', SYMBOL.warn)} ${place}  ${rule}: ${what}\n`);
    context.note(`${resources.length} resources; ${left.length} rules could not be carried over whole\n`);
  }
  return left.length > 0 ? 1 : 0;
};
