// `meshctl certs bundle [FILE…]`: whom to trust, for other tools. Its verbs are about other trust domains: federation.ts.
import { Fault, messageOf } from '../../base/fault.ts';
import { spiffeBundle } from '../../certs/bundle.ts';
import { readCertificates } from '../../certs/files.ts';
import { printPem } from '../../certs/pem.ts';
import { type Certificate, describe } from '../../certs/verify.ts';
import type { Context, Input, Run } from '../context.ts';
import { listArgument, outputOption, withAuthority } from '../input.ts';
import { readBytes } from '../read-files.ts';

export const run: Run = async (context, input) => {
  const [verb = '', ...words] = listArgument(input, 0);
  const { VERBS } = await import('./federation.ts');
  const act = Object.hasOwn(VERBS, verb) ? VERBS[verb] : undefined;
  if (act !== undefined) return act(context, input, words);
  const format = outputOption(input, ['pem', 'spiffe']);
  const { roots, sequence } = await readRoots(context, input);
  if (format === 'spiffe') context.print(`${JSON.stringify(spiffeBundle(roots, sequence), null, 2)}\n`);
  else for (const { der } of roots) context.print(printPem('CERTIFICATE', der));
  return 0;
};

async function readRoots(context: Context, input: Input): Promise<{ roots: Certificate[]; sequence: number }> {
  const names = listArgument(input, 0);
  if (names.length === 0) {
    const { roots, sequence } = await withAuthority(context, input, (authority) => authority.request('certs.bundle', null));
    return { roots: readCertificates(Buffer.from(roots)), sequence };
  }
  const roots = names.flatMap((name) => {
    try {
      return readCertificates(readBytes(context, name));
    } catch (cause) {
      if (cause instanceof Fault) throw cause;
      throw new Fault('CERT_UNREADABLE', 'usage', `\`${name}\` cannot be read: ${messageOf(cause)}`, { cause });
    }
  });
  // A workload in a bundle would vouch for whatever it likes.
  const wrong = roots.find(({ isCa }) => isCa !== true);
  if (wrong !== undefined) throw new Fault('USAGE', 'usage', `${describe(wrong)} is no authority, and a bundle holds nothing else`);
  const seen = new Set<string>();
  const once = roots.filter(({ der }) => {
    const text = der.toString('base64');
    const isNew = !seen.has(text);
    seen.add(text);
    return isNew;
  });
  return { roots: once, sequence: 0 };
}
