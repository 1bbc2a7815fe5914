// `meshctl certs serve`: the bundle and the lists of revocations over HTTP, for other trust domains and tools. Nothing can be changed by it.
import { createServer as createHttp, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { resolve } from 'node:path';
import { Fault, messageOf } from '../../base/fault.ts';
import { spiffeBundle } from '../../certs/bundle.ts';
import { readCertificates } from '../../certs/files.ts';
import { exportKey } from '../../certs/key.ts';
import type { AuthorityConnection, Context, Input, Run } from '../context.ts';
import { textOption, withAuthority } from '../input.ts';
import { readBytes } from '../read-files.ts';
import { readKeyFile } from './secrets.ts';

const HEAD_LIMIT_MS = 5000;

export const run: Run = async (context, input) => {
  const { host, port } = addressOf(textOption(input, 'listen') ?? '127.0.0.1:0');
  const certFile = textOption(input, 'cert');
  const keyFile = textOption(input, 'key');
  if ((certFile === undefined) !== (keyFile === undefined)) throw new Fault('USAGE', 'usage', '--cert and --key belong together');
  if (certFile === undefined && !['127.0.0.1', '::1', 'localhost'].includes(host))
    throw new Fault('USAGE', 'usage', 'in clear it is served on loopback only', {
      hint: 'give --cert and --key: `certs issue NAME --kind server --dns HOST --out DIR`',
    });
  // Asked once before it listens: whoever has no authority hears of it now.
  await withAuthority(context, input, (authority) => authority.request('certs.bundle', null));
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    serve(context, input, request, response).catch((error: unknown) => {
      context.note(`meshctl: ${messageOf(error)}\n`);
      if (!response.headersSent) response.writeHead(503);
      response.end();
    });
  };
  const limits = { headersTimeout: HEAD_LIMIT_MS, requestTimeout: HEAD_LIMIT_MS, maxHeaderSize: 16_384 };
  const server =
    certFile === undefined || keyFile === undefined
      ? createHttp(limits, answer)
      : createHttps(
          {
            ...limits,
            cert: readBytes(context, resolve(context.cwd, certFile)),
            key: exportKey(await readKeyFile(context, input, keyFile)),
            minVersion: 'TLSv1.2',
          },
          answer,
        );
  await new Promise<void>((done, fail) => {
    server.once('error', (cause) =>
      fail(new Fault('PORT_UNUSABLE', 'conflict', `cannot listen on ${host}:${port}: ${messageOf(cause)}`, { cause })),
    );
    server.listen({ host, port }, done);
  });
  const bound = server.address();
  const base = `${certFile === undefined ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${typeof bound === 'object' ? bound?.port : port}`;
  context.print(`${base}/bundle.json  ${base}/bundle.pem  ${base}/crl/ISSUER.crl\n`);
  await context.interrupted;
  server.closeAllConnections();
  return 0;
};

function addressOf(text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) throw new Fault('USAGE', 'usage', `\`--listen ${text}\` is no HOST:PORT`);
  return { host: match[1] ?? match[2] ?? '', port };
}

async function serve(context: Context, input: Input, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const send = (type: string, body: string | Buffer): void => {
    response.writeHead(200, { 'content-type': type, 'cache-control': 'max-age=60', 'x-content-type-options': 'nosniff' });
    response.end(request.method === 'HEAD' ? undefined : body);
  };
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.writeHead(405, { allow: 'GET, HEAD' }).end();
    return;
  }
  const path = (request.url ?? '').split('?')[0] ?? '';
  const ask = <T>(use: (authority: AuthorityConnection) => Promise<T>): Promise<T> => withAuthority(context, input, use);
  if (path === '/bundle.json' || path === '/bundle.pem') {
    const { roots, sequence } = await ask((authority) => authority.request('certs.bundle', null));
    if (path === '/bundle.pem') send('application/x-pem-file', roots);
    else send('application/json', JSON.stringify(spiffeBundle(readCertificates(Buffer.from(roots)), sequence)));
    return;
  }
  const issuer = /^\/crl\/([a-z]+-\d+)\.crl$/.exec(path)?.[1];
  const { items } = issuer === undefined ? { items: [] } : await ask((authority) => authority.request('certs.lists', null));
  const found = items.find((each) => each.issuer === issuer);
  if (found === undefined) response.writeHead(404).end();
  else send('application/pkix-crl', Buffer.from(found.der, 'base64'));
}
