// A PKCS#10 signing request (RFC 2986) for a P-256 key, written with a few lines of DER on node:crypto alone,
// because the proxy makes its request itself and loads no package.
//
// The request names nobody: the control plane knows from the join token, or from the proved certificate, whose key it is.
import { type KeyObject, sign } from 'node:crypto';
import { exportSpki } from './key.ts';

const SEQUENCE = 0x30;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const ATTRIBUTES = 0xa0;
// ecdsa-with-SHA256, 1.2.840.10045.4.3.2, without parameters (RFC 5758 section 3.2).
export const ECDSA_SHA256 = Buffer.from('300a06082a8648ce3d040302', 'hex');

/** DER of a signing request for the private key's public half. The key does not leave the process. */
export function makeSigningRequest(privateKey: KeyObject, publicKey: KeyObject): Buffer {
  const spki = exportSpki(publicKey);
  const info = der(
    SEQUENCE,
    Buffer.concat([der(INTEGER, Buffer.from([0])), der(SEQUENCE, Buffer.alloc(0)), spki, der(ATTRIBUTES, Buffer.alloc(0))]),
  );
  const signature = sign('sha256', info, privateKey);
  return der(SEQUENCE, Buffer.concat([info, ECDSA_SHA256, der(BIT_STRING, Buffer.concat([Buffer.from([0]), signature]))]));
}

function der(tag: number, content: Buffer): Buffer {
  const length = content.length;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content]);
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest >>>= 8) bytes.unshift(rest & 0xff);
  return Buffer.concat([Buffer.from([tag, 0x80 | bytes.length, ...bytes]), content]);
}
