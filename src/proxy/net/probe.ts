// Whether the own application answers: asked by a supervisor that cannot reach it, because it is in another network namespace.
import { connect } from 'node:net';

const LIMIT_MS = 1000;
const GOOD = /^HTTP\/1\.[01] [123]\d\d/;

/** Without a path a connection is enough; with one, an answer below 400. */
export function probe(port: number, path: string | undefined): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    let text = '';
    const finish = (ok: boolean): void => {
      socket.destroy();
      resolve(ok);
    };
    socket.setTimeout(LIMIT_MS, () => finish(false));
    socket.once('error', () => finish(false));
    socket.once('close', () => resolve(GOOD.test(text)));
    socket.once('connect', () => {
      if (path === undefined) finish(true);
      else socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
    });
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1', 0, 64);
      if (text.length >= 12) finish(GOOD.test(text));
    });
  });
}
