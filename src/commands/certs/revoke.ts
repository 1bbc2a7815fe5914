// `meshctl certs revoke SERIAL|NAME`: within a second no proxy believes it, and what it has open is cut.
//
//   SERIAL   one certificate; its proxy attests again at once, with a new key
//   NAME     every certificate of the identity, and none is issued until `certs allow NAME`
import { connect } from 'node:tls';
import { Fault } from '../../base/fault.ts';
import { REVOCATION_REASONS, type RevocationReason } from '../../certs/authority.ts';
import { makeSigningRequest } from '../../certs/csr.ts';
import { exportKey, keyPair } from '../../certs/key.ts';
import type { RevokedReport } from '../../control/certs.ts';
import type { Trial, TrialTarget } from '../../mesh/messages.ts';
import { renderTable } from '../../views/table.ts';
import { SYMBOL } from '../../views/theme.ts';
import type { AuthorityConnection, Run } from '../context.ts';
import { document } from '../document.ts';
import { durationOption, flag, outputOption, textArgument, textOption, withAuthority } from '../input.ts';

const SERIAL = /^(?:[0-9a-f]{2}:?){4,20}$/i;
const TRIAL_MS = 3000;

export const run: Run = async (context, input) => {
  const format = outputOption(input, ['table', 'json']);
  const what = textArgument(input, 0) ?? '';
  const reason = readReason(textOption(input, 'reason'));
  const timeoutMs = durationOption(input, 'timeout', 'timeout') ?? 5000;
  const prove = flag(input, 'prove');
  // No service name is that long and all hex; whoever has one writes NAMESPACE/NAME.
  const isSerial = SERIAL.test(what) && what.replaceAll(':', '').length >= 16;
  const subject = isSerial ? { serial: what.replaceAll(':', '').toLowerCase() } : { name: what };
  if (flag(input, 'dryRun')) {
    const { items } = await withAuthority(context, input, (authority) => authority.request('certs.list', null));
    const meant = items.filter((item) =>
      isSerial ? item.serial === subject.serial : item.spiffeId.endsWith(`/sa/${what}`) || item.spiffeId === what,
    );
    context.print(
      `would revoke ${meant.length} certificate${meant.length === 1 ? '' : 's'}: ${meant.map(({ serial }) => serial).join(', ')}\n`,
    );
    return 0;
  }
  const { report, trials } = await withAuthority(context, input, async (authority) => {
    const done = await authority.request('certs.revoke', { ...subject, reason, prove, timeoutMs });
    return { report: done, trials: prove ? (isSerial ? done.trials : await tryAsBlocked(authority, what)) : undefined };
  });
  const proof = trials === undefined ? undefined : judge(trials, isSerial);
  if (format === 'json') context.print(document('Revocation', { ...report, trials: undefined, ...(proof === undefined ? {} : { proof }) }));
  else {
    context.print(describe(report));
    if (proof !== undefined) context.print(proofText(proof));
  }
  if (report.behind.length > 0)
    throw new Fault('PROXY_BEHIND', 'unavailable', `revoked, but not yet taken by ${report.behind.join(', ')}`, {
      hint: 'they take it as soon as they reach the control plane; `meshctl proxy status` tells more',
    });
  return proof === undefined || proof.verdict === 'refused' ? 0 : proof.verdict === 'answered' ? 1 : 2;
};

function readReason(text: string | undefined): RevocationReason {
  if (text === undefined) return 'unspecified';
  const found = Object.keys(REVOCATION_REASONS).find((each) => each === text);
  if (found !== undefined) return found as RevocationReason;
  throw new Fault('USAGE', 'usage', `\`--reason ${text}\` is not known: ${Object.keys(REVOCATION_REASONS).join(', ')} are`);
}

function describe({ spiffeId, serials, reattesting, behind, proxies }: RevokedReport): string {
  const taken =
    proxies === 0 ? 'no mesh is running; the list of revocations says so' : `taken by ${proxies - behind.length} of ${proxies} proxies`;
  const what = spiffeId === null ? `certificate/${serials[0]} revoked` : `${spiffeId} blocked, ${serials.length} certificates revoked`;
  const then = reattesting.length === 0 ? '' : `; ${reattesting.join(', ')} gets another for a new key`;
  return `${what}; ${taken}${then}\n`;
}

interface Proof {
  readonly verdict: 'refused' | 'answered' | 'unknown';
  /** Who showed the certificate: a probe that was made for that, or its holder. */
  readonly by: 'probe' | 'holder';
  readonly proxies: readonly {
    readonly instance: string;
    readonly method: 'handshake' | 'verifier' | 'unreachable' | 'answered';
    readonly why: string;
  }[];
}

// A connection that ends in the handshake was refused by TLS; one that ends after it, by the proxy's own look at the certificate.
const METHOD = { nothing: 'unreachable', connection: 'handshake', handshake: 'verifier', answer: 'answered' } as const;

function judge(trials: readonly Trial[] | null, isSerial: boolean): Proof {
  const by = isSerial ? 'holder' : 'probe';
  const proxies = (trials ?? []).map(({ instance, reached, why }) => ({ instance, method: METHOD[reached], why }));
  const isAnswered = proxies.some(({ method }) => method === 'answered');
  const isKnown = proxies.length > 0 && proxies.every(({ method }) => method !== 'unreachable');
  return { verdict: isAnswered ? 'answered' : isKnown ? 'refused' : 'unknown', by, proxies };
}

function proofText({ verdict, by, proxies }: Proof): string {
  if (proxies.length === 0)
    return by === 'holder'
      ? '? not proved: the key of this certificate is with no proxy, so nobody can try it\n'
      : '? not proved: no proxy is there to try\n';
  const table = renderTable(
    [{ name: 'PROXY' }, { name: 'REFUSED-BY' }, { name: 'WHY' }],
    proxies.map(({ instance, method, why }) => [instance, { text: method, meaning: method === 'answered' ? 'bad' : 'plain' }, why]),
  );
  const end = {
    refused: `${SYMBOL.good} proved: no byte was answered`,
    answered: `${SYMBOL.bad} NOT refused everywhere`,
    unknown: '? not proved: a proxy could not be reached',
  };
  return `${table}${end[verdict]} (tried by ${by === 'probe' ? 'a probe under the block' : 'its holder'})\n`;
}

/** A certificate for the blocked identity, shown to every proxy. */
async function tryAsBlocked(authority: AuthorityConnection, name: string): Promise<Trial[]> {
  const { privateKey, publicKey } = keyPair();
  const { files, targets } = await authority.request('certs.probe', {
    name,
    request: makeSigningRequest(privateKey, publicKey).toString('base64'),
  });
  return Promise.all(targets.map((target) => tryOne(target, exportKey(privateKey), files.chain, files.bundle)));
}

function tryOne({ instance, host, port }: TrialTarget, key: string, chain: string, bundle: string): Promise<Trial> {
  return new Promise((done) => {
    let reached: Trial['reached'] = 'nothing';
    let why = '';
    const socket = connect(
      {
        host,
        port,
        key,
        cert: chain,
        ca: bundle,
        checkServerIdentity: () => undefined,
        minVersion: 'TLSv1.3',
        ALPNProtocols: ['http/1.1'],
      },
      () => {
        reached = 'handshake';
        socket.write('GET / HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n');
      },
    );
    const timer = setTimeout(() => socket.destroy(), TRIAL_MS);
    socket.once('connect', () => {
      reached = 'connection';
    });
    socket.once('data', () => {
      reached = 'answer';
      socket.destroy();
    });
    socket.once('error', (error) => {
      why = error.message;
    });
    socket.once('close', () => {
      clearTimeout(timer);
      done({ instance, reached, why: why || (reached === 'handshake' ? 'the connection was closed without an answer' : '') });
    });
  });
}
