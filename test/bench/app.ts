// The application behind the proxies of a benchmark: answers with 128 bytes, or with 1 MiB for `/1m`. HTTP/1.1 scanned by hand, or HTTP/2.
//   argv   http1 | http2
import { createServer as createH2Server, type ServerHttp2Stream } from 'node:http2';
import { createServer } from 'node:net';

const answer = (body: Buffer): Buffer => Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`), body]);
const SMALL = Buffer.alloc(128, 'x');
const LARGE = Buffer.alloc(1024 * 1024, 'x');
const small = answer(SMALL);
const large = answer(LARGE);

const http1 = createServer({ noDelay: true }, (socket) => {
  let rest = '';
  socket.on('error', () => undefined);
  socket.on('data', (bytes) => {
    rest += bytes.toString('latin1');
    for (let end = rest.indexOf('\r\n\r\n'); end >= 0; end = rest.indexOf('\r\n\r\n')) {
      socket.write(rest.startsWith('GET /1m') ? large : small);
      rest = rest.slice(end + 4);
    }
  });
});
const http2 = createH2Server();
http2.on('stream', (stream: ServerHttp2Stream) => {
  stream.on('error', () => undefined);
  stream.respond({ ':status': 200, 'content-length': String(SMALL.length) });
  stream.end(SMALL);
});

const server = process.argv[2] === 'http2' ? http2 : http1;
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.stdout.write(`${typeof address === 'object' && address !== null ? address.port : 0}\n`);
});
