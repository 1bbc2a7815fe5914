// `meshctl certs inspect FILE…`
import { Fault } from '../../base/fault.ts';
import { printable } from '../../base/printable.ts';
import { type CertificateDescription, describeFile } from '../../certs/describe.ts';
import { paint, SYMBOL } from '../../views/theme.ts';
import type { Run } from '../context.ts';
import { document } from '../document.ts';
import { listArgument, outputOption } from '../input.ts';
import { readBytes } from '../read-files.ts';

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const items = listArgument(input, 0).flatMap((file) => {
    const found = describeFile(readBytes(context, file), context.now());
    if (found.length === 0) throw new Fault('CERT_UNREADABLE', 'usage', `\`${file}\` holds no PEM block and is no DER certificate`);
    return found.map((item) => ({ file, ...item }));
  });
  if (format === 'json') {
    context.print(document('Inspection', { items }));
    return items.every((item) => item.type !== 'unreadable') ? 0 : 2;
  }
  for (const item of items) {
    context.print(
      `${paint('strong', printable(item.file))}: ${item.type === 'certificate' ? 'certificate' : printable(item.type === 'private-key' ? `private key, ${item.description}` : item.description)}\n`,
    );
    if (item.type === 'certificate') for (const [name, value] of lines(item)) context.print(`  ${name.padEnd(12)} ${printable(value)}\n`);
  }
  return items.every((item) => item.type !== 'unreadable') ? 0 : 2;
};

function lines(item: CertificateDescription): [string, string][] {
  return [
    ['subject', item.subject === '' ? '(empty)' : item.subject],
    ['issuer', item.issuer],
    ['names', item.subjectAltNames.join(', ') || '(none)'],
    ['serial', item.serial],
    ['not before', item.notBefore],
    ['not after', `${item.notAfter} (${item.expired ? `${SYMBOL.bad} expired` : `${item.lifeLeftPercent}% of its life left`})`],
    ['authority', item.ca ? `yes${item.pathLength === null ? '' : `, path length ${item.pathLength}`}` : 'no'],
    ['usage', [...item.keyUsage, ...item.extendedKeyUsage].join(', ') || '(none)'],
    ['key', item.publicKey],
    ['sha-256', item.fingerprintSha256],
  ];
}
