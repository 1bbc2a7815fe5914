// HTTP/2 from a caller (RFC 9113), on node:http2: each stream is an exchange.
// Field checks are those of HTTP/1.1, and a request goes on in the same form whichever of the two it came in.
import { constants, performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { type Fields, fieldsOf, isValidName } from '../codec/fields.ts';
import type { Framing } from '../codec/h1/framing.ts';
import type { ResponseHead } from '../codec/h1/head.ts';
import { IDLE_TIMEOUT_MS, LINGER_MS, MAX_FIELDS, MAX_H2_STREAM_WINDOW_BYTES, MAX_H2_STREAMS, MAX_HEAD_BYTES } from '../codec/limits.ts';
import type { Origin } from '../connection.ts';
import { type Downstream, Exchange } from '../exchange.ts';
import { answerFor } from '../rescue.ts';
import type { Runtime } from '../runtime.ts';
import type { Channel } from './channel.ts';
import { fieldsFromRaw, headersFrom, isFitValue } from './h2-fields.ts';

export interface ServedH2 {
  /** Streams that are open. */
  readonly size: number;
  /** Tells the caller to open no new streams; the connection ends with its last one. */
  drain(): void;
  close(): void;
}

/** `socket` may hold bytes that were read and pushed back. */
export function serveH2(runtime: Runtime, origin: Origin, socket: Socket): ServedH2 {
  const session: ServerHttp2Session = performServerHandshake(socket, {
    settings: {
      maxConcurrentStreams: MAX_H2_STREAMS,
      initialWindowSize: MAX_H2_STREAM_WINDOW_BYTES,
      maxHeaderListSize: MAX_HEAD_BYTES,
      enablePush: false,
    },
    // Two more for each pair of pseudo fields.
    maxHeaderListPairs: MAX_FIELDS + 8,
    maxSessionMemory: 16,
  });
  let size = 0;
  // What a caller does wrong ends its connection or stream, never the process.
  session.on('error', () => undefined);
  session.on('sessionError', () => undefined);
  session.setTimeout(IDLE_TIMEOUT_MS, () => {
    if (size === 0) session.close();
  });
  session.on('stream', (stream, _headers, flags, raw) => {
    size++;
    stream.once('close', () => {
      size--;
    });
    new H2Stream(runtime, origin, stream).begin(raw as unknown as string[], (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0);
  });
  socket.on('error', () => session.destroy());
  // HTTP/2 has no half-closed connection.
  socket.on('end', () => (size === 0 ? session.destroy() : session.close()));
  return {
    get size() {
      return size;
    },
    drain: () => {
      if (!session.closed) session.close();
    },
    close: () => session.destroy(),
  };
}

class H2Stream implements Downstream {
  readonly #runtime: Runtime;
  readonly #origin: Origin;
  readonly #stream: ServerHttp2Stream;
  #trailers: Fields = [];
  #answerTrailers: Fields = [];
  #requestEnded = false;
  #over = false;

  constructor(runtime: Runtime, origin: Origin, stream: ServerHttp2Stream) {
    this.#runtime = runtime;
    this.#origin = origin;
    this.#stream = stream;
    stream.on('error', () => undefined);
  }

  begin(raw: readonly string[], ended: boolean): void {
    const request = readRequest(raw, ended);
    if ('why' in request) return this.#refuse(request.why, request.status);
    const stream = this.#stream;
    const exchange = new Exchange(this.#runtime, this.#origin, this, request.head, request.framing, undefined);
    stream.on('drain', () => exchange.onDownstreamDrain());
    stream.on('wantTrailers', () => stream.sendTrailers(headersFrom(this.#answerTrailers)));
    stream.once('close', () => {
      this.#over = true;
      exchange.onDownstreamGone();
    });
    exchange.run();
    if (ended) {
      this.#requestEnded = true;
      exchange.onBodyEnd([]);
      return;
    }
    stream.on('trailers', (_headers, _flags, trailers) => {
      const fields = fieldsFromRaw(trailers as unknown as string[]);
      this.#trailers = fields ?? [];
      if (fields === undefined) this.abort();
    });
    stream.on('data', (bytes: Buffer) => exchange.onBody(bytes));
    stream.on('end', () => {
      this.#requestEnded = true;
      exchange.onBodyEnd(this.#trailers);
    });
  }

  interim(head: ResponseHead): void {
    if (this.#over || head.status === 101) return;
    this.#attempt(() => this.#stream.additionalHeaders({ ':status': head.status, ...headersFrom(head.fields) }));
  }

  upgrade(): Channel {
    throw new Error('HTTP/2 streams are not upgraded');
  }

  head(status: number, _reason: string, fields: Fields, framing: Framing): void {
    if (this.#over) return;
    const endStream = framing.kind === 'none';
    this.#attempt(() => this.#stream.respond({ ':status': status, ...headersFrom(fields) }, { endStream, waitForTrailers: !endStream }));
  }

  data(bytes: Buffer): boolean {
    return this.#over || this.#stream.write(bytes);
  }

  end(trailers: Fields): void {
    if (this.#over) return;
    this.#answerTrailers = trailers;
    if (!this.#stream.writableEnded) this.#stream.end();
    if (this.#requestEnded) return;
    // RFC 9113 section 8.1: an answer that is whole may stop what is left of the request without an error; most of it is there by then.
    this.#stream.resume();
    const timer = setTimeout(() => this.#stream.close(constants.NGHTTP2_NO_ERROR), LINGER_MS);
    this.#stream.once('close', () => clearTimeout(timer));
  }

  abort(): void {
    if (!this.#over) this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  pauseBody(): void {
    if (!this.#over) this.#stream.pause();
  }

  resumeBody(): void {
    if (!this.#over && this.#stream.isPaused()) this.#stream.resume();
  }

  #refuse(why: string, status: number): void {
    const answer = answerFor({ refusal: 'bad_request', why, status }, undefined);
    if (this.#origin.listener.kind === 'inbound' || this.#origin.listener.kind === 'ingress')
      this.#runtime.recorder.count('inbound', this.#origin.peer?.id.service ?? '-', 'http', 'bad_request', 0);
    this.#attempt(() => {
      this.#stream.respond({ ':status': answer.status, ...headersFrom(answer.fields) });
      this.#stream.end(answer.body);
    });
  }

  // Fields of an upstream that HTTP/2 cannot carry end this stream only.
  #attempt(send: () => void): void {
    try {
      send();
    } catch (error) {
      this.#runtime.log(`an answer cannot be sent over HTTP/2: ${error instanceof Error ? error.message : String(error)}`);
      this.abort();
    }
  }
}

interface Request {
  readonly head: { method: string; target: string; major: 2; minor: 1; fields: Fields };
  readonly framing: Framing;
}

const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const TARGET = /^[\x21-\x7e]+$/;
const CONNECTION_FIELDS = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade']);

/** Pseudo fields and fields of a request as they came (RFC 9113 section 8.3.1), or why they are refused. */
export function readRequest(raw: readonly string[], ended: boolean): Request | { why: string; status: number } {
  const bad = (why: string, status = 400) => ({ why, status });
  const pseudo = new Map<string, string>();
  const fields: Fields = [];
  const cookies: string[] = [];
  let size = 0;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? '';
    const value = raw[i + 1] ?? '';
    size += name.length + value.length + 32;
    if (name.startsWith(':')) {
      if (pseudo.has(name) || fields.length > 0) return bad('a pseudo field given twice or too late');
      pseudo.set(name, value);
      continue;
    }
    if (!isValidName(name) || !isFitValue(value)) return bad('a field that is malformed');
    if (CONNECTION_FIELDS.has(name) || (name === 'te' && value !== 'trailers')) return bad('a field of the connection');
    // RFC 9113 section 8.2.3: crumbs are one field again.
    if (name === 'cookie') cookies.push(value);
    else fields.push(name, value);
  }
  if (cookies.length > 0) fields.push('cookie', cookies.join('; '));
  if (fields.length > MAX_FIELDS * 2 || size > MAX_HEAD_BYTES) return bad('too many or too long fields', 431);
  const method = pseudo.get(':method') ?? '';
  const target = pseudo.get(':path') ?? '';
  if (method === 'CONNECT') return bad('CONNECT is not taken here', 501);
  if (!METHOD.test(method) || !TARGET.test(target)) return bad('the method or the path is malformed');
  const hosts = fieldsOf(fields, 'host');
  const authority = pseudo.get(':authority') ?? hosts[0];
  if (authority === undefined || hosts.length > 1 || (hosts[0] !== undefined && hosts[0] !== authority))
    return bad('exactly one authority is wanted');
  if (hosts.length === 0) fields.push('host', authority);
  const lengths = fieldsOf(fields, 'content-length');
  if (lengths.length > 1 || (lengths[0] !== undefined && !/^[0-9]{1,15}$/.test(lengths[0])))
    return bad('a Content-Length that is no number');
  const framing: Framing = ended
    ? { kind: 'none' }
    : lengths[0] === undefined
      ? { kind: 'chunked' }
      : { kind: 'length', length: Number(lengths[0]) };
  return { head: { method, target, major: 2, minor: 1, fields }, framing };
}
