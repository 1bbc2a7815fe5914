// A client with a certificate of its own at a proxy's mTLS port.
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';

const LIMIT_MS = 3000;

/** What comes back for these bytes until the connection ends. */
export function present(
  port: number,
  credential: Partial<ConnectionOptions>,
  bytes = 'GET / HTTP/1.1\r\nHost: orders\r\nConnection: close\r\n\r\n',
): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...credential }, () => socket.write(bytes));
    socket.setTimeout(LIMIT_MS, () => socket.destroy());
    socket.on('data', (part) => {
      text += part.toString();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(text));
  });
}

export interface Open {
  readonly socket: TLSSocket;
  /** The next answer's bytes. */
  ask(): Promise<string>;
  /** Resolves when the other end is gone. */
  readonly closed: Promise<void>;
}

/** A connection that stays: one request after the other. */
export function keepOpen(port: number, credential: Partial<ConnectionOptions>): Promise<Open> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...credential }, () =>
      resolve({
        socket,
        closed,
        ask: () =>
          new Promise((done) => {
            socket.once('data', (part) => done(part.toString()));
            socket.once('close', () => done(''));
            socket.write('GET / HTTP/1.1\r\nHost: orders\r\n\r\n');
          }),
      }),
    );
    const closed = new Promise<void>((done) => socket.once('close', () => done()));
    socket.on('error', reject);
  });
}
