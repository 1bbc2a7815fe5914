// A trial: a whole mTLS connection to another proxy with the certificate in use, and an answer from it. A byte of an answer says that
// both sides have verified each other: in TLS 1.3 the handshake alone does not tell the client whether the server took its certificate.
import type { Trial, TrialTarget } from '../mesh/messages.ts';
import type { Credentials } from './credentials.ts';
import { connect } from './net/connect.ts';
import type { Revoked } from './revoked.ts';
import { ALPN, FRAME } from './tunnel/frame.ts';

const LIMIT_MS = 3000;
const AT_ONCE = 16;
// length 0, type PING, stream 0 (docs/tunnel.md).
const PING = Buffer.from([0, 0, 0, FRAME.ping, 0, 0, 0, 0]);

export async function tryAll(targets: readonly TrialTarget[], credentials: Credentials, revoked: Revoked): Promise<Trial[]> {
  const results: Trial[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    for (let i = next++; i < targets.length; i = next++) {
      const target = targets[i];
      if (target !== undefined) results.push(await tryOne(target, credentials, revoked));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return results;
}

async function tryOne({ instance, host, port, identity }: TrialTarget, credentials: Credentials, revoked: Revoked): Promise<Trial> {
  const key = `trial:${host}:${port}`;
  const destination = { key, host, port, instance, spiffeId: identity, connectTimeoutMs: LIMIT_MS, speaks: 'http1' } as const;
  const result = await connect(destination, credentials, revoked, [ALPN]);
  if ('refusal' in result) return { instance, reached: result.refusal === 'upstream_refused' ? 'nothing' : 'connection', why: result.why };
  const { socket } = result;
  return new Promise((resolve) => {
    const finish = (reached: Trial['reached'], why: string): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ instance, reached, why });
    };
    const timer = setTimeout(() => finish('handshake', `no answer within ${LIMIT_MS} ms`), LIMIT_MS);
    socket.once('data', () => finish('answer', ''));
    socket.once('error', (error) => finish('handshake', error.message));
    socket.once('end', () => finish('handshake', 'the connection was closed without an answer'));
    socket.once('close', () => finish('handshake', 'the connection was closed without an answer'));
    socket.write(PING);
  });
}
