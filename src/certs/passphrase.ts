// Keys at rest under a passphrase.
import type { KeyObject } from 'node:crypto';
import { printPem } from './pem.ts';
import { encryptPkcs8 } from './x509/build.ts';

/** PKCS#8 PEM under PBES2 (AES-256-CBC, PBKDF2 with 600,000 rounds of HMAC-SHA-256), which openssl and node:crypto read. */
export function encryptKey(key: KeyObject, passphrase: string): string {
  return printPem('ENCRYPTED PRIVATE KEY', encryptPkcs8(key.export({ type: 'pkcs8', format: 'der' }), passphrase));
}
