// What the certificates of this mesh look like, and how long they live.
// Sources: SPIFFE X509-SVID.md, RFC 5280 section 4.

const DAY_MS = 86_400_000;

/** Clocks of peers may differ: certificates are valid from this long before their issuance. */
export const BACKDATE_MS = 60_000;
export const ROOT_LIFE_MS = 3650 * DAY_MS;
export const INTERMEDIATE_LIFE_MS = 1825 * DAY_MS;

/** `peer` is an SVID; the other three leaves carry no SPIFFE id and are signed by an intermediate that may not name one. */
export type LeafKind = 'peer' | 'server' | 'client' | 'ingress';
export type CertificateKind = 'root' | 'intermediate' | LeafKind;
export const LEAF_KINDS: readonly LeafKind[] = ['peer', 'server', 'client', 'ingress'];

export interface Profile {
  readonly ca: boolean;
  readonly pathLength: number | undefined;
  readonly keyUsage: readonly ('digitalSignature' | 'keyCertSign' | 'cRLSign')[];
  readonly extendedKeyUsage: readonly ('serverAuth' | 'clientAuth')[];
}

const leaf = (...extendedKeyUsage: Profile['extendedKeyUsage']): Profile => ({
  ca: false,
  pathLength: undefined,
  keyUsage: ['digitalSignature'],
  extendedKeyUsage,
});

export const PROFILES: Readonly<Record<CertificateKind, Profile>> = {
  root: { ca: true, pathLength: 1, keyUsage: ['keyCertSign', 'cRLSign'], extendedKeyUsage: [] },
  intermediate: { ca: true, pathLength: 0, keyUsage: ['keyCertSign', 'cRLSign'], extendedKeyUsage: [] },
  peer: leaf('serverAuth', 'clientAuth'),
  server: leaf('serverAuth'),
  client: leaf('clientAuth'),
  ingress: leaf('serverAuth'),
};
