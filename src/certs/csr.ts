// A PKCS#10 signing request (RFC 2986), written with a few lines of DER on node:crypto alone, because the proxy makes its request
// itself and loads no package.
//
// A workload's request names nobody: the control plane knows from the join token, or from the proved certificate, whose key it is.
import { type KeyObject, sign } from 'node:crypto';
import { exportSpki, keyTypeOf } from './key.ts';

const SEQUENCE = 0x30;
const SET = 0x31;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const UTF8 = 0x0c;
const ATTRIBUTES = 0xa0;
// 2.5.4.3, commonName.
const COMMON_NAME = Buffer.from('0603550403', 'hex');
// Each with its hash: RFC 5758 section 3.2, RFC 4055 section 5 (with NULL), RFC 8410 section 6.
const ALGORITHMS = {
  ec256: ['300a06082a8648ce3d040302', 'sha256'],
  ec384: ['300a06082a8648ce3d040303', 'sha384'],
  rsa: ['300d06092a864886f70d01010b0500', 'sha256'],
  ed25519: ['300506032b6570', null],
} as const;

/** DER of a signing request for the private key's public half, with a common name if one is given. The key does not leave the process. */
export function makeSigningRequest(privateKey: KeyObject, publicKey: KeyObject, commonName?: string): Buffer {
  const type = keyTypeOf(privateKey) ?? 'p256';
  const [algorithm, hash] = ALGORITHMS[type === 'p256' ? 'ec256' : type === 'p384' ? 'ec384' : type === 'ed25519' ? type : 'rsa'];
  const name =
    commonName === undefined
      ? Buffer.alloc(0)
      : der(SET, der(SEQUENCE, Buffer.concat([COMMON_NAME, der(UTF8, Buffer.from(commonName, 'utf8'))])));
  const info = der(
    SEQUENCE,
    Buffer.concat([der(INTEGER, Buffer.from([0])), der(SEQUENCE, name), exportSpki(publicKey), der(ATTRIBUTES, Buffer.alloc(0))]),
  );
  const signature = sign(hash, info, privateKey);
  return der(SEQUENCE, Buffer.concat([info, Buffer.from(algorithm, 'hex'), der(BIT_STRING, Buffer.concat([Buffer.from([0]), signature]))]));
}

function der(tag: number, content: Buffer): Buffer {
  const length = content.length;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content]);
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest >>>= 8) bytes.unshift(rest & 0xff);
  return Buffer.concat([Buffer.from([tag, 0x80 | bytes.length, ...bytes]), content]);
}
