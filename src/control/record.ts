// Port CertificateRecord: what happened to certificates, in order, for ever. Implemented by platform/local/record.ts on SQLite.
// Rows are only added; each carries a hash over itself and the row before, so that none can be changed or taken out unseen.

import type { RevocationReason } from '../certs/authority.ts';
import type { LeafKind } from '../certs/profile.ts';

/** How a certificate came to its holder. A proxy's key never leaves it; `probe` is for `revoke --prove`. */
export type Channel = 'proxy' | 'workload-api' | 'file' | 'probe';

export interface IssuedRecord {
  readonly serial: string;
  /** The SPIFFE id; for a kind without one the common name. */
  readonly spiffeId: string;
  readonly service: string;
  /** Empty for certificates that were issued to a file. */
  readonly instance: string;
  readonly channel: Channel;
  readonly kind: LeafKind;
  readonly issuedAtMs: number;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Name and generation of the intermediate that signed. */
  readonly issuer: string;
  readonly generation: number;
  /** Serial of the certificate that this one takes the place of. */
  readonly replaces?: string;
}

export interface RevokedRecord {
  readonly serial: string;
  readonly spiffeId: string;
  /** Whose list it stands in. */
  readonly issuer: string;
  readonly reason: RevocationReason;
  readonly notAfterMs: number;
}

export type RecordEvent =
  | ({ readonly kind: 'issued' } & { readonly issued: IssuedRecord })
  | ({ readonly kind: 'revoked' } & { readonly revoked: RevokedRecord })
  /** No certificate for the identity until `allowed`. */
  | { readonly kind: 'blocked' | 'allowed'; readonly spiffeId: string }
  /** The authority itself: made, rotated, a list of revocations signed. */
  | { readonly kind: 'authority'; readonly what: string }
  | { readonly kind: 'list'; readonly issuer: string };

export interface RecordRow {
  readonly id: number;
  readonly atMs: number;
  readonly event: RecordEvent;
  /** SHA-256, lower-case hex. */
  readonly hash: string;
}

export interface CertificateRecord {
  /** Durable when it returns; gives the row's number. Throws when a serial was given before. */
  append(atMs: number, event: RecordEvent): number;
  /** The newest certificate of a proxy. */
  newestIssued(instance: string): IssuedRecord | undefined;
  issued(serial: string): IssuedRecord | undefined;
  /** Whatever has not expired at that moment, oldest first. */
  unexpired(nowMs: number): IssuedRecord[];
  /** Newest first by row; with when. */
  revoked(): (RevokedRecord & { readonly atMs: number })[];
  /** Identities that get no certificate. */
  blocked(): string[];
  /** In order, after a row number. */
  rows(after: number, limit: number): RecordRow[];
  /** The last row's number and hash. */
  head(): { readonly id: number; readonly hash: string };
  /** The row with this hash. */
  rowOf(hash: string): number | undefined;
  /** The first row whose hash does not fit; undefined when all do. */
  broken(): number | undefined;
  close(): void;
}
