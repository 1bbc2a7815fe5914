// The proxy's key and certificate: made here, renewed here, never written anywhere.
//
//   request()  ─► a fresh P-256 key and its signing request
//   load()     ─► the files of a proxy without a control plane
//   accept()   ─► the chain that came back becomes current, with the key it was asked for; generation counts up
//
// INVARIANT: the private key leaves this file only as an argument to node:tls in this process.
import { constants, createPrivateKey, type KeyObject, sign, X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { Fault, messageOf } from '../base/fault.ts';
import { makeSigningRequest } from '../certs/csr.ts';
import { exportKey, keyPair } from '../certs/key.ts';
import { type Peer, readPeer, type VerifiedPeer } from '../certs/peer.ts';
import { BACKDATE_MS } from '../certs/profile.ts';
import { renewalDueAt } from '../certs/renewal.ts';
import type { ForeignBundle } from '../mesh/messages.ts';

/** Certificates between a leaf and its root that are looked at. */
const MAX_CHAIN = 10;

export interface Current {
  readonly generation: number;
  /** PEM, leaf first. */
  readonly chain: string;
  readonly serial: string;
  readonly notAfterMs: number;
  readonly renewAtMs: number;
  readonly clientContext: SecureContext;
  readonly serverOptions: SecureContextOptions;
}

export class Credentials {
  #pending: KeyObject | undefined;
  #key: KeyObject | undefined;
  #roots: readonly string[] = [];
  #federation: readonly ForeignBundle[] = [];
  /** By trust domain: whose signature makes an identity of it. */
  #anchors: ReadonlyMap<string, readonly X509Certificate[]> = new Map();
  #current: Current | undefined;
  #generation = 0;
  readonly #onChange: (current: Current) => void;

  constructor(onChange: (current: Current) => void) {
    this.#onChange = onChange;
  }

  get current(): Current | undefined {
    return this.#current;
  }

  /** DER of a signing request for a new key. Asking again before the answer replaces the key that was asked for. */
  request(): Buffer {
    const { privateKey, publicKey } = keyPair();
    this.#pending = privateKey;
    return makeSigningRequest(privateKey, publicKey);
  }

  /** New trust anchors: connections made from here on are verified against them. */
  trust(roots: readonly string[], federation: readonly ForeignBundle[] = []): void {
    if (JSON.stringify([roots, federation]) === JSON.stringify([this.#roots, this.#federation])) return;
    this.#roots = roots;
    this.#federation = federation;
    if (this.#current !== undefined && this.#key !== undefined) this.#install(this.#current.chain, this.#key);
  }

  /** The chain that was issued for the pending request. False when it does not belong to that key: it is not taken. */
  accept(chain: string): boolean {
    const key = this.#pending;
    if (key === undefined) return false;
    const leaf = new X509Certificate(chain);
    if (!leaf.checkPrivateKey(key)) return false;
    this.#pending = undefined;
    this.#install(chain, key);
    return true;
  }

  /** A key, chain and trust anchors that others made (PEM). Throws PROXY_IDENTITY when they do not belong together. */
  load(chain: string, keyPem: string, roots: readonly string[]): void {
    try {
      const key = createPrivateKey(keyPem);
      if (!new X509Certificate(chain).checkPrivateKey(key)) throw new Error('the key does not belong to the certificate');
      if (roots.length === 0) throw new Error('the bundle holds no certificate');
      for (const root of roots) new X509Certificate(root);
      this.#roots = roots;
      this.#install(chain, key);
    } catch (cause) {
      throw new Fault('PROXY_IDENTITY', 'config', `the proxy's identity is unusable: ${messageOf(cause)}`, { cause });
    }
  }

  /** Who proved to be at the other end: the handshake found a path to a root, and it is one of the identity's own trust domain. */
  verifiedPeer(certificate: X509Certificate | undefined): Peer {
    const peer = readPeer(certificate);
    if ('refused' in peer || certificate === undefined) return peer;
    const anchors = this.#anchors.get(peer.id.trustDomain);
    if (anchors === undefined) return { refused: `nobody is trusted for trust domain ${peer.id.trustDomain}` };
    // With the roots of one trust domain alone the handshake has answered that already.
    if (this.#anchors.size === 1) return peer;
    for (let top: X509Certificate | undefined = certificate, i = 0; top !== undefined && i < MAX_CHAIN; top = top.issuerCertificate, i++)
      for (const root of anchors) if (top.checkIssued(root) && top.verify(root.publicKey)) return { ...peer, anchor: root.fingerprint256 };
    return { refused: `${peer.printed} is not vouched for by a root of its own trust domain` };
  }

  /** Whether somebody who was believed still would be, now that whom to trust has changed. */
  stillTrusts({ id, anchor }: VerifiedPeer): boolean {
    const anchors = this.#anchors.get(id.trustDomain);
    return anchors !== undefined && (anchor === undefined || anchors.some(({ fingerprint256 }) => fingerprint256 === anchor));
  }

  /** Proves possession of the current key to the control plane. */
  proveOver(nonce: string): string | undefined {
    return this.#key === undefined ? undefined : sign('sha256', Buffer.from(nonce, 'utf8'), this.#key).toString('base64');
  }

  #install(chain: string, key: KeyObject): void {
    const leaf = new X509Certificate(chain);
    const pem = exportKey(key);
    const own = readPeer(leaf);
    const foreign = this.#federation.flatMap((each) => each.roots);
    const parsed = (roots: readonly string[]): X509Certificate[] => roots.map((root) => new X509Certificate(root));
    this.#anchors = new Map([
      ...this.#federation.map(({ trustDomain, roots }) => [trustDomain, parsed(roots)] as const),
      ...('refused' in own ? [] : [[own.id.trustDomain, parsed(this.#roots)] as const]),
    ]);
    const shared: SecureContextOptions = {
      key: pem,
      cert: chain,
      ca: [...this.#roots, ...foreign],
      minVersion: 'TLSv1.3',
      maxVersion: 'TLSv1.3',
    };
    this.#key = key;
    const notAfterMs = leaf.validToDate.getTime();
    this.#generation++;
    this.#current = {
      generation: this.#generation,
      chain,
      serial: leaf.serialNumber.toLowerCase(),
      notAfterMs,
      renewAtMs: renewalDueAt(leaf.validFromDate.getTime() + BACKDATE_MS, notAfterMs, Math.random()),
      clientContext: createSecureContext(shared),
      // Without tickets nobody resumes a session that an earlier certificate or trust opened.
      serverOptions: { ...shared, secureOptions: constants.SSL_OP_NO_TICKET },
    };
    this.#onChange(this.#current);
  }
}
