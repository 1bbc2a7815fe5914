// One proxy's session: who it is (token, or certificate and proof), what it has, what it sends.
//
//   hello(token) ─► known token, used for the first time ─► accepted
//   hello(svid)  ─► chain of ours, not expired ─► challenge ─► proof ─► accepted
//
// Nothing is sent and nothing is taken before the session is accepted.
import { randomBytes, verify, X509Certificate } from 'node:crypto';
import { Fault } from '../base/fault.ts';
import { sha256 } from '../base/hash.ts';
import { Pending } from '../base/pending.ts';
import { workloadKey } from '../certs/authority.ts';
import { readPeer } from '../certs/peer.ts';
import { makeSpiffeId, printSpiffeId } from '../mesh/identity.ts';
import { type FromProxy, type Hello, PROTOCOL, type ProxyAnswer, type ProxyCommand, type ToProxy } from '../mesh/messages.ts';
import type { ProxySnapshot } from '../mesh/snapshot.ts';
import { isSpan } from '../traces/span.ts';
import type { ControlPlane } from './plane.ts';

/** A proxy that asks for more certificates than this per minute is broken. */
const MAX_REQUESTS_PER_MINUTE = 60;
const COMMAND_LIMIT_MS = 5000;

export class ProxySession {
  readonly #plane: ControlPlane;
  readonly #send: (message: ToProxy) => void;
  readonly #close: () => void;
  readonly #needsToken: (proxyId: string) => void;
  #hello: Hello | undefined;
  #nonce: string | undefined;
  #claimed: X509Certificate | undefined;
  #accepted = false;
  #service = '';
  #requests: number[] = [];
  readonly #commands = new Pending<ProxyAnswer>();
  /** Sequence of the bundle that the proxy has in force. */
  trusts: number | undefined;
  #toldSequence: number | undefined;
  wantVersion: string | undefined;
  haveVersion: string | undefined;
  nack: { version: string; message: string } | undefined;
  readonly connectedAtMs: number;

  constructor(plane: ControlPlane, io: { send: (message: ToProxy) => void; close: () => void; needsToken: (proxyId: string) => void }) {
    this.#plane = plane;
    this.#send = io.send;
    this.#close = io.close;
    this.#needsToken = io.needsToken;
    this.connectedAtMs = plane.now();
  }

  get proxyId(): string {
    return this.#hello?.proxyId ?? '';
  }

  get service(): string {
    return this.#service;
  }

  get accepted(): boolean {
    return this.#accepted;
  }

  receive(message: FromProxy): void {
    if (message.kind === 'hello') return this.#greet(message);
    if (message.kind === 'proof') return this.#prove(message.signature);
    if (!this.#accepted) return this.#refuse('FEED_NOT_ACCEPTED', 'say hello first');
    switch (message.kind) {
      case 'ack':
        this.haveVersion = message.version;
        this.nack = undefined;
        return;
      case 'nack':
        this.nack = { version: message.version, message: message.fault.message };
        return;
      case 'csr':
        return this.#certify(message.request);
      case 'metrics': {
        const proxy = { id: this.proxyId, epoch: this.#hello?.epoch ?? '', service: this.#service, instance: this.proxyId };
        this.#plane.store.addSamples(proxy, this.#plane.now(), message.series);
        this.#plane.loads.addGauges(this.proxyId, message.gauges, this.#plane.now());
        return;
      }
      case 'spans':
        // A proxy speaks for itself only: the service and instance of its spans are its own.
        this.#plane.store.addSpans(
          message.spans.filter(isSpan).map((span) => ({ ...span, service: this.#service, instance: this.proxyId })),
        );
        return;
      case 'result':
        this.#commands.settle(message.id, message.answer);
        return;
      case 'tap':
        this.#plane.taps.push(message.tap, message.events, message.dropped);
        return;
      case 'trusts':
        this.trusts = message.sequence;
        return;
      case 'dropped':
        this.#plane.samplesDropped += message.count;
        return;
    }
  }

  /** Sends the snapshot unless the proxy has it or it is on its way. */
  offer(snapshot: ProxySnapshot): void {
    if (!this.#accepted || this.wantVersion === snapshot.version) return;
    this.wantVersion = snapshot.version;
    this.#send({ kind: 'snapshot', snapshot });
  }

  /** Tells whom to trust, unless that is so or on its way. */
  offerBundle(): void {
    const { state, roots } = this.#plane.office.authority;
    if (!this.#accepted || this.#toldSequence === state.sequence) return;
    this.#toldSequence = state.sequence;
    this.#send({ kind: 'bundle', sequence: state.sequence, roots, federation: this.#plane.federation });
  }

  /** What the proxy answers; undefined when it does not in time. */
  command(command: ProxyCommand, limitMs = COMMAND_LIMIT_MS): Promise<ProxyAnswer | undefined> {
    return this.#commands.ask(limitMs, (id) => this.#send({ kind: 'command', id, command }));
  }

  /** A command that has no answer. */
  tell(command: ProxyCommand): void {
    if (this.#accepted) this.#send({ kind: 'command', id: 0, command });
  }

  /** Its certificate is worth nothing any more: it proves with a new token who it is, and gets another for a new key. */
  reattest(): void {
    this.#needsToken(this.proxyId);
  }

  closed(): void {
    if (this.#accepted && this.#plane.sessions.get(this.proxyId) === this) this.#plane.sessions.delete(this.proxyId);
  }

  #greet(hello: Hello): void {
    if (this.#hello !== undefined) return this.#refuse('FEED_PROTOCOL', 'a second hello');
    if (hello.protocol > PROTOCOL)
      return this.#refuse('FEED_PROTOCOL', `protocol ${hello.protocol} is newer than this control plane's ${PROTOCOL}`);
    this.#hello = hello;
    const instance = this.#plane.instances.find((each) => each.instance === hello.proxyId);
    if (instance === undefined) return this.#refuse('FEED_UNKNOWN_PROXY', `no instance is called \`${hello.proxyId}\``);
    this.#service = instance.service;
    if (hello.token !== undefined) {
      const hash = sha256(hello.token);
      if (!instance.tokenHashes.includes(hash) || !this.#plane.store.useToken(hash)) {
        this.#needsToken(hello.proxyId);
        return this.#refuse('FEED_TOKEN', 'the join token is not known, or was used before');
      }
      return this.#accept();
    }
    const certificate = hello.svid === undefined ? undefined : this.#ownCertificate(hello.svid);
    if (certificate === undefined) {
      this.#needsToken(hello.proxyId);
      return this.#refuse('FEED_IDENTITY', 'neither a join token nor a valid certificate of this mesh for this instance');
    }
    this.#claimed = certificate;
    this.#nonce = randomBytes(32).toString('hex');
    this.#send({ kind: 'challenge', nonce: this.#nonce });
  }

  // Signed by an intermediate of ours, valid now, not revoked, for this service. Possession of the key is proved next.
  #ownCertificate(chain: string): X509Certificate | undefined {
    try {
      const leaf = new X509Certificate(chain);
      const peer = readPeer(leaf);
      const { office } = this.#plane;
      const { spec } = this.#plane.mesh;
      const now = this.#plane.now();
      const expected = printSpiffeId(makeSpiffeId(spec.trustDomain, spec.namespace, this.#service));
      if ('refused' in peer || printSpiffeId(peer.id) !== expected || office.authority.signerOf(leaf) === undefined) return undefined;
      if (office.isRevoked(peer.serial) || office.isBlocked(peer.printed)) return undefined;
      return leaf.validFromDate.getTime() <= now && now < peer.notAfterMs ? leaf : undefined;
    } catch {
      return undefined;
    }
  }

  #prove(signature: string): void {
    const { publicKey } = this.#claimed ?? {};
    if (this.#nonce === undefined || publicKey === undefined) return this.#refuse('FEED_PROTOCOL', 'a proof that nobody asked for');
    const holds = verify('sha256', Buffer.from(this.#nonce, 'utf8'), publicKey, Buffer.from(signature, 'base64'));
    this.#nonce = undefined;
    if (!holds) return this.#refuse('FEED_IDENTITY', 'the proof does not hold');
    this.#accept();
  }

  #accept(): void {
    this.#accepted = true;
    this.#plane.sessions.set(this.proxyId, this);
    this.offerBundle();
    const slice = this.#plane.sliceFor(this.#service, this.proxyId);
    if (slice !== undefined) this.offer(slice);
  }

  #certify(request: string): void {
    const { spec } = this.#plane.mesh;
    const now = this.#plane.now();
    this.#requests = this.#requests.filter((at) => now - at < 60_000);
    if (this.#requests.push(now) > MAX_REQUESTS_PER_MINUTE)
      return this.#refuse('CSR_TOO_MANY', `more than ${MAX_REQUESTS_PER_MINUTE} signing requests in a minute`);
    const id = makeSpiffeId(spec.trustDomain, spec.namespace, this.#service);
    try {
      const issued = this.#plane.office.issue({
        leaf: { kind: 'peer', id },
        publicKey: workloadKey(request),
        ttlMs: spec.certificateTtlMs,
        channel: 'proxy',
        service: this.#service,
        instance: this.proxyId,
      });
      this.#send({ kind: 'svid', chain: issued.chain });
    } catch (error) {
      const fault = Fault.from(error);
      // Until somebody allows it again the proxy is asked for nothing but patience.
      if (fault.code === 'CERT_BLOCKED') this.#send({ kind: 'withheld', fault: fault.toRecord() });
      else this.#refuse(fault.code, fault.message);
    }
  }

  #refuse(code: string, message: string): void {
    this.#send({ kind: 'refused', fault: new Fault(code, 'denied', message).toRecord() });
    this.#close();
  }
}
