// PKCS#12 and PKCS#7: PEM in, PEM out.
import { printPem } from './pem.ts';
import { formatPkcs7, formatPkcs12, parsePkcs7, parsePkcs12 } from './x509/containers.ts';

/** Certificates and keys (PKCS#8) of a PKCS#12 as PEM. Throws TypeError, also when the passphrase does not open it. */
export function readPkcs12(der: Buffer, passphrase: string): { certificates: string[]; keys: string[] } {
  const { certificates, keys } = parsePkcs12(der, passphrase);
  return {
    certificates: certificates.map((each) => printPem('CERTIFICATE', each)),
    keys: keys.map((each) => printPem('PRIVATE KEY', each)),
  };
}

/** DER of a PKCS#12 with a key (PKCS#8 DER) and its chain, leaf first (DER). */
export function writePkcs12(key: Buffer, chain: readonly Buffer[], passphrase: string, name: string): Buffer {
  return formatPkcs12(key, chain, passphrase, name);
}

/** Certificates of a PKCS#7 as PEM. Throws TypeError. */
export function readPkcs7(der: Buffer): string[] {
  return parsePkcs7(der).map((each) => printPem('CERTIFICATE', each));
}

/** DER of a PKCS#7 that holds certificates (DER). */
export function writePkcs7(certificates: readonly Buffer[]): Buffer {
  return formatPkcs7(certificates);
}
