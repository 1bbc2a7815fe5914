// The load of a benchmark, as a process of its own: runs one case against a port for some seconds and prints what came of it as JSON.
//   argv   case, port, seconds
import { connect as connectH2 } from 'node:http2';
import { connect, type Socket } from 'node:net';

export type LoadResult = { readonly requests: number; readonly latenciesMs: readonly number[]; readonly errors: number };

const [name = '', portText = '', secondsText = ''] = process.argv.slice(2);
const port = Number(portText);
const endAt = performance.now() + Number(secondsText) * 1000;
const latenciesMs: number[] = [];
let requests = 0;
let errors = 0;

const CLOSED: Record<string, { connections: number; path: string; fresh?: true }> = {
  'http1-32': { connections: 32, path: '/' },
  'http1-128': { connections: 128, path: '/' },
  'tcp-32': { connections: 32, path: '/' },
  'http1-1m': { connections: 8, path: '/1m' },
  connections: { connections: 16, path: '/', fresh: true },
};

/** Asks and waits for the whole answer, over and over; `onAnswer` says whether to go on on this connection. */
function client(path: string, onAnswer: (socket: Socket) => void): Socket {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  let wanted = -1;
  let have = 0;
  let head = '';
  socket.on('data', (bytes: Buffer) => {
    let at = 0;
    if (wanted < 0) {
      head += bytes.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      if (!head.startsWith('HTTP/1.1 200')) errors++;
      wanted = Number(/content-length: *(\d+)/i.exec(head)?.[1] ?? 0);
      at = bytes.length - (head.length - end - 4);
    }
    have += bytes.length - at;
    if (have < wanted) return;
    wanted = -1;
    have = 0;
    head = '';
    requests++;
    onAnswer(socket);
  });
  socket.on('error', () => {
    errors++;
  });
  socket.write(`GET ${path} HTTP/1.1\r\nHost: app\r\n\r\n`);
  return socket;
}

async function closed({ connections, path, fresh }: { connections: number; path: string; fresh?: true }): Promise<void> {
  const ask = `GET ${path} HTTP/1.1\r\nHost: app\r\n\r\n`;
  await Promise.all(
    Array.from(
      { length: connections },
      () =>
        new Promise<void>((done) => {
          const begin = (): void => {
            client(path, (socket) => {
              if (performance.now() < endAt && fresh === undefined) socket.write(ask);
              else {
                socket.destroy();
                if (performance.now() < endAt) begin();
                else done();
              }
            });
          };
          begin();
        }),
    ),
  );
}

/** 1,000 requests a second, one each millisecond, over ten connections. */
async function steady(): Promise<void> {
  const began: number[] = new Array<number>(10).fill(0);
  const idle: number[] = [];
  const sockets = began.map((_, i) =>
    client('/', () => {
      if (began[i] !== 0) latenciesMs.push(performance.now() - (began[i] ?? 0));
      idle.push(i);
    }),
  );
  const start = performance.now();
  for (let sent = 0; performance.now() < endAt; ) {
    const due = Math.floor(performance.now() - start);
    for (; sent < due && idle.length > 0; sent++) {
      const i = idle.shift() ?? 0;
      began[i] = performance.now();
      sockets[i]?.write('GET / HTTP/1.1\r\nHost: app\r\n\r\n');
    }
    await new Promise((done) => setTimeout(done, 1));
  }
  for (const socket of sockets) socket.destroy();
}

async function http2(): Promise<void> {
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      const session = connectH2(`http://127.0.0.1:${port}`);
      session.on('error', () => {
        errors++;
      });
      await Promise.all(
        Array.from({ length: 10 }, async () => {
          while (performance.now() < endAt) {
            await new Promise<void>((done) => {
              const stream = session.request({ ':path': '/' });
              stream.on('response', (headers) => {
                if (headers[':status'] !== 200) errors++;
              });
              stream.on('error', () => {
                errors++;
              });
              stream.on('close', done).resume();
            });
            requests++;
          }
        }),
      );
      session.destroy();
    }),
  );
}

const shape = CLOSED[name];
if (shape !== undefined) await closed(shape);
else if (name === 'steady-1k') await steady();
else await http2();
process.stdout.write(JSON.stringify({ requests, latenciesMs, errors } satisfies LoadResult));
process.exit(0);
