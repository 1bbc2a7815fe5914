// Whom this proxy does not believe, though the certificate is unexpired. Asked at every accept, every connection and every stream.
import type { VerifiedPeer } from '../certs/peer.ts';
import type { Revocations } from '../mesh/snapshot.ts';

export class Revoked {
  #serials: ReadonlySet<string> = new Set();
  #identities: ReadonlySet<string> = new Set();
  #issuers: ReadonlySet<string> = new Set();

  use({ serials, identities, issuers }: Revocations): void {
    this.#serials = new Set(serials);
    this.#identities = new Set(identities);
    this.#issuers = new Set(issuers);
  }

  get isEmpty(): boolean {
    return this.#serials.size + this.#identities.size + this.#issuers.size === 0;
  }

  has({ serial, printed, issuer }: VerifiedPeer): boolean {
    if (this.isEmpty) return false;
    return this.#serials.has(serial) || this.#identities.has(printed) || (issuer !== undefined && this.#issuers.has(issuer));
  }
}
