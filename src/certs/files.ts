// Files of certificates, CRLs and bundles → what is in them, or why they cannot be read.
import { parsePem } from './pem.ts';
import { type Certificate, MAX_CERTIFICATE_BYTES, type RevocationList, readCertificate, readRevocationList } from './x509/read.ts';

/** Certificates of one file. */
const MAX_CERTIFICATES = 20;

/** Every certificate of a file, PEM blocks or one DER, in their order. Throws TypeError with the reason, and which of them it is about. */
export function readCertificates(bytes: Buffer): Certificate[] {
  return readAll(bytes, 'CERTIFICATE', MAX_CERTIFICATES, (der) => {
    if (der.length > MAX_CERTIFICATE_BYTES) throw new TypeError(`it is longer than ${MAX_CERTIFICATE_BYTES} bytes`);
    return readCertificate(der);
  });
}

/** Every list of revocations of a file. Throws TypeError as above. */
export function readRevocationLists(bytes: Buffer): RevocationList[] {
  return readAll(bytes, 'X509 CRL', MAX_CERTIFICATES, readRevocationList);
}

function readAll<T>(bytes: Buffer, label: string, max: number, read: (der: Buffer) => T): T[] {
  const isDer = bytes[0] === 0x30;
  const blocks = isDer ? [bytes] : parsePem(bytes.toString('latin1')).flatMap((block) => (block.label === label ? [block.der] : []));
  if (blocks.length === 0) throw new TypeError(`it holds no \`${label}\``);
  if (blocks.length > max) throw new TypeError(`it holds ${blocks.length} of them, and ${max} are read at most`);
  return blocks.map((der, i) => {
    try {
      return read(der);
    } catch (error) {
      throw new TypeError(`${blocks.length > 1 ? `number ${i + 1}: ` : ''}${error instanceof Error ? error.message : 'unreadable'}`);
    }
  });
}
