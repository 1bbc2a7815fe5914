// The chain that a TLS server shows, whether it is believed or not: nothing is sent to it but the handshake.
import type { X509Certificate } from 'node:crypto';
import { connect } from 'node:tls';
import { Fault, messageOf } from '../../base/fault.ts';

const TIMEOUT_MS = 5000;
const MAX_CHAIN = 20;

/** Leaf first. Throws SERVER_UNREACHABLE when nobody answers with a certificate in time. */
export function readLiveChain(host: string, port: number): Promise<X509Certificate[]> {
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: unknown): void => {
      socket.destroy();
      reject(new Fault('SERVER_UNREACHABLE', 'unavailable', `\`${host}:${port}\` shows no certificate: ${why}`, { cause }));
    };
    const isName = !/^[\d.]+$/.test(host) && !host.includes(':');
    const socket = connect({ host, port, rejectUnauthorized: false, ...(isName ? { servername: host } : {}) });
    socket.setTimeout(TIMEOUT_MS, () => fail(`no answer within ${TIMEOUT_MS / 1000} s`));
    // Servers that want a certificate of the caller end the connection after the handshake: what they showed is read by then.
    socket.once('secureConnect', () => {
      const chain: X509Certificate[] = [];
      for (let next = socket.getPeerX509Certificate(); next !== undefined && chain.length < MAX_CHAIN; next = next.issuerCertificate)
        chain.push(next);
      socket.destroy();
      if (chain.length === 0) fail('it showed none');
      else resolve(chain);
    });
    socket.once('error', (error) => fail(messageOf(error), error));
    socket.once('close', () => fail('it ended the connection'));
  });
}
