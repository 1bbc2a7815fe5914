// One HTTP/2 connection (RFC 9113), either side of it: frames ↔ streams, settings, both windows, and how it ends.
//
//   server side   onHead(stream, block) ◄─ HEADERS      sendHead ─► HEADERS, DATA …, HEADERS (trailers)
//   client side   open() ─► HEADERS, DATA …             onHead(stream, block) ◄─ HEADERS
//
// What the other side does wrong ends its stream (RST_STREAM) or its connection (GOAWAY with a code), never the process. Whatever asks for
// work and carries nothing (pings, settings, resets, empty frames) has a budget.
import type { Socket } from 'node:net';
import { nowMs } from '../clock.ts';
import type { Fields } from '../codec/fields.ts';
import { CODE, type Code, FLAG, FRAME, FrameReader, kindOf, LAYOUT, MAX_FRAME_BYTES, PREFACE, SETTING } from '../codec/h2/frame.ts';
import { type Block, HpackDecoder, HpackEncoder } from '../codec/h2/hpack.ts';
import { HEAD_TIMEOUT_MS, MAX_H2_STREAM_WINDOW_BYTES, MAX_H2_STREAMS, MAX_HEAD_BYTES } from '../codec/limits.ts';
import { FlowSession } from '../flow/session.ts';
import { FlowStream, type StreamHandler, type Windows } from '../flow/stream.ts';

/** `final`: what comes next on the stream is its body, then trailers. A malformed one resets the stream. */
export type HeadKind = 'interim' | 'final' | 'malformed';

export interface H2Events {
  /** The head of a request or an answer. Server side: the stream's handler is set before this returns, or it was answered. */
  onHead(stream: H2Stream, block: Block, end: boolean): HeadKind;
  /** The other side takes no new streams any more. */
  onGoaway(): void;
  onClosed(): void;
}

const INITIAL_WINDOW = 65_535;
const MAX_WINDOW = 2 ** 31 - 1;
const MAX_STREAM_ID = 2 ** 31 - 1;
/** Every stream that nobody reads may hold its window without stopping the others. */
const CONNECTION_WINDOW = MAX_H2_STREAMS * MAX_H2_STREAM_WINDOW_BYTES;
/** Before its settings have come, no more streams than any end is likely to take. */
const ASSUMED_STREAMS = 100;
/** A head over more frames is an attack: even unpacked it may have MAX_HEAD_BYTES only (CVE-2024-27316). */
const MAX_CONTINUATIONS = 32;
/** Frames of one interval that ask for work and carry nothing. */
const MAX_CONTROL_FRAMES = 10_000;
/** Streams that come only to be reset (CVE-2023-44487), or to make us reset them (CVE-2025-8671): nghttp2's budget. */
const MAX_RESETS = 1000;
const RESETS_PER_SECOND = 33;
const REMEMBERED_STREAMS = 1000;
/** Between saying that the connection will end and ending it, when the other side does not answer. */
const DRAIN_MS = 1000;
const DRAIN_PING = 0x6d657368;

const LIMITS = {
  layout: LAYOUT,
  sendWindow: INITIAL_WINDOW,
  receiveWindow: CONNECTION_WINDOW,
  sendLimit: MAX_WINDOW,
  maxDataBytes: MAX_FRAME_BYTES,
};

/** A reason of ours as a code of HTTP/2. */
const CODES: Readonly<Record<string, Code>> = {
  canceled: CODE.cancel,
  bad_request: CODE.protocol,
  upstream_invalid: CODE.protocol,
  draining: CODE.refusedStream,
  overloaded: CODE.refusedStream,
  flow_control: CODE.flowControl,
  stream_closed: CODE.streamClosed,
  no_error: CODE.ok,
};

export class H2Session extends FlowSession<H2Stream> {
  readonly #isClient: boolean;
  readonly #events: H2Events;
  readonly #idleMs: number;
  readonly #decoder = new HpackDecoder(MAX_HEAD_BYTES);
  readonly #encoder = new HpackEncoder();
  readonly #reader: FrameReader;
  #prefaceLeft: number;
  #settled = false;
  #windows: Windows = { send: INITIAL_WINDOW, receive: MAX_H2_STREAM_WINDOW_BYTES, sendLimit: MAX_WINDOW };
  #maxStreams = ASSUMED_STREAMS;
  #nextId = 1;
  #lastOpened = 0;
  /** A head whose CONTINUATION is to come. */
  #block: { readonly stream: number; readonly end: boolean; readonly parts: Buffer[]; size: number } | undefined;
  /** Streams that were reset here while the other side may still have sent for them; the oldest are forgotten. */
  readonly #resetHere = new Set<number>();
  /** The caller left stream numbers out: those were never open. */
  #hasGaps = false;
  #headTimer: NodeJS.Timeout | undefined;
  #drainTimer: NodeJS.Timeout | undefined;
  #controlFrames = 0;
  #resets = 0;
  #emptySinceMs = nowMs();

  /** `idleMs`: a connection without streams ends after so long. */
  constructor(socket: Socket, side: 'client' | 'server', idleMs: number, events: H2Events) {
    super(socket, LIMITS);
    this.#isClient = side === 'client';
    this.#events = events;
    this.#idleMs = idleMs;
    this.#prefaceLeft = this.#isClient ? 0 : PREFACE.length;
    this.#reader = new FrameReader({
      onFrame: (type, flags, stream, bytes, from, to) => this.#onFrame(type, flags, stream, bytes, from, to),
      onDataBegin: (stream, length, padding) => this.#onDataBegin(stream, length, padding),
      onData: (stream, bytes, end) => this.#onData(stream, bytes, end),
    });
    if (this.#isClient) this.outbox.raw(PREFACE);
    this.#sendSettings();
    this.#armHead();
  }

  /** Streams that the other side takes at once. */
  get maxStreams(): number {
    return this.#maxStreams;
  }

  /** Client side: a request. */
  open(pseudo: Fields, fields: Fields, end: boolean, handler: StreamHandler): H2Stream {
    const id = this.#nextId;
    this.#nextId += 2;
    if (this.#nextId > MAX_STREAM_ID) this.goingAway = true;
    const stream = new H2Stream(this, id, this.#windows);
    stream.handler = handler;
    if (this.isClosed) {
      // It went since it was chosen: nobody has seen the request.
      queueMicrotask(() => stream.receiveReset('draining'));
      return stream;
    }
    this.streams.add(stream);
    stream.begin(pseudo, fields, end);
    return stream;
  }

  /**
   * No new streams; the connection ends with its last one. A server says so first and goes on for a moment: requests that were on their
   * way meanwhile are taken too (section 6.8).
   */
  retire(): void {
    if (this.isClosed || this.goingAway || this.#drainTimer !== undefined) return;
    if (this.#isClient) return this.#goAway();
    this.#sendGoaway(MAX_STREAM_ID, CODE.ok);
    this.#sendPing(DRAIN_PING);
    this.#drainTimer = setTimeout(() => this.#goAway(), DRAIN_MS);
  }

  /** Names and values of a head or of trailers. */
  sendFields(stream: number, pseudo: Fields, fields: Fields, end: boolean): void {
    const block = this.#encoder.encode(pseudo, fields);
    const flags = end ? FLAG.endStream : 0;
    if (block.length <= MAX_FRAME_BYTES) {
      this.outbox.copy(kindOf(FRAME.headers, flags | FLAG.endHeaders), stream, block);
      return;
    }
    this.outbox.copy(kindOf(FRAME.headers, flags), stream, block.subarray(0, MAX_FRAME_BYTES));
    for (let at = MAX_FRAME_BYTES; at < block.length; at += MAX_FRAME_BYTES) {
      const last = at + MAX_FRAME_BYTES >= block.length;
      this.outbox.copy(kindOf(FRAME.continuation, last ? FLAG.endHeaders : 0), stream, block.subarray(at, at + MAX_FRAME_BYTES));
    }
  }

  sendData(stream: number, bytes: Buffer, end: boolean): void {
    this.outbox.bytes(kindOf(FRAME.data, end ? FLAG.endStream : 0), stream, bytes);
  }

  sendTrailers(stream: number, trailers: Fields): void {
    if (trailers.length === 0) this.sendData(stream, EMPTY, true);
    else this.sendFields(stream, [], trailers, true);
  }

  sendReset(stream: number, reason: string): void {
    this.#rememberReset(stream);
    this.outbox.number(kindOf(FRAME.reset, 0), stream, CODES[reason] ?? CODE.internal);
  }

  sendWindow(stream: number, more: number): void {
    this.outbox.number(kindOf(FRAME.window, 0), stream, more);
  }

  // Applications answer too many pings by ending the connection (gRPC's `too_many_pings`): only callers are asked.
  protected sendPing(): boolean {
    if (this.#isClient) return false;
    this.#sendPing(0);
    return true;
  }

  protected receive(bytes: Buffer): void {
    const code = this.#receive(bytes);
    if (code !== CODE.ok) this.#fail(code);
    else if (this.#block !== undefined) this.#armHead();
  }

  protected onInterval(): void {
    this.#controlFrames = 0;
    this.#resets = Math.max(0, this.#resets - RESETS_PER_SECOND * 10);
    if (this.size === 0 && nowMs() - this.#emptySinceMs >= this.#idleMs) this.retire();
  }

  protected onEmpty(): void {
    this.#emptySinceMs = nowMs();
  }

  protected onGone(): void {
    clearTimeout(this.#headTimer);
    clearTimeout(this.#drainTimer);
    this.#events.onClosed();
  }

  // HTTP/2 has no half-closed connection; what a caller asked before is answered all the same. From a service nothing more can come.
  protected override onEnd(): void {
    if (this.#isClient || this.size === 0) this.close();
    else this.goingAway = true;
  }

  #receive(bytes: Buffer): Code {
    let rest = bytes;
    if (this.#prefaceLeft > 0) {
      const from = PREFACE.length - this.#prefaceLeft;
      const length = Math.min(this.#prefaceLeft, bytes.length);
      if (bytes.compare(PREFACE, from, from + length, 0, length) !== 0) return CODE.protocol;
      this.#prefaceLeft -= length;
      rest = bytes.subarray(length);
    }
    return rest.length === 0 ? CODE.ok : this.#reader.push(rest);
  }

  #onFrame(type: number, flags: number, id: number, bytes: Buffer, from: number, to: number): Code {
    // Nothing comes between the parts of a head (section 6.2), and SETTINGS comes first (section 3.4).
    if (this.#block !== undefined && (type !== FRAME.continuation || id !== this.#block.stream)) return CODE.protocol;
    if (!this.#settled && (type !== FRAME.settings || (flags & FLAG.ack) !== 0)) return CODE.protocol;
    if (type === FRAME.headers) return this.#onHeaders(flags, id, bytes, from, to);
    const payload = bytes.subarray(from, to);
    switch (type) {
      case FRAME.continuation:
        return this.#onContinuation(flags, payload);
      case FRAME.priority:
        return this.#onPriority(id, payload);
      case FRAME.reset:
        return this.#onReset(id, payload);
      case FRAME.settings:
        return this.#onSettings(flags, id, payload);
      case FRAME.ping:
        return this.#onPing(flags, id, payload);
      case FRAME.goaway:
        return this.#onGoaway(id, payload);
      case FRAME.window:
        return this.#onWindow(id, payload);
      case FRAME.pushPromise:
        return CODE.protocol;
      default:
        return this.#countControl();
    }
  }

  #onHeaders(flags: number, id: number, bytes: Buffer, from: number, to: number): Code {
    if (id === 0) return CODE.protocol;
    let at = from;
    if ((flags & FLAG.priority) !== 0) {
      if (to - from < 5) return CODE.frameSize;
      // A stream that depends on itself (RFC 7540 section 5.3.1; priorities themselves are history).
      if ((bytes.readUInt32BE(from) & MAX_STREAM_ID) === id) return CODE.protocol;
      at += 5;
    }
    const end = (flags & FLAG.endStream) !== 0;
    if ((flags & FLAG.endHeaders) !== 0) return this.#onBlock(id, bytes, at, to, end);
    this.#block = { stream: id, end, parts: [Buffer.from(bytes.subarray(at, to))], size: to - at };
    return CODE.ok;
  }

  #onContinuation(flags: number, payload: Buffer): Code {
    const block = this.#block;
    if (block === undefined) return CODE.protocol;
    block.size += payload.length;
    if (block.size > MAX_HEAD_BYTES || block.parts.length > MAX_CONTINUATIONS) return CODE.calm;
    block.parts.push(Buffer.from(payload));
    if ((flags & FLAG.endHeaders) === 0) return CODE.ok;
    this.#block = undefined;
    this.#disarmHead();
    return this.#onBlock(block.stream, Buffer.concat(block.parts), 0, block.size, block.end);
  }

  #onBlock(id: number, bytes: Buffer, from: number, to: number, end: boolean): Code {
    const known = this.streams.get(id);
    if (known === undefined) {
      const code = this.#mayOpen(id);
      if (code !== CODE.ok) return code;
    }
    const block = this.#decoder.decode(bytes, from, to);
    if (block === undefined) return CODE.compression;
    if (known !== undefined) return this.#onNextBlock(known, block, end);
    // A head of a stream that was reset here meanwhile.
    if (this.#isClient || id <= this.#lastOpened) return CODE.ok;
    if (id > this.#lastOpened + 2) this.#hasGaps = true;
    this.#lastOpened = id;
    if (this.goingAway || this.streams.size >= MAX_H2_STREAMS) {
      this.sendReset(id, this.goingAway ? 'draining' : 'overloaded');
      return this.#countReset();
    }
    const stream = new H2Stream(this, id, this.#windows);
    this.streams.add(stream);
    return this.#takeHead(stream, block, end);
  }

  /** Whether a head may come for a stream that is not open (section 5.1). */
  #mayOpen(id: number): Code {
    if (this.#isClient) return id < this.#nextId && id % 2 === 1 ? CODE.ok : CODE.protocol;
    if (id % 2 === 0) return CODE.protocol;
    if (id > this.#lastOpened) return CODE.ok;
    if (this.#resetHere.has(id)) return CODE.ok;
    return this.#hasGaps ? CODE.protocol : CODE.streamClosed;
  }

  #onNextBlock(stream: H2Stream, block: Block, end: boolean): Code {
    if (stream.isReceived) return this.#failStream(stream, 'stream_closed');
    if (!stream.hasHead) return this.#takeHead(stream, block, end);
    // Trailers (section 8.1): they end the stream, and have no pseudo fields.
    if (!end || block.malformed || block.tooLarge || block.fields.some((name, i) => i % 2 === 0 && name.startsWith(':')))
      return this.#failStream(stream, this.#invalid);
    stream.receiveEnd(block.fields);
    return CODE.ok;
  }

  #takeHead(stream: H2Stream, block: Block, end: boolean): Code {
    const kind = this.#events.onHead(stream, block, end);
    if (kind === 'malformed' || (kind === 'interim' && end)) return this.#failStream(stream, this.#invalid);
    stream.hasHead = kind === 'final';
    if (end) stream.receiveEnd([]);
    return CODE.ok;
  }

  get #invalid(): string {
    return this.#isClient ? 'upstream_invalid' : 'bad_request';
  }

  /** The other side broke a rule of one stream. */
  #failStream(stream: H2Stream, reason: string): Code {
    if (stream.isClosed) return CODE.ok;
    this.sendReset(stream.id, reason);
    stream.receiveReset(reason);
    return this.#countReset();
  }

  #onDataBegin(id: number, length: number, padding: number): Code {
    if (this.#block !== undefined || !this.#settled || id === 0) return CODE.protocol;
    if (!this.expect(length)) return CODE.flowControl;
    if (length === padding && this.#countControl() !== CODE.ok) return CODE.calm;
    const stream = this.streams.get(id);
    if (stream === undefined) {
      if (this.#isIdle(id)) return CODE.protocol;
      // Its content is given back as it comes, in onData; what frames it, here.
      this.consume(padding);
      if (this.#resetHere.has(id)) return CODE.ok;
      this.sendReset(id, 'stream_closed');
      return this.#countReset();
    }
    // Where no head has come there can be no content (an answer's, since a request has one).
    if (!stream.hasHead) return this.#failStream(stream, this.#invalid);
    if (stream.isReceived) return this.#failStream(stream, 'stream_closed');
    if (!stream.expect(length)) return this.#failStream(stream, 'flow_control');
    if (padding > 0) stream.skip(padding);
    return CODE.ok;
  }

  #onData(id: number, bytes: Buffer, end: boolean): Code {
    const stream = this.streams.get(id);
    if (stream === undefined) this.consume(bytes.length);
    else stream.receiveData(bytes, end);
    return CODE.ok;
  }

  #onPriority(id: number, payload: Buffer): Code {
    if (id === 0) return CODE.protocol;
    if (payload.length !== 5) return CODE.frameSize;
    if ((payload.readUInt32BE(0) & MAX_STREAM_ID) === id) return CODE.protocol;
    return this.#countControl();
  }

  #onReset(id: number, payload: Buffer): Code {
    if (payload.length !== 4) return CODE.frameSize;
    if (id === 0 || this.#isIdle(id)) return CODE.protocol;
    const stream = this.streams.get(id);
    if (stream === undefined) return this.#countControl();
    const code = payload.readUInt32BE(0);
    stream.receiveReset(code === CODE.refusedStream ? 'draining' : 'upstream_reset');
    return this.#countReset();
  }

  #onSettings(flags: number, id: number, payload: Buffer): Code {
    if (id !== 0) return CODE.protocol;
    if ((flags & FLAG.ack) !== 0) return payload.length === 0 ? CODE.ok : CODE.frameSize;
    if (payload.length % 6 !== 0) return CODE.frameSize;
    for (let at = 0; at < payload.length; at += 6) {
      const code = this.#set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
      if (code !== CODE.ok) return code;
    }
    this.outbox.bytes(kindOf(FRAME.settings, FLAG.ack), 0, EMPTY);
    if (!this.#settled) {
      this.#settled = true;
      this.#disarmHead();
    }
    return this.#countControl();
  }

  #set(setting: number, value: number): Code {
    switch (setting) {
      case SETTING.tableBytes:
        this.#encoder.resize(value);
        return CODE.ok;
      case SETTING.push:
        return value === 0 || (value === 1 && !this.#isClient) ? CODE.ok : CODE.protocol;
      case SETTING.maxStreams:
        this.#maxStreams = value;
        return CODE.ok;
      case SETTING.window: {
        if (value > MAX_WINDOW) return CODE.flowControl;
        const more = value - this.#windows.send;
        this.#windows = { ...this.#windows, send: value };
        for (const stream of this.streams.all()) if (!stream.widen(more)) return CODE.flowControl;
        return CODE.ok;
      }
      case SETTING.maxFrameBytes:
        return value >= MAX_FRAME_BYTES && value < 2 ** 24 ? CODE.ok : CODE.protocol;
      default:
        return CODE.ok;
    }
  }

  #onPing(flags: number, id: number, payload: Buffer): Code {
    if (id !== 0) return CODE.protocol;
    if (payload.length !== 8) return CODE.frameSize;
    if ((flags & FLAG.ack) === 0) {
      this.outbox.bytes(kindOf(FRAME.ping, FLAG.ack), 0, payload);
      return this.#countControl();
    }
    if (this.#drainTimer !== undefined && payload.readUInt32BE(0) === DRAIN_PING) this.#goAway();
    return this.#countControl();
  }

  #onGoaway(id: number, payload: Buffer): Code {
    if (id !== 0) return CODE.protocol;
    if (payload.length < 8) return CODE.frameSize;
    // A caller says it of streams that we never open.
    if (!this.#isClient) return this.#countControl();
    this.goingAway = true;
    this.#events.onGoaway();
    const last = payload.readUInt32BE(0) & MAX_STREAM_ID;
    for (const stream of this.streams.all()) if (stream.id > last) stream.receiveReset('draining');
    if (this.size === 0) this.end();
    return this.#countControl();
  }

  #onWindow(id: number, payload: Buffer): Code {
    if (payload.length !== 4) return CODE.frameSize;
    const more = payload.readUInt32BE(0) & MAX_WINDOW;
    if (id === 0) return more === 0 ? CODE.protocol : this.widen(more) ? CODE.ok : CODE.flowControl;
    const stream = this.streams.get(id);
    if (stream === undefined) return this.#isIdle(id) ? CODE.protocol : CODE.ok;
    if (more === 0) return this.#failStream(stream, this.#invalid);
    return stream.widen(more) ? CODE.ok : this.#failStream(stream, 'flow_control');
  }

  /** Whether the stream was never opened. */
  #isIdle(id: number): boolean {
    return id % 2 === 0 || (this.#isClient ? id >= this.#nextId : id > this.#lastOpened);
  }

  #rememberReset(id: number): void {
    this.#resetHere.add(id);
    if (this.#resetHere.size <= REMEMBERED_STREAMS) return;
    for (const oldest of this.#resetHere) {
      this.#resetHere.delete(oldest);
      return;
    }
  }

  #countControl(): Code {
    return ++this.#controlFrames > MAX_CONTROL_FRAMES ? CODE.calm : CODE.ok;
  }

  // The other end of a connection that we opened is asked for answers; its resets cost it more than us.
  #countReset(): Code {
    return ++this.#resets > MAX_RESETS && !this.#isClient ? CODE.calm : CODE.ok;
  }

  #sendSettings(): void {
    const values = [
      [SETTING.push, 0],
      [SETTING.maxStreams, this.#isClient ? 0 : MAX_H2_STREAMS],
      [SETTING.window, MAX_H2_STREAM_WINDOW_BYTES],
      [SETTING.maxHeadBytes, MAX_HEAD_BYTES],
    ] as const;
    // A server says nothing about pushing, a client has no streams to be limited that it does not open itself.
    const said = values.filter(([setting]) => setting !== (this.#isClient ? SETTING.maxStreams : SETTING.push));
    const payload = Buffer.alloc(said.length * 6);
    said.forEach(([setting, value], i) => {
      payload.writeUInt16BE(setting, i * 6);
      payload.writeUInt32BE(value, i * 6 + 2);
    });
    this.outbox.bytes(kindOf(FRAME.settings, 0), 0, payload);
    this.sendWindow(0, CONNECTION_WINDOW - INITIAL_WINDOW);
  }

  #sendPing(mark: number): void {
    const payload = Buffer.alloc(8);
    payload.writeUInt32BE(mark);
    this.outbox.bytes(kindOf(FRAME.ping, 0), 0, payload);
  }

  #sendGoaway(last: number, code: Code): void {
    const payload = Buffer.alloc(8);
    payload.writeUInt32BE(last);
    payload.writeUInt32BE(code, 4);
    this.outbox.bytes(kindOf(FRAME.goaway, 0), 0, payload);
  }

  #goAway(): void {
    clearTimeout(this.#drainTimer);
    if (this.isClosed || this.goingAway) return;
    this.goingAway = true;
    this.#sendGoaway(this.#lastOpened, CODE.ok);
    if (this.size === 0) this.end();
  }

  /** The connection cannot go on; the other side hears why. */
  #fail(code: Code): void {
    if (this.isClosed) return;
    this.#sendGoaway(this.#lastOpened, code);
    this.outbox.flush();
    this.closeGently();
  }

  #armHead(): void {
    this.#headTimer ??= setTimeout(() => this.#fail(this.#settled ? CODE.calm : CODE.settingsTimeout), HEAD_TIMEOUT_MS);
  }

  #disarmHead(): void {
    if (this.#block !== undefined) return;
    clearTimeout(this.#headTimer);
    this.#headTimer = undefined;
  }
}

const EMPTY = Buffer.alloc(0);

export class H2Stream extends FlowStream {
  readonly #session: H2Session;
  /** The head that its body belongs to has come. */
  hasHead = false;

  constructor(session: H2Session, id: number, windows: Windows) {
    super(session, id, windows);
    this.#session = session;
  }

  /** A head; `end` when nothing follows it. */
  begin(pseudo: Fields, fields: Fields, end: boolean): void {
    if (!this.isSending) return;
    this.#session.sendFields(this.id, pseudo, fields, end);
    if (end) this.endWithHead();
  }
}
