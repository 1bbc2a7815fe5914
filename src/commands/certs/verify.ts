// `meshctl certs verify CHAIN`: may this certificate be believed? Exit 0 yes, 1 no, 2 cannot tell.
import { Fault, messageOf } from '../../base/fault.ts';
import { printable } from '../../base/printable.ts';
import { readCertificates, readRevocationLists } from '../../certs/files.ts';
import { describe, hexOf, type VerifyResult, verify } from '../../certs/verify.ts';
import { isTrustDomain, parseSpiffeId } from '../../mesh/identity.ts';
import { paint, SYMBOL } from '../../views/theme.ts';
import type { Context, Input, Run } from '../context.ts';
import { document } from '../document.ts';
import { outputOption, repeatedOption, textArgument, textOption } from '../input.ts';
import { readBytes } from '../read-files.ts';

const PURPOSES = ['server', 'client', 'any'] as const;
const PROFILES = ['spiffe', 'rfc5280'] as const;
const MAX_CHAIN = 20;

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const purpose = choice(input, 'purpose', PURPOSES, 'any');
  const profile = choice(input, 'profile', PROFILES, 'spiffe');
  const identity = textOption(input, 'identity');
  if (identity !== undefined && parseSpiffeId(identity) === undefined)
    throw new Fault('USAGE', 'usage', `\`--identity ${identity}\` is no SPIFFE id`);
  const trustDomain = textOption(input, 'trustDomain');
  if (trustDomain !== undefined && !isTrustDomain(trustDomain))
    throw new Fault('USAGE', 'usage', `\`--trust-domain ${trustDomain}\` is no trust domain`);
  if (identity !== undefined && trustDomain !== undefined)
    throw new Fault('USAGE', 'usage', '`--identity` says the trust domain too: name one of them');
  const roots = read(context, input, 'roots', readCertificates);
  if (repeatedOption(input, 'roots').length === 0)
    throw new Fault('USAGE', 'usage', 'no root is named, and without one nothing is believed', { hint: '--roots FILE' });
  const [leaf, ...rest] = readOne(context, textArgument(input, 0) ?? '-', readCertificates);
  if (leaf === undefined) throw new Fault('USAGE', 'usage', 'a chain is wanted');
  const intermediates = [...rest, ...read(context, input, 'intermediates', readCertificates)];
  if (intermediates.length > MAX_CHAIN * 5)
    throw new Fault('USAGE', 'usage', `${intermediates.length} certificates are too many to look for a path among`);
  const dns = textOption(input, 'dns');
  const result = verify({
    leaf,
    intermediates,
    roots,
    revocations: read(context, input, 'crl', readRevocationLists),
    atMs: timeOf(context, textOption(input, 'at')),
    purpose,
    profile,
    ...(identity === undefined ? {} : { identity }),
    ...(trustDomain === undefined ? {} : { trustDomain }),
    ...(dns === undefined ? {} : { dns }),
  });
  if (format === 'json') context.print(document('CertificateVerification', body(result, profile)));
  else context.print(print(result));
  return result.verdict === 'valid' ? 0 : result.verdict === 'invalid' ? 1 : 2;
};

function choice<T extends string>(input: Input, name: string, allowed: readonly T[], otherwise: T): T {
  const text = textOption(input, name) ?? otherwise;
  const found = allowed.find((each) => each === text);
  if (found === undefined) throw new Fault('USAGE', 'usage', `\`--${name} ${text}\`: ${allowed.join(', ')} is wanted`);
  return found;
}

function timeOf(context: Context, text: string | undefined): number {
  if (text === undefined) return context.now();
  const ms = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) throw new Fault('USAGE', 'usage', `\`--at ${text}\` is no time`, { hint: 'write 2026-11-21T12:00:00Z' });
  return ms;
}

function read<T>(context: Context, input: Input, option: string, reader: (bytes: Buffer) => T[]): T[] {
  return repeatedOption(input, option).flatMap((name) => readOne(context, name, reader));
}

function readOne<T>(context: Context, name: string, reader: (bytes: Buffer) => T[]): T[] {
  try {
    return reader(readBytes(context, name));
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    throw new Fault('CERT_UNREADABLE', 'usage', `\`${name}\` cannot be read: ${messageOf(cause)}`, { cause });
  }
}

function body({ verdict, path, reasons }: VerifyResult, profile: string): object {
  return {
    verdict,
    profile,
    path: path.map((each) => ({
      name: describe(each),
      serial: hexOf(each.serial),
      notBefore: new Date(each.notBeforeMs).toISOString(),
      notAfter: new Date(each.notAfterMs).toISOString(),
    })),
    reasons: reasons.map(({ certificate, rule, what, verdict: kind }) => ({ certificate, rule, what, verdict: kind })),
  };
}

function print({ verdict, path, reasons }: VerifyResult): string {
  const mark =
    verdict === 'valid'
      ? paint('good', `${SYMBOL.good} valid`)
      : verdict === 'invalid'
        ? paint('bad', `${SYMBOL.bad} not valid`)
        : paint('warn', '? cannot tell');
  const lines = path.map(
    (each, i) =>
      `${'  '.repeat(i + 1)}${i === 0 ? '' : paint('dim', 'by ')}${printable(describe(each))}  ${paint('dim', `serial ${hexOf(each.serial)}, until ${new Date(each.notAfterMs).toISOString()}`)}`,
  );
  const why = reasons.map(
    ({ certificate, rule, what, verdict: kind }) =>
      `  ${paint(kind === 'invalid' ? 'bad' : 'warn', rule)}  ${printable(certificate)}: ${printable(what)}`,
  );
  return `${[mark, ...lines, ...why].join('\n')}\n`;
}
