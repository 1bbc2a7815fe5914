// Keys: made and exported in one place.
import { createPrivateKey, generateKeyPair, generateKeyPairSync, type KeyObject } from 'node:crypto';

/** What an authority's keys may be; workloads have P-256. */
export const KEY_TYPES = ['p256', 'p384', 'rsa2048', 'rsa3072', 'rsa4096', 'ed25519'] as const;
export type KeyType = (typeof KEY_TYPES)[number];

export interface Keys {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** A fresh P-256 key pair. */
export function keyPair(): Keys {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

/** A fresh key pair of a type. RSA takes its time on another thread. */
export function makeKeys(type: KeyType): Promise<Keys> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, publicKey: KeyObject, privateKey: KeyObject): void =>
      error === null ? resolve({ publicKey, privateKey }) : reject(error);
    if (type === 'ed25519') generateKeyPair('ed25519', {}, done);
    else if (type === 'p256' || type === 'p384') generateKeyPair('ec', { namedCurve: type === 'p256' ? 'P-256' : 'P-384' }, done);
    else generateKeyPair('rsa', { modulusLength: Number(type.slice(3)) }, done);
  });
}

/** The type of a key; undefined for one that an authority may not have. */
export function keyTypeOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): KeyType | undefined {
  if (asymmetricKeyType === 'ed25519') return 'ed25519';
  if (asymmetricKeyType === 'ec') {
    const curve = asymmetricKeyDetails?.namedCurve;
    return curve === 'prime256v1' ? 'p256' : curve === 'secp384r1' ? 'p384' : undefined;
  }
  return KEY_TYPES.find((type) => asymmetricKeyType === 'rsa' && type === `rsa${asymmetricKeyDetails?.modulusLength}`);
}

/** PKCS#8 PEM of a private key: a secret. */
export function exportKey(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** DER SubjectPublicKeyInfo. */
export function exportSpki(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' });
}

/** Whether a PEM holds a key that wants a passphrase. */
export function isEncryptedKey(pem: string): boolean {
  return /-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(pem);
}

/** A private key from PEM; undefined when it cannot be read, or not with this passphrase. */
export function readKey(pem: string, passphrase?: string): KeyObject | undefined {
  try {
    return createPrivateKey({ key: pem, format: 'pem', ...(passphrase === undefined ? {} : { passphrase }) });
  } catch {
    return undefined;
  }
}
