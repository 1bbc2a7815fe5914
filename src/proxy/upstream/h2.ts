// HTTP/2 to an application, or to a peer that speaks no tunnel (RFC 9113): one connection carries many requests.
import { type Fields, fieldOf } from '../codec/fields.ts';
import type { Framing } from '../codec/h1/framing.ts';
import type { Block } from '../codec/h2/hpack.ts';
import { MAX_FIELDS, POOL_IDLE_MS } from '../codec/limits.ts';
import { H2Session, type H2Stream, type HeadKind } from '../h2/session.ts';
import type { Connected } from '../net/connect.ts';
import { isGrpc } from '../rescue.ts';
import { RequestStream } from './request-stream.ts';
import type { UpstreamConnection, UpstreamEvents, UpstreamRequest, UpstreamStream } from './stream.ts';

export class H2Connection implements UpstreamConnection {
  readonly connected: Connected;
  readonly #session: H2Session;
  /** Requests that were promised a stream and have not opened it yet. */
  #reserved = 0;

  /** `onGone` is called when it takes no new requests any more, and when it is closed. */
  constructor(connected: Connected, onGone: () => void) {
    this.connected = connected;
    this.#session = new H2Session(connected.socket, 'client', POOL_IDLE_MS, { onHead: readAnswer, onGoaway: onGone, onClosed: onGone });
  }

  get isUsable(): boolean {
    return this.#session.isOpen && Date.now() < this.connected.retireAtMs;
  }

  /** Promises a stream, which open() or giveBack() settles. False: the other end takes no more of them at once. */
  reserve(): boolean {
    if (this.#session.size + this.#reserved >= this.#session.maxStreams) return false;
    this.#reserved++;
    return true;
  }

  open(request: UpstreamRequest, events: UpstreamEvents): UpstreamStream {
    this.#reserved--;
    const { head, target, fields } = request;
    // A switch of protocols is no matter of HTTP/2: it is asked without, and the answer says so.
    const carried = new RequestStream({ ...request, upgrade: undefined }, events, this.connected.expiresAtMs);
    // `host` comes first.
    const pseudo = [':method', head.method, ':scheme', 'http', ':path', target, ':authority', fields[1] as string];
    const rest = fields.slice(2);
    if (isGrpc(fieldOf(fields, 'content-type'))) rest.push('te', 'trailers');
    carried.carrier = this.#session.open(pseudo, rest, carried.isEmpty, carried);
    return carried;
  }

  giveBack(): void {
    this.#reserved--;
  }

  /** Streams that are open finish; then the connection ends. */
  retire(): void {
    this.#session.retire();
  }

  close(): void {
    this.#session.close();
  }
}

const STATUS = /^[1-5][0-9]{2}$/;
const LENGTH = /^[0-9]{1,15}$/;
const NO_BODY: Framing = { kind: 'none' };
const CHUNKED: Framing = { kind: 'chunked' };

function readAnswer(stream: H2Stream, { fields: block, malformed, tooLarge }: Block, end: boolean): HeadKind {
  const [name, status = ''] = block;
  const fields: Fields = block.slice(2);
  if (malformed || tooLarge || name !== ':status' || !STATUS.test(status) || status === '101' || fields.length > MAX_FIELDS * 2)
    return 'malformed';
  let length: string | undefined;
  for (let i = 0; i < fields.length; i += 2) {
    if ((fields[i] as string).charCodeAt(0) === 0x3a) return 'malformed';
    if (fields[i] !== 'content-length') continue;
    if (length !== undefined || !LENGTH.test(fields[i + 1] as string)) return 'malformed';
    length = fields[i + 1];
  }
  const final = Number(status) >= 200;
  const framing: Framing = end || !final ? NO_BODY : length === undefined ? CHUNKED : { kind: 'length', length: Number(length) };
  stream.handler?.onHead({ status: Number(status), reason: '', minor: 1, fields }, framing);
  return final ? 'final' : 'interim';
}
