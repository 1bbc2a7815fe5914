// `meshctl certs log`: what happened to certificates, and whether the record is whole.
import { Fault } from '../../base/fault.ts';
import { printable } from '../../base/printable.ts';
import type { RecordEvent, RecordRow } from '../../control/record.ts';
import { renderTable } from '../../views/table.ts';
import { SYMBOL } from '../../views/theme.ts';
import type { AuthorityConnection, Run } from '../context.ts';
import { document } from '../document.ts';
import { durationOption, flag, numberOption, outputOption, textOption, withAuthority } from '../input.ts';

const PAGE = 5000;
const KINDS = ['issued', 'revoked', 'blocked', 'allowed', 'authority', 'list'] as const;

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const limit = numberOption(input, 'limit', 'limit', 1, 1_000_000) ?? 100;
  const since = durationOption(input, 'since', 'since');
  const kind = textOption(input, 'kind');
  if (kind !== undefined && !KINDS.some((each) => each === kind))
    throw new Fault('USAGE', 'usage', `\`--kind ${kind}\` is not known: ${KINDS.join(', ')} are`);
  const word = textOption(input, 'match');
  const fromMs = since === undefined ? 0 : context.now() - since;
  const wanted = ({ atMs, event }: RecordRow): boolean =>
    atMs >= fromMs && (kind === undefined || event.kind === kind) && (word === undefined || JSON.stringify(event).includes(word));
  const expect = textOption(input, 'expect');
  return withAuthority(context, input, async (authority) => {
    const check = flag(input, 'check') || expect !== undefined;
    const checked = check ? await authority.request('certs.logCheck', expect === undefined ? {} : { expect }) : undefined;
    const { rows, head } = await readRows(authority, wanted, limit);
    const isWhole = checked === undefined || (checked.broken === null && (expect === undefined || checked.expected !== null));
    if (format === 'json')
      context.print(
        document('CertificateLog', {
          rows: rows.map(({ id, atMs, event, hash }) => ({ id, at: new Date(atMs).toISOString(), ...event, hash })),
          head,
          ...(checked === undefined ? {} : { check: { whole: isWhole, brokenAt: checked.broken, expectedAt: checked.expected } }),
        }),
      );
    else {
      context.print(
        renderTable(
          [{ name: 'ROW', align: 'right' }, { name: 'AT' }, { name: 'WHAT' }, { name: 'ABOUT' }],
          rows.map(({ id, atMs, event }) => [String(id), new Date(atMs).toISOString(), event.kind, printable(about(event))]),
        ),
      );
      if (checked !== undefined) context.print(checkText(checked, expect, isWhole));
    }
    return isWhole ? 0 : 1;
  });
};

/** The last `limit` rows that are wanted, oldest first. */
async function readRows(
  authority: AuthorityConnection,
  wanted: (row: RecordRow) => boolean,
  limit: number,
): Promise<{ rows: RecordRow[]; head: { id: number; hash: string } }> {
  let kept: RecordRow[] = [];
  for (let after = 0; ; ) {
    const { rows, head } = await authority.request('certs.log', { after, limit: PAGE });
    kept = [...kept, ...rows.filter(wanted)].slice(-limit);
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE) return { rows: kept, head };
    after = last.id;
  }
}

function about(event: RecordEvent): string {
  switch (event.kind) {
    case 'issued': {
      const { spiffeId, serial, channel, instance, issuer, notAfterMs } = event.issued;
      return `${spiffeId} ${serial} by ${issuer} for ${instance === '' ? channel : `${instance} (${channel})`}, until ${new Date(notAfterMs).toISOString()}`;
    }
    case 'revoked':
      return `${event.revoked.spiffeId} ${event.revoked.serial} (${event.revoked.reason})`;
    case 'blocked':
    case 'allowed':
      return event.spiffeId;
    case 'authority':
      return event.what;
    case 'list':
      return `the list of ${event.issuer} was signed`;
  }
}

function checkText(
  { broken, head, expected }: { broken: number | null; head: { id: number; hash: string }; expected: number | null },
  expect: string | undefined,
  isWhole: boolean,
): string {
  if (broken !== null) return `${SYMBOL.bad} the record was changed: row ${broken} does not follow from the one before it\n`;
  if (!isWhole) return `${SYMBOL.bad} no row has the hash ${expect}: rows were taken out, or it is another record\n`;
  const kept = expected === null ? '' : `; the hash that was kept is row ${expected}`;
  return `${SYMBOL.good} ${head.id} rows, each follows from the one before${kept}\n  hash of the last: ${head.hash} (keep it elsewhere: --expect HASH finds out whether the end was cut off)\n`;
}
