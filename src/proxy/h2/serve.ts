// HTTP/2 from a caller: each stream is an exchange. Field checks are those of HTTP/1.1, and a request goes on in the same form
// whichever of the two it came in.
import type { Socket } from 'node:net';
import { type Fields, fieldsOf } from '../codec/fields.ts';
import type { Framing } from '../codec/h1/framing.ts';
import type { RequestHead, ResponseHead } from '../codec/h1/head.ts';
import type { Block } from '../codec/h2/hpack.ts';
import { IDLE_TIMEOUT_MS, LINGER_MS, MAX_FIELDS } from '../codec/limits.ts';
import type { Origin } from '../connection.ts';
import { ServedStream } from '../flow/served.ts';
import type { Channel } from '../net/channel.ts';
import { answerFor } from '../rescue.ts';
import type { Runtime } from '../runtime.ts';
import { H2Session, type H2Stream, type HeadKind } from './session.ts';

export interface ServedH2 {
  /** Streams that are open. */
  readonly size: number;
  /** Tells the caller to open no new streams; the connection ends with its last one. */
  retire(): void;
  close(reason?: string): void;
}

/** `socket` may hold bytes that were read and pushed back. */
export function serveH2(runtime: Runtime, origin: Origin, socket: Socket): ServedH2 {
  const session = new H2Session(socket, 'server', IDLE_TIMEOUT_MS, {
    onHead: (stream, block, end) => begin(runtime, origin, stream, block, end),
    onGoaway: () => undefined,
    onClosed: () => undefined,
  });
  socket.resume();
  return session;
}

function begin(runtime: Runtime, origin: Origin, stream: H2Stream, block: Block, end: boolean): HeadKind {
  const request = block.tooLarge ? TOO_LARGE : block.malformed ? 'malformed' : readRequest(block.fields, end);
  if (request === 'malformed') {
    countBad(runtime, origin);
    return 'malformed';
  }
  if ('why' in request) refuse(runtime, origin, stream, request);
  else new H2Request(runtime, origin, stream, request.head, request.framing).run();
  return 'final';
}

class H2Request extends ServedStream<H2Stream> {
  constructor(runtime: Runtime, origin: Origin, stream: H2Stream, head: RequestHead, framing: Framing) {
    super(runtime, origin, stream, head, framing, undefined, Number.POSITIVE_INFINITY);
  }

  protected sendHead(status: number, _reason: string, fields: Fields, _framing: Framing, end: boolean): void {
    this.stream.begin([':status', String(status)], fields, end);
  }

  override interim(head: ResponseHead): void {
    if (head.status !== 101) super.interim(head);
  }

  override upgrade(): Channel {
    throw new Error('HTTP/2 streams are not upgraded');
  }

  override end(trailers: Fields): void {
    super.end(trailers);
    // RFC 9113 section 8.1: an answer that is whole may stop what is left of the request without an error; most of it is there by then.
    if (!this.stream.isClosed) stopLater(this.stream);
  }
}

function stopLater(stream: H2Stream): void {
  setTimeout(() => stream.reset('no_error'), LINGER_MS).unref();
}

interface Refusal {
  readonly why: string;
  readonly status: number;
}

const TOO_LARGE: Refusal = { why: 'too many or too long fields', status: 431 };

/** A request that is well-formed HTTP/2, but not one that is taken here. */
function refuse(runtime: Runtime, origin: Origin, stream: H2Stream, { why, status }: Refusal): void {
  countBad(runtime, origin);
  const answer = answerFor({ refusal: 'bad_request', why, status }, undefined);
  stream.begin([':status', String(answer.status)], answer.fields, false);
  stream.finish(answer.body);
  stream.stop();
  stopLater(stream);
}

function countBad(runtime: Runtime, { listener, peer }: Origin): void {
  if (listener.kind === 'inbound' || listener.kind === 'ingress')
    runtime.recorder.count('inbound', peer?.id.service ?? '-', 'http', 'bad_request', 0);
}

interface Request {
  readonly head: RequestHead;
  readonly framing: Framing;
}

const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const TARGET = /^[\x21-\x7e]+$/;
const LENGTH = /^[0-9]{1,15}$/;
const CONNECTION_FIELDS = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade']);
const NO_BODY: Framing = { kind: 'none' };
const CHUNKED: Framing = { kind: 'chunked' };

/**
 * A request (RFC 9113 section 8.3.1), `malformed` (section 8.1.1: its stream is reset), or why it is refused. `block` holds names and values
 * that were checked one by one; `end`: no body follows.
 */
export function readRequest(block: Fields, end: boolean): Request | Refusal | 'malformed' {
  let method: string | undefined;
  let scheme: string | undefined;
  let authority: string | undefined;
  let target: string | undefined;
  let cookies: string | undefined;
  let length: string | undefined;
  const fields: Fields = [];
  for (let i = 0; i < block.length; i += 2) {
    const name = block[i] as string;
    const value = block[i + 1] as string;
    if (name.charCodeAt(0) === 0x3a) {
      // A pseudo field comes once, before all others, and is one of these.
      if (fields.length > 0 || cookies !== undefined) return 'malformed';
      if (name === ':method' && method === undefined) method = value;
      else if (name === ':path' && target === undefined) target = value;
      else if (name === ':scheme' && scheme === undefined) scheme = value;
      else if (name === ':authority' && authority === undefined) authority = value;
      else return 'malformed';
      continue;
    }
    if (CONNECTION_FIELDS.has(name) || (name === 'te' && value !== 'trailers')) return 'malformed';
    if (name === 'content-length') {
      if (length !== undefined || !LENGTH.test(value)) return 'malformed';
      length = value;
    }
    // Section 8.2.3: crumbs are one field again.
    if (name === 'cookie') cookies = cookies === undefined ? value : `${cookies}; ${value}`;
    else fields.push(name, value);
  }
  if (cookies !== undefined) fields.push('cookie', cookies);
  if (method === undefined || !METHOD.test(method)) return 'malformed';
  if (method === 'CONNECT') return { why: 'CONNECT is not taken here', status: 501 };
  if (target === undefined || !TARGET.test(target) || scheme === undefined) return 'malformed';
  if (length !== undefined && end && Number(length) !== 0) return 'malformed';
  if (fields.length > MAX_FIELDS * 2) return TOO_LARGE;
  const hosts = fieldsOf(fields, 'host');
  if (
    hosts.length > 1 ||
    (authority === undefined && hosts.length === 0) ||
    (authority !== undefined && (hosts[0] ?? authority) !== authority)
  )
    return { why: 'exactly one authority is wanted', status: 400 };
  if (hosts.length === 0) fields.push('host', authority as string);
  const framing: Framing = end ? NO_BODY : length === undefined ? CHUNKED : { kind: 'length', length: Number(length) };
  return { head: { method, target, major: 2, minor: 1, fields }, framing };
}
