// P-256 keys: made and exported in one place.
import { generateKeyPairSync, type KeyObject } from 'node:crypto';

/** A fresh P-256 key pair. */
export function keyPair(): { privateKey: KeyObject; publicKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

/** PKCS#8 PEM of a private key: a secret. */
export function exportKey(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** DER SubjectPublicKeyInfo. */
export function exportSpki(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' });
}
