// The shop's services, one role a process: `shop.js web`. Real HTTP and TCP servers that know nothing of the mesh but the
// addresses in their environment; they pass the trace headers on, as any application should.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createConnection, createServer as createTcpServer } from 'node:net';
import { messageOf } from '../base/fault.ts';
import { runLoad } from './load.ts';

const PASSED_ON = ['x-request-id', 'traceparent', 'tracestate', 'baggage'];

interface Reply {
  readonly status: number;
  readonly body: unknown;
}

type Handler = (request: IncomingMessage, headers: Record<string, string>) => Promise<Reply>;

function serve(handler: Handler): void {
  const server = createServer((request, response) => {
    void answer(handler, request, response);
  });
  server.listen(Number(process.env['PORT']), '127.0.0.1');
  process.on('SIGTERM', () => server.close(() => process.exit(0)));
}

async function answer(handler: Handler, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const headers: Record<string, string> = {};
  for (const name of PASSED_ON) {
    const value = request.headers[name];
    if (typeof value === 'string') headers[name] = value;
  }
  request.resume();
  try {
    const reply = request.url === '/healthz' ? { status: 200, body: { ok: true } } : await handler(request, headers);
    const text = `${JSON.stringify(reply.body)}\n`;
    response.writeHead(reply.status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text);
    if (request.url !== '/healthz')
      console.log(`${request.method} ${request.url} ${reply.status} request=${headers['x-request-id'] ?? '-'}`);
  } catch (error) {
    response.writeHead(502, { 'content-type': 'application/json' }).end(`${JSON.stringify({ error: messageOf(error) })}\n`);
    console.log(`${request.method} ${request.url} 502 ${messageOf(error)} request=${headers['x-request-id'] ?? '-'}`);
  }
}

async function call(url: string, method: string, headers: Record<string, string>): Promise<Reply> {
  const response = await fetch(url, { method, headers });
  const text = await response.text();
  return { status: response.status, body: parse(text) };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text.trim();
  }
}

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
const chance = (share: number): boolean => Math.random() < share;

function web(): void {
  serve(async (request, headers) => {
    const url = request.url ?? '/';
    if (url.startsWith('/checkout')) {
      const order = await call(`${process.env['ORDERS_URL']}/orders`, 'POST', headers);
      return { status: order.status === 200 ? 200 : 502, body: { checkout: order.body } };
    }
    if (url.startsWith('/product/')) {
      // By name, through HTTP_PROXY: the other way to find a service.
      const reviews = await call(`http://reviews/reviews/${encodeURIComponent(url.slice('/product/'.length))}`, 'GET', headers);
      return { status: 200, body: { product: url.slice('/product/'.length), reviews: reviews.body } };
    }
    return url === '/' ? { status: 200, body: { shop: 'open' } } : { status: 404, body: { error: 'no such page' } };
  });
}

function orders(): void {
  serve(async (_request, headers) => {
    const [stock, reserved] = await Promise.all([
      call(`${process.env['INVENTORY_URL']}/stock/42`, 'GET', headers),
      call(`${process.env['INVENTORY_URL']}/reserve`, 'POST', headers),
    ]);
    const paid = await call(`${process.env['PAYMENTS_URL']}/charge`, 'POST', headers);
    return { status: paid.status === 200 ? 200 : 502, body: { stock: stock.body, reserved: reserved.status === 200, paid: paid.body } };
  });
}

function inventory(): void {
  serve(async (request) => {
    // Now and then it is slow: something to find.
    await pause(chance(0.04) ? 150 + Math.random() * 200 : 1 + Math.random() * 6);
    return { status: 200, body: request.method === 'POST' ? { reserved: true } : { item: request.url, left: 7 } };
  });
}

function payments(): void {
  serve(async () => {
    await pause(2 + Math.random() * 5);
    // Now and then the card network is down.
    if (chance(0.03)) return { status: 503, body: { error: 'the card network does not answer' } };
    return { status: 200, body: { charged: true, entry: await book('charge 42') } };
  });
}

function reviews(): void {
  serve(async (_request, headers) => {
    // A low-trust service that wants to see who really bought: policy does not let it.
    const buyers = await call(`${process.env['PAYMENTS_URL']}/buyers`, 'GET', headers);
    return { status: 200, body: { stars: 4, verifiedBuyers: buyers.status === 200 ? buyers.body : `refused (${buyers.status})` } };
  });
}

// One line in, one line out.
function ledger(): void {
  let entries = 0;
  const server = createTcpServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', () => socket.write(`entry ${++entries}\n`));
  });
  server.listen(Number(process.env['PORT']), '127.0.0.1');
  process.on('SIGTERM', () => process.exit(0));
}

function book(line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host: process.env['LEDGER_HOST'] ?? '127.0.0.1', port: Number(process.env['LEDGER_PORT']) });
    socket.setTimeout(5000, () => socket.destroy(new Error('the ledger does not answer')));
    socket.once('connect', () => socket.write(`${line}\n`));
    socket.once('data', (bytes: Buffer) => {
      socket.end();
      resolve(bytes.toString().trim());
    });
    socket.once('error', reject);
    socket.once('end', () => reject(new Error('the ledger closed the connection')));
  });
}

const ROLES: Readonly<Record<string, () => void>> = {
  web,
  orders,
  inventory,
  payments,
  reviews,
  ledger,
  load: () => runLoad(process.argv[3] ?? '', Number(process.argv[4])),
};

const role = ROLES[process.argv[2] ?? ''];
if (role === undefined) {
  process.stderr.write(`no role \`${process.argv[2] ?? ''}\`: ${Object.keys(ROLES).join(', ')}\n`);
  process.exit(2);
}
role();
