// `meshctl certs bundle set|list|show|delete|refresh`: whom to trust for the identities of other trust domains.
import { request } from 'node:https';
import { Fault, messageOf } from '../../base/fault.ts';
import { type ReadBundle, readPemBundle, readSpiffeBundle, spiffeBundle } from '../../certs/bundle.ts';
import { readCertificates } from '../../certs/files.ts';
import { printPem } from '../../certs/pem.ts';
import { namesOf } from '../../certs/verify.ts';
import type { FederatedDomain as Domain } from '../../control/office.ts';
import { isTrustDomain, parseSpiffeId } from '../../mesh/identity.ts';
import { renderTable } from '../../views/table.ts';
import type { AuthorityConnection, Context, Input } from '../context.ts';
import { document } from '../document.ts';
import { flag, outputOption, textOption, withAuthority } from '../input.ts';
import { readBytes } from '../read-files.ts';

const LIMIT_MS = 10_000;
const MAX_BYTES = 1024 * 1024;

type Verb = (context: Context, input: Input, words: readonly string[]) => Promise<number>;

export const VERBS: Readonly<Record<string, Verb>> = {
  set: async (context, input, [trustDomain = '', file]) => {
    if (!isTrustDomain(trustDomain)) throw usage(`\`${trustDomain}\` is no trust domain`, '`certs bundle set TRUST-DOMAIN FILE`');
    const endpoint = endpointOption(input);
    if (file === undefined && endpoint === null) throw usage('which bundle?', 'give a FILE, or --endpoint URL');
    const bundle = file === undefined && endpoint !== null ? await fetchBundle(trustDomain, endpoint, []) : readFile(context, file ?? '');
    return take(context, input, trustDomain, bundle, endpoint);
  },
  list: async (context, input) => {
    const format = outputOption(input, ['table', 'json']);
    const items = await withAuthority(context, input, domains);
    const rows = items.map(({ trustDomain, roots, sequence, endpoint, setAtMs, refreshHintSeconds }) => ({
      trustDomain,
      roots: roots.length,
      sequence,
      endpoint: endpoint?.url ?? null,
      setAt: new Date(setAtMs).toISOString(),
      notAfter: new Date(Math.min(...readCertificates(Buffer.from(roots.join(''))).map(({ notAfterMs }) => notAfterMs))).toISOString(),
      due: endpoint !== null && context.now() >= setAtMs + refreshHintSeconds * 1000,
    }));
    if (format === 'json') context.print(document('FederatedBundles', { items: rows }));
    else
      context.print(
        renderTable(
          [
            { name: 'TRUST-DOMAIN' },
            { name: 'ROOTS', align: 'right' },
            { name: 'SEQUENCE', align: 'right' },
            { name: 'ENDS' },
            { name: 'SET-AT' },
            { name: 'ENDPOINT' },
          ],
          rows.map((each) => [
            each.trustDomain,
            String(each.roots),
            each.sequence === null ? '-' : String(each.sequence),
            each.notAfter,
            each.setAt,
            each.endpoint === null ? '-' : `${each.endpoint}${each.due ? ' (due)' : ''}`,
          ]),
        ),
      );
    return 0;
  },
  show: async (context, input, [trustDomain = '']) => {
    const format = outputOption(input, ['pem', 'spiffe']);
    const found = find(await withAuthority(context, input, domains), trustDomain);
    if (format === 'pem') context.print(found.roots.join(''));
    else
      context.print(`${JSON.stringify(spiffeBundle(readCertificates(Buffer.from(found.roots.join(''))), found.sequence ?? 0), null, 2)}\n`);
    return 0;
  },
  delete: async (context, input, [trustDomain = '']) => {
    const { behind } = await withAuthority(context, input, (authority) =>
      authority.request('certs.federate', { trustDomain, domain: null }),
    );
    context.print(`trust domain ${trustDomain}: nobody is trusted for it any more\n`);
    return settled(behind);
  },
  refresh: async (context, input, [only]) => {
    const all = await withAuthority(context, input, domains);
    const meant = only === undefined ? all.filter(({ endpoint }) => endpoint !== null) : [find(all, only)];
    if (meant.length === 0) throw usage('no trust domain has an endpoint', '`certs bundle set TRUST-DOMAIN --endpoint URL`');
    let worst = 0;
    for (const { trustDomain, endpoint, roots } of meant) {
      if (endpoint === null) throw usage(`the bundle of ${trustDomain} has no endpoint`, 'set it again with --endpoint URL');
      try {
        worst = Math.max(worst, await take(context, input, trustDomain, await fetchBundle(trustDomain, endpoint, roots), endpoint));
      } catch (error) {
        // One that does not answer keeps what it had, and does not keep the others from being asked.
        if (meant.length === 1) throw error;
        context.note(`meshctl: ${trustDomain}: ${messageOf(error)}\n`);
        worst = 3;
      }
    }
    return worst;
  },
};

async function domains(authority: AuthorityConnection): Promise<readonly Domain[]> {
  return (await authority.request('certs.federation', null)).items;
}

function find(all: readonly Domain[], trustDomain: string): Domain {
  const found = all.find((each) => each.trustDomain === trustDomain);
  if (found !== undefined) return found;
  throw new Fault('BUNDLE_UNKNOWN', 'not-found', `there is no bundle for trust domain \`${trustDomain}\``, {
    hint: '`certs bundle list` shows them',
  });
}

async function take(
  context: Context,
  input: Input,
  trustDomain: string,
  bundle: ReadBundle,
  endpoint: Domain['endpoint'],
): Promise<number> {
  if (bundle.roots.length === 0 && !flag(input, 'force'))
    throw new Fault('BUNDLE_INVALID', 'usage', `the bundle of ${trustDomain} holds no root: nobody of it could be believed`, {
      hint: '`certs bundle delete` says so plainly',
    });
  const strange = bundle.roots.find((root) => namesOf(root).uris.some((uri) => uri !== `spiffe://${trustDomain}`));
  if (strange !== undefined)
    throw new Fault(
      'BUNDLE_INVALID',
      'usage',
      `a root in the bundle is that of ${namesOf(strange).uris.join(', ')}, not of ${trustDomain}`,
    );
  const { behind } = await withAuthority(context, input, (authority) =>
    authority.request('certs.federate', {
      trustDomain,
      force: flag(input, 'force'),
      domain: {
        roots: bundle.roots.map(({ der }) => printPem('CERTIFICATE', der)),
        sequence: bundle.sequence,
        endpoint,
        refreshHintSeconds: bundle.refreshHintSeconds,
      },
    }),
  );
  const count = `${bundle.roots.length} root${bundle.roots.length === 1 ? '' : 's'}`;
  context.print(`trust domain ${trustDomain}: ${count}${bundle.sequence === null ? '' : `, sequence ${bundle.sequence}`}\n`);
  return settled(behind);
}

function settled(behind: readonly string[]): number {
  if (behind.length === 0) return 0;
  throw new Fault('PROXY_BEHIND', 'unavailable', `done, but not yet taken by ${behind.join(', ')}`, {
    hint: '`meshctl proxy status` tells more',
  });
}

function readFile(context: Context, file: string): ReadBundle {
  const bytes = readBytes(context, file);
  try {
    return bytes.toString('utf8').trimStart().startsWith('{') ? readSpiffeBundle(bytes.toString('utf8')) : readPemBundle(bytes);
  } catch (cause) {
    throw new Fault('BUNDLE_INVALID', 'usage', `\`${file}\` is no bundle: ${messageOf(cause)}`, { cause });
  }
}

function endpointOption(input: Input): Domain['endpoint'] {
  const url = textOption(input, 'endpoint');
  const spiffeId = textOption(input, 'endpointId') ?? null;
  if (url === undefined) {
    if (spiffeId !== null) throw usage('--endpoint-id belongs to --endpoint', 'give both');
    return null;
  }
  if (!URL.canParse(url) || new URL(url).protocol !== 'https:' || new URL(url).username !== '')
    throw usage(`\`--endpoint ${url}\` is no https URL`, "a bundle that came in clear could be anybody's");
  if (spiffeId !== null && parseSpiffeId(spiffeId) === undefined)
    throw usage(`\`--endpoint-id ${spiffeId}\` is no SPIFFE id`, 'the id that the endpoint proves');
  return { url, spiffeId };
}

/** By the web's authorities, or (with an id) by the roots that are in force for the trust domain. */
function fetchBundle(
  trustDomain: string,
  { url, spiffeId }: NonNullable<Domain['endpoint']>,
  roots: readonly string[],
): Promise<ReadBundle> {
  const unreachable = (why: string, cause?: unknown): Fault =>
    new Fault('BUNDLE_ENDPOINT', 'unavailable', `the bundle of ${trustDomain} cannot be fetched from ${url}: ${why}`, { cause });
  if (spiffeId !== null && roots.length === 0)
    return Promise.reject(
      usage('an endpoint that proves a SPIFFE id is believed by a bundle that is there already', 'set it from a FILE first'),
    );
  return new Promise((resolve, reject) => {
    const call = request(
      url,
      {
        headers: { accept: 'application/json' },
        timeout: LIMIT_MS,
        signal: AbortSignal.timeout(LIMIT_MS),
        agent: false,
        ...(spiffeId === null
          ? {}
          : {
              ca: [...roots],
              checkServerIdentity: (_host, { subjectaltname }) =>
                subjectaltname === `URI:${spiffeId}` ? undefined : new Error(`it proves ${subjectaltname ?? 'nothing'}, not ${spiffeId}`),
            }),
      },
      (response) => {
        const parts: Buffer[] = [];
        let size = 0;
        response.on('data', (part: Buffer) => {
          size += part.length;
          if (size > MAX_BYTES) call.destroy(new Error(`it is longer than ${MAX_BYTES} bytes`));
          else parts.push(part);
        });
        response.on('end', () => {
          // A redirect could lead anywhere (SPIFFE Federation section 5.2.1.4 lets clients refuse them).
          if (response.statusCode !== 200) return reject(unreachable(`it answers ${response.statusCode}`));
          try {
            resolve(readSpiffeBundle(Buffer.concat(parts).toString('utf8')));
          } catch (cause) {
            reject(unreachable(messageOf(cause), cause));
          }
        });
      },
    );
    call.on('error', (cause) => reject(unreachable(messageOf(cause), cause)));
    call.end();
  });
}

function usage(what: string, hint: string): Fault {
  return new Fault('USAGE', 'usage', what, { hint });
}
