// HTTP/2 to an application, or to a peer that speaks no tunnel (RFC 9113), on node:http2: one connection carries every request.
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectH2, constants, type OutgoingHttpHeaders } from 'node:http2';
import { type Fields, fieldOf } from '../codec/fields.ts';
import type { Framing } from '../codec/h1/framing.ts';
import { MAX_FIELDS, MAX_H2_STREAM_WINDOW_BYTES, MAX_HEAD_BYTES, POOL_IDLE_MS } from '../codec/limits.ts';
import { isGrpc } from '../rescue.ts';
import type { UpstreamConnection, UpstreamEvents, UpstreamRequest, UpstreamStream } from '../upstream/stream.ts';
import type { Connected } from './connect.ts';
import { fieldsFromRaw, headersFrom } from './h2-fields.ts';

export class H2Connection implements UpstreamConnection {
  readonly connected: Connected;
  readonly #session: ClientHttp2Session;
  #size = 0;
  #gone = false;

  /** `onGone` is called once, when it takes no new requests any more. */
  constructor(connected: Connected, onGone: () => void) {
    this.connected = connected;
    this.#session = connectH2('http://peer', {
      createConnection: () => connected.socket,
      settings: { enablePush: false, initialWindowSize: MAX_H2_STREAM_WINDOW_BYTES, maxHeaderListSize: MAX_HEAD_BYTES },
      maxHeaderListPairs: MAX_FIELDS + 8,
    });
    const gone = (): void => {
      if (this.#gone) return;
      this.#gone = true;
      onGone();
    };
    this.#session.on('error', gone);
    this.#session.on('goaway', gone);
    this.#session.on('close', gone);
    this.#session.setTimeout(POOL_IDLE_MS, () => {
      if (this.#size === 0) this.#session.close();
    });
  }

  get isUsable(): boolean {
    return !this.#gone && !this.#session.closed && !this.#session.destroyed && Date.now() < this.connected.retireAtMs;
  }

  open(request: UpstreamRequest, events: UpstreamEvents): UpstreamStream {
    this.#size++;
    return new H2Stream(this.#session, request, events, () => {
      this.#size--;
    });
  }

  giveBack(): void {}

  /** Streams that are open finish; then the connection ends. */
  retire(): void {
    this.#gone = true;
    this.#session.close();
  }

  close(): void {
    this.#gone = true;
    this.#session.destroy();
  }
}

class H2Stream implements UpstreamStream {
  readonly reused = false;
  readonly #events: UpstreamEvents;
  readonly #stream: ClientHttp2Stream | undefined;
  #trailers: Fields = [];
  #requestTrailers: Fields = [];
  #headSeen = false;
  #done = false;
  #ended = false;

  constructor(session: ClientHttp2Session, request: UpstreamRequest, events: UpstreamEvents, onOver: () => void) {
    this.#events = events;
    const endStream = request.framing.kind === 'none';
    const stream = begin(session, request, endStream);
    this.#stream = stream;
    if (stream === undefined) {
      onOver();
      queueMicrotask(() => this.#fail(true));
      return;
    }
    this.#ended = endStream;
    stream.on('wantTrailers', () => stream.sendTrailers(headersFrom(this.#requestTrailers)));
    stream.on('headers', (headers, _flags, raw) => {
      const fields = fieldsFromRaw(raw as unknown as string[]);
      const status = headers[':status'];
      if (!this.#done && fields !== undefined && typeof status === 'number' && status !== 101)
        events.onInterim({ status, reason: '', minor: 1, fields });
    });
    stream.on('response', (headers, flags, raw) =>
      this.#onResponse(headers[':status'], raw as unknown as string[], (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0),
    );
    stream.on('trailers', (_headers, _flags, raw) => {
      this.#trailers = fieldsFromRaw(raw as unknown as string[]) ?? [];
    });
    stream.on('data', (bytes: Buffer) => {
      if (!this.#done) events.onData(bytes);
    });
    stream.on('end', () => {
      if (this.#done || !this.#headSeen || stream.rstCode !== constants.NGHTTP2_NO_ERROR) return;
      this.#done = true;
      if (!this.#ended) stream.close(constants.NGHTTP2_CANCEL);
      events.onEnd(this.#trailers);
    });
    stream.on('drain', () => {
      if (!this.#done) events.onDrain();
    });
    stream.on('error', () => undefined);
    stream.once('close', () => {
      onOver();
      this.#fail(stream.rstCode === constants.NGHTTP2_REFUSED_STREAM);
    });
  }

  write(bytes: Buffer): boolean {
    return this.#done || this.#stream?.write(bytes) !== false;
  }

  end(trailers: Fields): void {
    if (this.#ended || this.#done) return;
    this.#ended = true;
    this.#requestTrailers = trailers;
    this.#stream?.end();
  }

  pause(): void {
    if (!this.#done) this.#stream?.pause();
  }

  resume(): void {
    if (!this.#done) this.#stream?.resume();
  }

  abort(): void {
    if (this.#done) return;
    this.#done = true;
    this.#stream?.close(constants.NGHTTP2_CANCEL);
  }

  #onResponse(status: unknown, raw: readonly string[], ended: boolean): void {
    if (this.#done) return;
    const fields = fieldsFromRaw(raw);
    if (fields === undefined || typeof status !== 'number' || status < 200 || status > 599 || fields.length > MAX_FIELDS * 2) {
      this.#done = true;
      this.#stream?.close(constants.NGHTTP2_PROTOCOL_ERROR);
      this.#events.onFault('upstream_invalid', 'an answer that is no HTTP/2', false);
      return;
    }
    this.#headSeen = true;
    this.#events.onHead({ status, reason: '', minor: 1, fields }, framingOf(fields, ended));
  }

  #fail(unseen: boolean): void {
    if (this.#done) return;
    this.#done = true;
    this.#events.onFault('upstream_reset', 'the stream was reset before the answer was whole', unseen);
  }
}

function framingOf(fields: Fields, ended: boolean): Framing {
  if (ended) return { kind: 'none' };
  const length = fieldOf(fields, 'content-length');
  return length !== undefined && /^[0-9]{1,15}$/.test(length) ? { kind: 'length', length: Number(length) } : { kind: 'chunked' };
}

function begin(session: ClientHttp2Session, { head, target, fields }: UpstreamRequest, endStream: boolean): ClientHttp2Stream | undefined {
  const headers: OutgoingHttpHeaders = headersFrom(fields);
  const authority = headers['host'];
  delete headers['host'];
  headers[':method'] = head.method;
  headers[':path'] = target;
  headers[':scheme'] = 'http';
  headers[':authority'] = typeof authority === 'string' ? authority : '';
  if (isGrpc(fieldOf(fields, 'content-type'))) headers['te'] = 'trailers';
  try {
    return session.request(headers, { endStream, waitForTrailers: !endStream });
  } catch {
    // The session closed meanwhile, or a field is one that HTTP/2 does not carry.
    return undefined;
  }
}
