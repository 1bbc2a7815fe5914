// The certificate that the other end of a connection proved → who it is. Used by the proxy: node:crypto only.
//
// The chain and its validity were checked by the TLS handshake against the mesh's roots; this adds the SPIFFE rules
// for a leaf (X509-SVID.md sections 2, 4 and 5.2): no CA, exactly one URI SAN, an id with a path.
import type { X509Certificate } from 'node:crypto';
import { parseSpiffeId, printSpiffeId, type SpiffeId } from '../mesh/identity.ts';

/** Who proved to be at the other end of a connection. */
export interface VerifiedPeer {
  readonly id: SpiffeId;
  /** The id as text. */
  readonly printed: string;
  /** Lower-case hex. */
  readonly serial: string;
  readonly notAfterMs: number;
  /** SHA-256 of the certificate that signed it, lower-case hex; undefined when a root did. */
  readonly issuer: string | undefined;
  /** SHA-256 of the root that vouches for it; undefined where all roots are of one trust domain. */
  readonly anchor?: string;
}

export type Peer = VerifiedPeer | { readonly refused: string };

export function readPeer(certificate: X509Certificate | undefined): Peer {
  if (certificate === undefined) return { refused: 'no certificate' };
  if (certificate.ca) return { refused: 'the certificate is an authority, not a workload' };
  const names = certificate.subjectAltName;
  // node:crypto quotes what could be mistaken for a separator; a SPIFFE id never needs that.
  if (names === undefined || names.includes('"')) return { refused: 'no readable URI SAN' };
  const uris = names.split(', ').filter((name) => name.startsWith('URI:'));
  if (uris.length !== 1) return { refused: `${uris.length} URI SANs where exactly one is allowed` };
  const id = parseSpiffeId((uris[0] ?? '').slice(4));
  if (id === undefined) return { refused: 'the URI SAN is no SPIFFE id' };
  return {
    id,
    printed: printSpiffeId(id),
    serial: certificate.serialNumber.toLowerCase(),
    notAfterMs: certificate.validToDate.getTime(),
    issuer: certificate.issuerCertificate?.fingerprint256.replaceAll(':', '').toLowerCase(),
  };
}
